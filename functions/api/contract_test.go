package main

import (
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

// TestContractIsTheCode checks that the contract has exactly the routes of the API.
func TestContractIsTheCode(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	handler := resources(p.Pool, slog.New(slog.DiscardHandler), services{files: exportBucket(t), kpis: p.kpis, ice: testICE()})
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

// TestServesTheContract requests the contract without a token.
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
		a := p.Do(t, nil, "GET", path, "").Want(t, http.StatusOK)
		policy := a.Headers["content-security-policy"]
		if a.Body != string(file) || a.Headers["content-type"] != want.kind || !strings.Contains(policy, want.policy) {
			t.Errorf("%s: got %v, %d bytes", path, a.Headers, len(a.Body))
		}
		for _, tags := range []string{a.Headers["etag"], "W/" + a.Headers["etag"], `"other", ` + a.Headers["etag"], "*"} {
			if a := p.Do(t, nil, "GET", path, "", "If-None-Match", tags).Want(t, http.StatusNotModified); a.Body != "" {
				t.Errorf("%s: got a body with 304", path)
			}
		}
		p.Do(t, nil, "GET", path, "", "If-None-Match", `W/"other"`).Want(t, http.StatusOK)
	}
	p.Do(t, nil, "GET", "/v1/sites", "").Want(t, http.StatusUnauthorized)
}
