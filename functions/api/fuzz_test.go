package main

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/docs/contracttest"
	"github.com/insighthub/insighthub/lib/api"
	"github.com/insighthub/insighthub/lib/api/apitest"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
)

// noFiles is a bucket that is unavailable.
type noFiles struct{}

func (noFiles) Create(context.Context, string, string) (api.File, error) {
	return nil, telemetry.ErrUnavailable
}

func (noFiles) Address(context.Context, string, string, time.Duration) (string, error) {
	return "", telemetry.ErrUnavailable
}

// FuzzRequest checks that every request of an administrator while the database is
// unavailable gets a response of the contract: 503 when the request is valid, or a
// rejection. It is never 500: path, query, headers and body are checked before the
// database is used.
func FuzzRequest(f *testing.F) {
	const device = "/v1/sites/s/gateways/g/devices/d"
	for _, seed := range []struct{ method, target, header, body string }{
		{"GET", "/v1/sites?limit=2&cursor=AAAA", "", ""},
		{"GET", "/v1/sites/s/readings?gateway=g&device=d&metric=m&from=2026-01-01T00:00:00Z&to=x&resolution=1m", "", ""},
		{"GET", "/v1/sites/s/latest?gateway=g&quality=all", "", ""},
		{"GET", "/v1/sites/s/kpis?from=0&to=9223372036854775807&by=device", "", ""},
		{"GET", "/v1/sites/s/anomalies?kind=score&state=open&from=2026-11-23T09:00:00Z&cursor=x", "", ""},
		{"GET", "/v1/audit?after=-1&format=ndjson&limit=1001", "", ""},
		{"GET", "/v1/sites/%2e%2e%2f/gateways/%00?limit=%zz", "", ""},
		{"POST", "/v1/sites", "", `{"name":"s","title":"","time_zone":"Europe/Vienna"}`},
		{"POST", "/v1/sites", "k-1", `{"name":"` + strings.Repeat("x", 200) + `"}`},
		{"PUT", "/v1/sites/s", `"1"`, `{"title":"\ud800","admin":true}`},
		{"PUT", device, `"99999999999999999999"`, `{"title":"x","kind":"press"}`},
		{"PUT", device + "/kpi-config", "*", `{"ideal_cycle_seconds":1e999}`},
		{"PUT", "/v1/sites/s/gateways/g/metrics/m", `W/"1"`, `{"unit":"Cel"}`},
		{"POST", "/v1/sites/s/gateways", "", `{"name":"g","key":{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}}`},
		{"POST", "/v1/sites/s/alarm-rules", "", `{"title":"x","kind":"threshold","above":1}`},
		{"POST", "/v1/sites/s/anomalies/1/comments", "", `{"text":"x"}`},
		{"POST", "/v1/sites/s/exports", "", `{"format":"csv","from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"}`},
		{"POST", "/v1/users", "", `{"name":"ada","password":"correct horse battery staple","grants":{"*":"admin"}}`},
		{"DELETE", "/v1/sites/s/gateways/g/keys/k", "", ""},
		{"PATCH", "/v1/sites/s", "", strings.Repeat("[", 40)},
	} {
		f.Add(seed.method, seed.target, seed.header, seed.body)
	}
	handler := wire(unavailable(f), slog.New(slog.DiscardHandler),
		services{ice: testICE(), files: noFiles{}, kpis: &fakeKPIs{err: telemetry.ErrUnavailable}})
	contract := contracttest.Open(f)
	f.Fuzz(func(t *testing.T, method, target, header, body string) {
		if !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}, method) {
			method = "GET" // API Gateway has no routes for other methods
		}
		path, query, _ := strings.Cut(target, "?")
		r := apitest.Request{
			Method: method, Path: path, Query: query, Headers: map[string]string{"content-type": "application/json"}, Body: body,
			SourceIP: "192.0.2.7", Caller: apitest.Administrator(),
		}
		if header != "" {
			r.Headers["if-match"], r.Headers["idempotency-key"] = header, header
		}
		a := apitest.Invoke(t, handler, r)
		if a.Status == 500 {
			t.Errorf("%s %s %q %q: got %+v, want no 500", method, target, header, body, a)
		}
		// The handler routes the decoded path, the contract the path as it is sent.
		if !strings.ContainsAny(target, "%") && strings.HasPrefix(path, "/v1/") && a.Status >= 400 && a.Status != 404 && a.Status != 405 {
			if err := contract.Check(r.Exchange(a)); err != nil {
				t.Errorf("%s %s %q %q: response differs from docs/openapi.yaml: %v", method, target, header, body, err)
			}
		}
	})
}

// unavailable returns a pool whose database cannot be reached; it fails at once.
func unavailable(f *testing.F) *timescale.Pool {
	f.Helper()
	var config net.ListenConfig
	l, err := config.Listen(f.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		f.Fatal(err)
	}
	pool, err := timescale.Open(f.Context(), timescale.PoolConfig{
		DSN: "postgres://nobody@" + address + "/none?sslmode=disable", MaxConnections: 1, ConnectTimeout: time.Second,
		MaxAttempts: 1, BreakerThreshold: 1, BreakerCoolDown: time.Hour,
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(pool.Close)
	return pool
}
