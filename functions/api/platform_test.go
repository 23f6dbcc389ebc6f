package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/insighthub/insighthub/docs/contracttest"
	"github.com/insighthub/insighthub/lib/api"
	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/problem"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
	"github.com/insighthub/insighthub/lib/trail"
)

// platform is the function over a real database of its own.
type platform struct {
	pool     *timescale.Pool
	dsn      string
	handler  lambda.Handler
	contract *contracttest.Contract
	figures  *figures
}

func newPlatform(t *testing.T) *platform {
	t.Helper()
	pool, dsn := timescaletest.Open(t)
	sums := &figures{}
	handler, err := wire(pool, slog.New(slog.DiscardHandler), services{ice: testICE(), files: exportBucket(t), kpis: sums})
	if err != nil {
		t.Fatal(err)
	}
	return &platform{pool, dsn, handler, contracttest.Open(t), sums}
}

// testServices are what is connected beside the database.
func testServices(t *testing.T) services {
	t.Helper()
	return services{ice: testICE(), files: exportBucket(t), kpis: &figures{}}
}

// caller is who the authorizer found.
type caller struct {
	Subject string                              `json:"subject"`
	Gateway telemetry.GatewayID                 `json:"gateway,omitempty"`
	Site    telemetry.SiteID                    `json:"site,omitempty"`
	Role    directory.Role                      `json:"role,omitempty"`
	Grants  map[telemetry.SiteID]directory.Role `json:"grants,omitempty"`
	Expires int64                               `json:"expires"`
}

// person has roles by site, as "plant-1=viewer".
func person(name string, grants ...string) caller {
	c := caller{Subject: name, Grants: make(map[telemetry.SiteID]directory.Role), Expires: time.Now().Add(time.Hour).Unix()}
	for _, grant := range grants {
		site, role, _ := strings.Cut(grant, "=")
		c.Grants[telemetry.SiteID(site)] = directory.Role(role)
	}
	return c
}

func administrator() caller { return person("ada", "*=admin") }

type answer struct {
	Status  int               `json:"statusCode"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

// into decodes the body.
func (a answer) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.Body), v); err != nil {
		t.Fatalf("%q: %v", a.Body, err)
	}
}

// want fails unless the status is that; a status of 400 and more has to be a problem document.
func (a answer) want(t *testing.T, status int) answer {
	t.Helper()
	if a.Status != status {
		t.Fatalf("got %d %.500s, want %d", a.Status, a.Body, status)
	}
	if status >= 400 && a.Headers["content-type"] != problem.ContentType {
		t.Fatalf("got %+v, want a problem document", a)
	}
	return a
}

// do sends a request; headers are name, value, name, value. Whatever comes back has to
// be what the contract says.
func (p *platform) do(t *testing.T, who caller, method, target, body string, headers ...string) answer {
	t.Helper()
	path, query, _ := strings.Cut(target, "?")
	all := map[string]string{}
	if body != "" {
		all["content-type"] = "application/json"
	}
	for i := 0; i < len(headers); i += 2 {
		all[strings.ToLower(headers[i])] = headers[i+1]
	}
	event, err := json.Marshal(map[string]any{
		"version": "2.0", "rawPath": path, "rawQueryString": query, "headers": all, "body": body,
		"requestContext": map[string]any{
			"requestId": "r-1", "http": map[string]string{"method": method, "sourceIp": "192.0.2.7"},
			"authorizer": map[string]any{"lambda": who},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	a := p.invoke(t, event)
	if err := p.contract.Check(exchange(method, path, query, all, body, a)); err != nil {
		t.Errorf("not what docs/openapi.yaml says: %v", err)
	}
	return a
}

func (p *platform) invoke(t *testing.T, event []byte) answer {
	t.Helper()
	raw, err := p.handler.Invoke(t.Context(), event)
	if err != nil {
		t.Fatal(err)
	}
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// site makes a site.
func (p *platform) site(t *testing.T, name string) {
	t.Helper()
	p.do(t, administrator(), "POST", "/v1/sites", fmt.Sprintf(`{"name":%q,"title":"A plant"}`, name)).want(t, 201)
}

// checkTrail verifies the chain and returns how often each action stands in it.
func (p *platform) checkTrail(t *testing.T) map[trail.Action]int {
	t.Helper()
	var verifier trail.Verifier
	actions := make(map[trail.Action]int)
	for after := int64(0); ; {
		entries, err := p.pool.TrailAfter(t.Context(), after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			return actions
		}
		for _, e := range entries {
			if err := verifier.Next(e); err != nil {
				t.Fatal(err)
			}
			actions[e.Action]++
			after = e.Seq
		}
	}
}

func testICE() api.ICE {
	return api.ICE{STUN: []string{"stun:stun.test:3478"}, TURN: []string{"turn:turn.test:3478"}, Secret: []byte("shared")}
}
