package stack

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
)

// TestRevokedIsRejectedSoon: a disabled person's token and a revoked gateway's are rejected
// within 10 s, although API Gateway has cached that they are good, by the API and by ingest,
// and so are tokens that it sees for the first time. A right that is regained works at once.
func TestRevokedIsRejectedSoon(t *testing.T) {
	t.Parallel()
	cfg := Config{State: t.TempDir(), Database: pgtest.NewDatabase(t), Functions: build(t).functions, Assembly: measuredAssembly(t)}
	serveAPI(t, cfg.Assembly)
	s := startTest(t, cfg)
	base, admin := s.Info().HTTP, logIn(t, s)
	must := func(method, path string, body any, want int, into any) {
		t.Helper()
		raw, _ := json.Marshal(body) // maps and strings
		status, response := as(t, method, base+path, admin, raw)
		if status != want {
			t.Fatalf("%s %s: got %d %s, want %d", method, path, status, response, want)
		}
		if into != nil {
			if err := json.Unmarshal(response, into); err != nil {
				t.Fatal(err)
			}
		}
	}
	must(http.MethodPost, "/v1/sites", map[string]string{"name": "plant-1", "title": "A plant"}, http.StatusCreated, nil)
	const name, password = "bob", "correct horse battery staple"
	var account struct {
		ID string `json:"id"`
	}
	grants := map[string]string{"plant-1": "viewer"}
	must(http.MethodPost, "/v1/users", map[string]any{"name": name, "password": password, "grants": grants}, http.StatusCreated, &account)
	credentials, _ := json.Marshal(map[string]string{"name": name, "password": password}) // strings only
	login := func() string {
		var pair struct {
			Token string `json:"access_token"`
		}
		call(t, http.MethodPost, base+"/v1/login", "", credentials, &pair)
		return pair.Token
	}
	gw := newGateway(t, s, "gw-1")
	events := body(time.Now(), 0)
	person := func(token string) func() int {
		return func() int {
			status, _ := request(t, http.MethodGet, base+"/v1/sites/plant-1", token, nil)
			return status
		}
	}
	machine := func() int {
		status, _ := request(t, http.MethodPost, base+"/v1/telemetry", gw.token, events)
		return status
	}
	cached, unseen := login(), login()
	for range 20 { // each environment has a list, and API Gateway has cached the authorizer's responses
		if a, b := person(cached)(), machine(); a != http.StatusOK || b != http.StatusAccepted {
			t.Fatalf("before: got %d and %d, want 200 and 202", a, b)
		}
	}

	timed := func(what string, since time.Time, try func() int, want ...int) {
		t.Helper()
		const most = 10 * time.Second // after that every environment has read the list
		for {
			start := time.Now()
			status := try()
			if start.Sub(since) >= most && status != want[0] && status != want[len(want)-1] {
				t.Errorf("%s: got %d %v after it, want %v", what, status, start.Sub(since), want)
				return
			}
			if status == want[0] || status == want[len(want)-1] {
				t.Logf("%s: rejected after %v", what, start.Sub(since).Round(10*time.Millisecond))
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	user := "/v1/users/" + account.ID
	must(http.MethodPut, user, map[string]any{"disabled": true, "grants": grants}, http.StatusOK, nil)
	disabled := time.Now()
	timed("a disabled person, cached", disabled, person(cached), http.StatusUnauthorized)
	timed("a disabled person, not cached", disabled, person(unseen), http.StatusForbidden, http.StatusUnauthorized)
	must(http.MethodDelete, "/v1/sites/plant-1/gateways/gw-1", nil, http.StatusOK, nil)
	timed("a revoked gateway, cached", time.Now(), machine, http.StatusUnauthorized)

	must(http.MethodPut, user, map[string]any{"disabled": false, "grants": grants}, http.StatusOK, nil)
	if status := person(login())(); status != http.StatusOK {
		t.Errorf("after the right was regained: got %d, want 200", status)
	}
	for end := time.Now().Add(6 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if status := person(cached)(); status == http.StatusOK {
			t.Fatal("the old token is accepted again")
		}
	}
}

// as sends a request with If-Match.
func as(t *testing.T, method, address, bearer string, body []byte) (status int, response []byte) {
	t.Helper()
	var content io.Reader = http.NoBody
	if string(body) != "null" {
		content = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, address, content)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	req.Header.Set("If-Match", "*")
	if content != http.NoBody {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if response, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, response
}
