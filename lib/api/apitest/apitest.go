// Package apitest calls, in tests, a function behind API Gateway's HTTP API over a
// database of the test's own. It checks each response against docs/openapi.yaml.
package apitest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/insighthub/insighthub/docs/contracttest"
	"github.com/insighthub/insighthub/lib/directory"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/password"
	"github.com/insighthub/insighthub/lib/problem"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/trail"
)

// Password is the password of FirstAdministrator.
const Password = "correct horse battery staple"

// Platform is a function and its database.
type Platform struct {
	// Pool is the function's, Owner for what the function may not do, and DSN the owner's.
	Pool     *timescale.Pool
	Owner    *timescale.Pool
	DSN      string
	Handler  lambda.Handler
	contract *contracttest.Contract
}

// New returns the platform with the function that handler is.
func New(tb testing.TB, pool *timescale.Pool, dsn string, handler lambda.Handler) *Platform {
	tb.Helper()
	owner, err := timescale.Open(tb.Context(), timescale.PoolConfig{DSN: dsn})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(owner.Close)
	return &Platform{Pool: pool, Owner: owner, DSN: dsn, Handler: handler, contract: contracttest.Open(tb)}
}

// Request is a request as API Gateway receives it.
type Request struct {
	Method, Path, Query string // as sent, escapes included
	Headers             map[string]string
	Body                string
	SourceIP            string
	// Caller is what the authorizer found; nil on a route without one.
	Caller *lambdahttp.Caller
}

// Response is what the function returns to API Gateway. Names of headers are in lower
// case.
type Response struct {
	Status  int               `json:"statusCode"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

// Person returns a caller with roles by site, such as "plant-1=viewer".
func Person(subject string, grants ...string) *lambdahttp.Caller {
	c := &lambdahttp.Caller{Subject: subject, Grants: make(map[telemetry.SiteID]directory.Role), Expires: expiry()}
	for _, grant := range grants {
		site, role, _ := strings.Cut(grant, "=")
		c.Grants[telemetry.SiteID(site)] = directory.Role(role)
	}
	return c
}

// Administrator returns a caller who is administrator of every site.
func Administrator() *lambdahttp.Caller { return Person("ada", "*=admin") }

// Gateway returns a gateway of a site as caller.
func Gateway(gateway telemetry.GatewayID, site telemetry.SiteID) *lambdahttp.Caller {
	return &lambdahttp.Caller{Subject: string(gateway), Gateway: gateway, Site: site, Role: directory.GatewayRole, Expires: expiry()}
}

func expiry() int64 { return time.Now().Add(time.Hour).Unix() }

// Invoke passes a request to a function as API Gateway does (payload format 2.0).
func Invoke(tb testing.TB, handler lambda.Handler, r Request) (response Response) {
	tb.Helper()
	requestContext := map[string]any{"requestId": "r-1", "http": map[string]string{"method": r.Method, "sourceIp": r.SourceIP}}
	if r.Caller != nil {
		requestContext["authorizer"] = map[string]any{"lambda": r.Caller}
	}
	event, err := json.Marshal(map[string]any{
		"version": "2.0", "rawPath": r.Path, "rawQueryString": r.Query, "headers": r.Headers, "body": r.Body,
		"requestContext": requestContext,
	})
	if err != nil {
		tb.Fatal(err)
	}
	raw, err := handler.Invoke(tb.Context(), event)
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(raw, &response); err != nil {
		tb.Fatalf("response %s: %v", raw, err)
	}
	return response
}

// Exchange returns the request and its response in the form that the contract checks.
func (r Request) Exchange(response Response) contracttest.Exchange {
	return contracttest.Exchange{
		Method: r.Method, Path: r.Path, Query: r.Query, RequestHeaders: r.Headers, RequestBody: []byte(r.Body),
		Status: response.Status, Headers: response.Headers, Body: []byte(response.Body),
	}
}

// Send invokes the function and checks the response against the contract.
func (p *Platform) Send(tb testing.TB, r Request) Response {
	tb.Helper()
	response := Invoke(tb, p.Handler, r)
	if err := p.contract.Check(r.Exchange(response)); err != nil {
		tb.Errorf("response differs from docs/openapi.yaml: %v", err)
	}
	return response
}

// Do sends a request with a JSON body, if it has one. target is a path with its query;
// headers are name, value, name, value.
func (p *Platform) Do(tb testing.TB, caller *lambdahttp.Caller, method, target, body string, headers ...string) Response {
	tb.Helper()
	path, query, _ := strings.Cut(target, "?")
	r := Request{Method: method, Path: path, Query: query, Headers: map[string]string{}, Body: body, SourceIP: "192.0.2.7", Caller: caller}
	if body != "" {
		r.Headers["content-type"] = "application/json"
	}
	for i := 0; i < len(headers); i += 2 {
		r.Headers[strings.ToLower(headers[i])] = headers[i+1]
	}
	return p.Send(tb, r)
}

// Want fails the test unless the response has the status, and is a problem document when
// the status is 400 or above.
func (r Response) Want(tb testing.TB, status int) Response {
	tb.Helper()
	if r.Status != status {
		tb.Fatalf("got %d %.500s, want %d", r.Status, r.Body, status)
	}
	if status >= 400 && r.Headers["content-type"] != problem.ContentType {
		tb.Fatalf("got %+v, want a problem document", r)
	}
	return r
}

// Decode reads the JSON body into v.
func (r Response) Decode(tb testing.TB, v any) {
	tb.Helper()
	if err := json.Unmarshal([]byte(r.Body), v); err != nil {
		tb.Fatalf("body %q: %v", r.Body, err)
	}
}

// Member returns a member of the body's JSON object as text.
func (r Response) Member(tb testing.TB, name string) string {
	tb.Helper()
	var members map[string]any
	r.Decode(tb, &members)
	return fmt.Sprint(members[name])
}

// FirstAdministrator creates the first account, an administrator with Password.
func FirstAdministrator(tb testing.TB, pool *timescale.Pool, name string) {
	tb.Helper()
	phc, err := password.Hash(Password, password.DefaultCost(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	created, err := pool.FirstAdministrator(tb.Context(), name, phc, trail.Entry{Action: "account.create", Detail: "{}"})
	if err != nil || !created {
		tb.Fatalf("first administrator: got created %t, %v", created, err)
	}
}

// Trail verifies the chain of the audit trail and returns how often each action happened: the
// number of its entries, or what they sum up. No entry may hold the password or a refresh token.
func (p *Platform) Trail(tb testing.TB) map[trail.Action]int {
	tb.Helper()
	var verifier trail.Verifier
	actions := make(map[trail.Action]int)
	for after := int64(0); ; {
		entries, err := p.Owner.TrailAfter(tb.Context(), after, 1000)
		if err != nil {
			tb.Fatal(err)
		}
		if len(entries) == 0 {
			return actions
		}
		for _, e := range entries {
			if err := verifier.Next(e); err != nil {
				tb.Fatal(err)
			}
			if text := e.Detail + e.Object; strings.Contains(text, Password) || strings.Contains(text, "ihr_") {
				tb.Errorf("entry %d holds a secret", e.Seq)
			}
			number := 1
			if _, ok := trail.Summed()[e.Action]; ok {
				if sum, err := trail.ParseSum([]byte(e.Detail), e.Action); err == nil {
					number = int(sum.Number)
				}
			}
			actions[e.Action] += number
			after = e.Seq
		}
	}
}
