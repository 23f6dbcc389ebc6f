package main

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/insighthub/insighthub/docs/contracttest"
	"github.com/insighthub/insighthub/lib/access"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
)

// exchange is what the tests' helper did, for the contract to judge.
func exchange(method, path, query string, headers map[string]string, body string, a answer) contracttest.Exchange {
	return contracttest.Exchange{
		Method: method, Path: path, Query: query, RequestHeaders: headers, RequestBody: []byte(body),
		Status: a.Status, Headers: a.Headers, Body: []byte(a.Body),
	}
}

// TestContractIsTheCode: every route of the API is in the contract, and nothing else.
func TestContractIsTheCode(t *testing.T) {
	t.Parallel()
	handler := resources(newPlatform(t).pool, slog.New(slog.DiscardHandler), testServices(t))
	const ingest = "POST /v1/telemetry" // functions/ingest has no router
	served := append(append(handler.Patterns(), access.Patterns()...), ingest)
	slices.Sort(served)
	described := contracttest.Open(t).Operations()
	for _, route := range served {
		if !slices.Contains(described, route) {
			t.Errorf("%s is served and not in docs/openapi.yaml", route)
		}
	}
	for _, route := range described {
		if !slices.Contains(served, route) {
			t.Errorf("%s is in docs/openapi.yaml and not served", route)
		}
	}
}

// stranger asks without any caller, as on a route without an authorizer.
func (p *platform) stranger(t *testing.T, path string, headers map[string]string) answer {
	t.Helper()
	event, err := json.Marshal(map[string]any{
		"version": "2.0", "rawPath": path, "headers": headers,
		"requestContext": map[string]any{"http": map[string]string{"method": "GET"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p.invoke(t, event)
}

func TestServesTheContract(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	for path, want := range map[string]struct{ file, kind, policy string }{
		"/openapi.yaml": {"openapi.yaml", "application/yaml", lambdahttp.APIPolicy},
		"/docs":         {"api.html", "text/html; charset=utf-8", "style-src 'sha256-"},
	} {
		file, err := os.ReadFile("../../docs/" + want.file)
		if err != nil {
			t.Fatal(err)
		}
		a := p.stranger(t, path, nil).want(t, http.StatusOK)
		if a.Body != string(file) || a.Headers["content-type"] != want.kind || !strings.Contains(a.Headers["content-security-policy"], want.policy) {
			t.Errorf("%s: got %v, %d bytes", path, a.Headers, len(a.Body))
		}
		again := p.stranger(t, path, map[string]string{"if-none-match": a.Headers["etag"]}).want(t, http.StatusNotModified)
		for _, tags := range []string{"W/" + a.Headers["etag"], `"other", ` + a.Headers["etag"], "*"} {
			p.stranger(t, path, map[string]string{"if-none-match": tags}).want(t, http.StatusNotModified)
		}
		p.stranger(t, path, map[string]string{"if-none-match": `W/"other"`}).want(t, http.StatusOK)
		if again.Body != "" {
			t.Errorf("%s: a body with 304", path)
		}
		for _, x := range []contracttest.Exchange{exchange("GET", path, "", nil, "", a), exchange("GET", path, "", nil, "", again)} {
			if err := contracttest.Open(t).Check(x); err != nil {
				t.Error(err)
			}
		}
	}
	p.stranger(t, "/v1/sites", nil).want(t, http.StatusUnauthorized)
}
