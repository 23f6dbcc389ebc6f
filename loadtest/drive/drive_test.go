package drive

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/insighthub/insighthub/loadtest/fleet"
)

func gateways(t *testing.T, n int) ([]*fleet.Gateway, int) {
	t.Helper()
	cfg := fleet.Config{Prefix: "t", Site: "s", Seed: 1, Gateways: n, Machines: 1, Samples: 2, Horizon: time.Minute, Start: time.Now()}
	gs, err := fleet.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return gs, cfg.EventsPerBatch()
}

func token(_ context.Context, g string) (string, error) { return "token-of-" + g, nil }

// server accepts batches, remembers each event's identity and fails every
// failEvery-th request after it has stored it.
type server struct {
	mu        sync.Mutex
	seen      map[string]int
	requests  atomic.Int64
	failEvery int64
	stall     func(n int64)
	status    int
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := s.requests.Add(1)
	if s.stall != nil {
		s.stall(n)
	}
	body, _ := io.ReadAll(r.Body)
	var in struct {
		Events []struct{ Device, Metric, Time string }
	}
	if err := json.Unmarshal(body, &in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	for _, e := range in.Events {
		s.seen[r.Header.Get("Authorization")+e.Device+e.Metric+e.Time]++
	}
	s.mu.Unlock()
	if s.status != 0 {
		http.Error(w, "no", s.status)
		return
	}
	if s.failEvery > 0 && n%s.failEvery == 0 {
		http.Error(w, "later", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprintf(w, `{"accepted":%d,"rejected":0}`, len(in.Events))
}

func TestOpenLoopRetries(t *testing.T) {
	srv := &server{seen: map[string]int{}, failEvery: 5}
	ts := httptest.NewServer(srv)
	defer ts.Close()
	gs, per := gateways(t, 4)
	res, err := Run(context.Background(), Config{URL: ts.URL, Token: token, Rate: 4000, Duration: time.Second, Grace: time.Minute}, gs, per)
	if err != nil {
		t.Fatal(err)
	}
	// 4,000 events/s in batches of 20 from 4 gateways: 50 batches each.
	if res.Accepted != 4000 || res.Rejected != 0 || res.Unknown != 0 {
		t.Errorf("got %+v, want 4000 accepted", res)
	}
	if res.Retries == 0 {
		t.Error("got no retries, want some as every fifth request failed")
	}
	if len(srv.seen) != 4000 {
		t.Errorf("got %d different events at the server, want 4000", len(srv.seen))
	}
	var acked int64
	for _, g := range gs {
		for _, s := range g.Acknowledged() {
			acked += s.Count
		}
	}
	if acked != 4000 {
		t.Errorf("got %d acknowledged events, want 4000", acked)
	}
}

// TestStallIsInLatencies tests that there is no coordinated omission: one stall of the
// server is in the latencies of all batches that were due meanwhile.
func TestStallIsInLatencies(t *testing.T) {
	srv := &server{seen: map[string]int{}, stall: func(n int64) {
		if n == 10 {
			time.Sleep(300 * time.Millisecond)
		}
	}}
	ts := httptest.NewServer(srv)
	defer ts.Close()
	gs, per := gateways(t, 1)
	res, err := Run(context.Background(), Config{URL: ts.URL, Token: token, Rate: 2000, Duration: time.Second, Grace: time.Minute}, gs, per)
	if err != nil {
		t.Fatal(err)
	}
	// 100 batches, one each 10 ms; thirty are due during the stall.
	if res.Ack.P95 < 100 {
		t.Errorf("got p95 %.1f ms, want 100 ms or more as a third of the batches waited for up to 300 ms", res.Ack.P95)
	}
}

func TestRejectionIsNotRetried(t *testing.T) {
	srv := &server{seen: map[string]int{}, status: http.StatusUnprocessableEntity}
	ts := httptest.NewServer(srv)
	defer ts.Close()
	gs, per := gateways(t, 1)
	cfg := Config{URL: ts.URL, Token: token, Rate: 200, Duration: 200 * time.Millisecond, Grace: time.Minute}
	res, err := Run(context.Background(), cfg, gs, per)
	if err != nil {
		t.Fatal(err)
	}
	if res.Retries != 0 || res.Accepted != 0 || res.Rejected == 0 || res.FirstError == "" {
		t.Errorf("got %+v, want all events rejected, no retries and the first error", res)
	}
}

func TestClosedLoopIdentitiesAreDistinct(t *testing.T) {
	srv := &server{seen: map[string]int{}}
	ts := httptest.NewServer(srv)
	defer ts.Close()
	gs, per := gateways(t, 2)
	res, err := Run(context.Background(), Config{URL: ts.URL, Token: token, Duration: 200 * time.Millisecond, Grace: time.Minute}, gs, per)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(srv.seen)) != res.Accepted || res.Accepted == 0 {
		t.Errorf("got %d identities for %d accepted events, want as many", len(srv.seen), res.Accepted)
	}
}

func TestPercentiles(t *testing.T) {
	var s []Sample
	for i := 100; i >= 1; i-- {
		s = append(s, Sample{Latency: time.Duration(i) * time.Millisecond, Weight: 3})
	}
	want := Percentiles{P50: 50, P95: 95, P99: 99, Max: 100}
	if got := PercentilesOf(s); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := PercentilesOf(nil); got != (Percentiles{}) {
		t.Errorf("got %+v of no samples, want zeros", got)
	}
}

// TestLiveDoesNotWait: samples are shown when they are read while ingest hangs, and the same values
// are then sent, once each.
func TestLiveDoesNotWait(t *testing.T) {
	gs, perBatch := gateways(t, 1)
	release := make(chan struct{})
	srv := &server{seen: make(map[string]int), stall: func(int64) { <-release }}
	web := httptest.NewServer(srv)
	defer web.Close()
	const batches = 5
	var live atomic.Int64
	cfg := Config{
		URL: web.URL, Token: token, Rate: float64(perBatch) * 20, Duration: batches * 50 * time.Millisecond, Grace: time.Minute,
		Live: func(_ *fleet.Gateway, _ time.Time, values []int64) {
			if live.Add(int64(len(values))) == int64(batches*perBatch) {
				close(release) // not before all samples were shown
			}
		},
	}
	res, err := Run(t.Context(), cfg, gs, perBatch)
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(batches * perBatch); res.Accepted != want || live.Load() != want || int64(len(srv.seen)) != want {
		t.Errorf("%d accepted, %d live, %d stored; want %d of each", res.Accepted, live.Load(), len(srv.seen), want)
	}
}
