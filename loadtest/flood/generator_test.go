package flood

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestSend counts what a server gets: every request once, no two alike, from as many addresses
// as there are connections.
func TestSend(t *testing.T) {
	var mu sync.Mutex
	bodies, sources := map[string]int{}, map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		mu.Lock()
		bodies[r.Method+r.URL.Path+string(body)]++
		sources[host]++
		n := len(bodies)
		mu.Unlock()
		switch {
		case n%10 == 0:
			w.Header().Set("Connection", "close") // the connection is made again
			w.WriteHeader(http.StatusUnauthorized)
		case n%3 == 0:
			w.WriteHeader(http.StatusNoContent)
		default:
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, `{"message":"Too Many Requests"}`)
		}
	}))
	defer server.Close()
	c := Contract{Issuer: "http://localhost"}
	out, err := Stream{
		Address: server.Listener.Addr().String(), Rate: 1000, Duration: 500 * time.Millisecond, Connections: 20,
		Endpoint: Endpoint{append: c.requests([]string{"POST /v1/login"}, false)},
	}.Send(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	responses := int64(0)
	for _, n := range out.Statuses {
		responses += n
	}
	mu.Lock()
	defer mu.Unlock()
	if out.Sent < 100 || responses+out.Failed != out.Sent || responses < out.Sent*8/10 {
		t.Errorf("%+v: want a response to nearly all", out)
	}
	if len(out.Statuses) != 3 || int64(len(bodies)) > out.Sent || int64(len(bodies)) < responses || len(sources) != 20 {
		t.Errorf("%+v; %d different requests from %d addresses, want as many as sent, from 20", out, len(bodies), len(sources))
	}
	for body, n := range bodies {
		if n != 1 {
			t.Errorf("%s was sent %d times", body, n)
		}
	}
}

// TestSendWaits: a response that comes after the end of the flood is counted.
func TestSendWaits(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(300 * time.Millisecond):
			w.WriteHeader(http.StatusUnauthorized)
		case <-r.Context().Done():
			t.Error("the client closed the connection before it had a response")
		}
	}))
	defer server.Close()
	out, err := Stream{
		Address: server.Listener.Addr().String(), Rate: 50, Duration: 100 * time.Millisecond, Connections: 4,
		Endpoint: Endpoint{append: Contract{}.requests([]string{"GET /docs"}, false)},
	}.Send(t.Context())
	if err != nil || out.Failed != 0 || out.Statuses[http.StatusUnauthorized] != out.Sent || out.Sent == 0 {
		t.Errorf("%+v, %v: want a response to each request", out, err)
	}
}

func TestSendEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Stream{Address: "127.0.0.1:1", Rate: 1, Duration: time.Hour, Connections: 1}).Send(ctx); err == nil {
		t.Error("got no error from a server that does not exist")
	}
}

// TestEndpoints: what the contract opens is flooded, and what it guards is too.
func TestEndpoints(t *testing.T) {
	contract, err := os.ReadFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	endpoints, err := Endpoints(Contract{OpenAPI: contract, KeyID: "k", Issuer: "http://i"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range endpoints {
		name, _, several := strings.Cut(e.Name, " operations, ")
		if several {
			name = strings.Trim(name, "0123456789") + "N"
		}
		names = append(names, name)
		first, second := string(e.append(nil, 0)), string(e.append(nil, 1))
		if garbage := strings.Contains(e.Name, "garbage token"); garbage != strings.Contains(first, "Authorization: Bearer ey") {
			t.Errorf("%s: %s", e.Name, first)
		}
		if posts := strings.HasPrefix(e.Name, "POST"); posts && first == second {
			t.Errorf("%s: two requests are equal: %s", e.Name, first)
		}
		if strings.ContainsAny(strings.SplitN(first, "\r\n", 2)[0], "{}") {
			t.Errorf("%s: a parameter is left in the path: %s", e.Name, first)
		}
	}
	want := []string{
		"GET /.well-known/jwks.json", "GET /.well-known/oauth-authorization-server", "GET /docs", "GET /openapi.yaml",
		"POST /v1/login", "POST /v1/logout", "POST /v1/refresh", "POST /v1/token",
		"POST /v1/telemetry, garbage token", "the other N", "all N",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
	for _, bad := range []string{"", "paths: {}", "paths: [", "paths: {/a: {get: {}}}"} {
		if _, err := Endpoints(Contract{OpenAPI: []byte(bad)}); err == nil {
			t.Errorf("contract %q: got no error", bad)
		}
	}
}
