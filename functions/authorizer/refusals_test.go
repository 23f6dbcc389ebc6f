package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/local/events"
	"github.com/insighthub/insighthub/lib/refusals"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/trail"
)

// busLog records the events of a bus.
type busLog struct {
	mu    sync.Mutex
	lines bytes.Buffer
	down  atomic.Bool
}

func (l *busLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(p)
}

// reports parses them as functions/refusals does.
func (l *busLog) reports(t *testing.T) []refusals.Report {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []refusals.Report
	for line := range strings.Lines(l.lines.String()) {
		var event struct {
			Source     string          `json:"source"`
			DetailType string          `json:"detail-type"`
			Detail     json.RawMessage `json:"detail"`
		}
		err := json.Unmarshal([]byte(line), &event)
		if err != nil || event.Source != refusals.Source || event.DetailType != refusals.EventType {
			t.Fatalf("got %s, %v; want an event of the type %s", line, err, refusals.EventType)
		}
		r, err := trail.ParseReport(event.Detail)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// withBus adds a bus to the environment.
func (s *service) withBus(tb testing.TB) *busLog {
	tb.Helper()
	log := &busLog{}
	up := events.New(tb.Context(), events.Config{Buses: []string{"refused"}, Out: log, Now: time.Now}).Handler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if log.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		up.ServeHTTP(w, r)
	}))
	tb.Cleanup(server.Close)
	s.env["EVENT_BUS"], s.env["AWS_ENDPOINT_URL_EVENTBRIDGE"] = "refused", server.URL
	return log
}

const notAuthorized = `{"isAuthorized":false}`

func request(authorization, source string) []byte {
	raw, _ := json.Marshal(map[string]any{ // strings are always valid
		"version": "2.0", "type": "REQUEST", "identitySource": []string{authorization}, "routeKey": "POST /v1/telemetry",
		"requestContext": map[string]any{"requestId": "r-1", "http": map[string]any{"sourceIp": source}},
	})
	return raw
}

// TestRefusalsReachTheBus: 10,000 invalid tokens from 2,500 addresses make a limited number
// of reports, whose numbers sum to 10,000; and no report contains a part of a token.
func TestRefusalsReachTheBus(t *testing.T) {
	t.Parallel()
	s := newService(t)
	bus := s.withBus(t)
	f := s.function(t, io.Discard)
	good := s.mint(t, token.Identity{Subject: "gw-1", Gateway: "gw-1", Site: "plant-1", Role: token.Gateway})
	for i := range 10_000 {
		text := good[:len(good)-20] + fmt.Sprintf("%08d", i) + good[len(good)-12:] // in the signature
		got, err := f.Invoke(t.Context(), request("Bearer "+text, fmt.Sprintf("10.%d.%d.9", i%2500/250, i%250)))
		if err != nil || string(got) != notAuthorized {
			t.Fatalf("got %s, %v; want %s", got, err, notAuthorized)
		}
	}
	got, err := f.Invoke(t.Context(), request("Bearer "+good, "10.0.0.9"))
	if err != nil || !strings.Contains(string(got), `"isAuthorized":true`) {
		t.Errorf("valid token: got %s, %v; want it authorized", got, err)
	}
	f.Shutdown(t.Context())
	sum := int64(0)
	reports := bus.reports(t)
	for _, r := range reports {
		sum += r.Number
		const reason = "the signature does not verify"
		if l := r.Lines[0]; l.Route != "POST /v1/telemetry" || l.Subject != "gw-1" || len(l.KeyID) != 43 || l.Reason != reason {
			t.Errorf("got %+v, want the reason %q", l, reason)
		}
	}
	// One in 10 s, and one at the shutdown.
	if sum != 10_000 || len(reports) > 10 {
		t.Errorf("got %d refusals in %d reports, want 10,000 in 10 at most", sum, len(reports))
	}
	for part := range strings.SplitSeq(good, ".") {
		if strings.Contains(bus.lines.String(), part[:20]) {
			t.Error("got a part of the token on the bus")
		}
	}
}

// TestWithoutBus: callers get their responses, and the reports are published when the bus is
// available again.
func TestWithoutBus(t *testing.T) {
	t.Parallel()
	s := newService(t)
	bus := s.withBus(t)
	bus.down.Store(true)
	f := s.function(t, io.Discard)
	text := s.mint(t, token.Identity{Subject: "u-1", Grants: map[telemetry.SiteID]token.Role{"plant-1": token.Viewer}})
	for range 3 {
		if got, err := f.Invoke(t.Context(), request("Bearer "+text+"x", "192.0.2.1")); err != nil || string(got) != notAuthorized {
			t.Errorf("got %s, %v; want %s", got, err, notAuthorized)
		}
	}
	got, err := f.Invoke(t.Context(), request("Bearer "+text, "192.0.2.1"))
	if err != nil || !strings.Contains(string(got), `"isAuthorized":true`) {
		t.Errorf("got %s, %v; want it authorized", got, err)
	}
	bus.down.Store(false)
	f.Shutdown(t.Context())
	numbers := ""
	for _, r := range bus.reports(t) {
		numbers += fmt.Sprint(r.Number, " ")
	}
	if numbers != "1 2 " {
		t.Errorf("got reports of %q, want the one that failed, and the rest", numbers)
	}
}

func TestReasons(t *testing.T) {
	t.Parallel()
	s := newService(t)
	bus := s.withBus(t)
	f := s.function(t, io.Discard)
	text := s.mint(t, token.Identity{Subject: "gw-1", Gateway: "gw-1", Site: "plant-1", Role: token.Gateway})
	for header, reason := range map[string]string{
		"Basic " + text: "no bearer token", "Bearer " + text[:30]: "not three parts", "Bearer a.b.c": "not base64url",
	} {
		if got, err := f.Invoke(t.Context(), request(header, "2001:DB8::1")); err != nil || string(got) != notAuthorized {
			t.Errorf("%s: got %s, %v; want %s", reason, got, err, notAuthorized)
		}
	}
	f.Shutdown(t.Context())
	got := map[string]bool{}
	for _, r := range bus.reports(t) {
		for _, l := range r.Lines {
			got[l.Reason] = l.Source == "2001:db8::1" && l.KeyID == "" && l.Subject == ""
		}
	}
	if len(got) != 3 || !got["no bearer token"] || !got["not three parts"] || !got["not base64url"] {
		t.Errorf("got %v, want the three reasons", got)
	}
}
