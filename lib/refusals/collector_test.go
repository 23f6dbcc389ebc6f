package refusals_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/refusals"
	"github.com/insighthub/insighthub/lib/trail"
)

// world is a collector, what it publishes and what invokes it.
type world struct {
	*refusals.Collector
	registry *prometheus.Registry
	handler  refusals.Handler

	mu      sync.Mutex
	fail    error
	takes   time.Duration // how long a publication takes
	calls   [][]refusals.Report
	arrived []refusals.Report
	refuse  []trail.Occurrence // rejected by the next invocation
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{registry: prometheus.NewRegistry()}
	n := 0
	var err error
	w.Collector, err = refusals.New(refusals.Config{
		Publisher: w, Registerer: w.registry, Now: time.Now, NewID: func() string { n++; return fmt.Sprint("r", n) },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.handler = w.Observe(w)
	return w
}

func (w *world) Publish(ctx context.Context, reports []refusals.Report) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, reports)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(w.takes):
	}
	if w.fail == nil {
		w.arrived = append(w.arrived, reports...)
	}
	return w.fail
}

func (w *world) Invoke(context.Context, []byte) ([]byte, error) {
	for _, r := range w.refuse {
		w.Count(r)
	}
	w.refuse = nil
	return []byte("response"), nil
}

// request is an invocation that rejects the tokens; it returns how long it took.
func (w *world) request(t *testing.T, refuse ...trail.Occurrence) time.Duration {
	t.Helper()
	w.refuse = refuse
	start := time.Now()
	if got, err := w.handler.Invoke(t.Context(), nil); string(got) != "response" || err != nil {
		t.Errorf("got %s, %v; want the handler's response", got, err)
	}
	return time.Since(start)
}

func (w *world) numbers() string {
	var out []int64
	for _, r := range w.arrived {
		out = append(out, r.Number)
	}
	return fmt.Sprint(out)
}

func bad(source string) trail.Occurrence {
	return trail.Occurrence{
		Action: trail.RefusedAccessToken, Reason: "expired", Source: source, Route: "ANY /v1/{path+}", KeyID: "k-1", Subject: "gw-1",
	}
}

// TestPublishesWithoutAnInvocation: what was counted is published when it is due, also if no request
// comes after a flood; a failure is tried again.
func TestPublishesWithoutAnInvocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.request(t, bad("192.0.2.1"))
		w.request(t, bad("192.0.2.1"), bad("192.0.2.2"))
		w.fail = errors.New("no bus")
		time.Sleep(11 * time.Second)
		synctest.Wait()
		w.fail = nil
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if w.numbers() != "[1 2]" {
			t.Errorf("got %s, want [1 2]", w.numbers())
		}
		time.Sleep(time.Hour)
		if len(w.calls) != 3 {
			t.Errorf("got %d publications, want 3", len(w.calls))
		}
	})
}

func TestPublishesAtOnceAndThenAtIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.takes = 3 * time.Millisecond
		w.request(t)
		if len(w.calls) != 0 {
			t.Fatal("published although nothing was rejected")
		}
		start := time.Now().UTC()
		if took := w.request(t, bad("192.0.2.1")); took != w.takes {
			t.Errorf("the first invocation waits %v, want %v, the time of the publication", took, w.takes)
		}
		want := refusals.Report{ID: "r1", Action: trail.RefusedAccessToken, Number: 1, First: start, Last: start, Lines: []refusals.Line{{
			Reason: "expired", Source: "192.0.2.1", Route: "ANY /v1/{path+}", KeyID: "k-1", Subject: "gw-1",
			Number: 1, First: start, Last: start,
		}}}
		if diff := cmp.Diff([]refusals.Report{want}, w.arrived); diff != "" {
			t.Error(diff)
		}
		for range 99 { // for 9.9 s
			if took := w.request(t, bad("192.0.2.1"), bad("192.0.2.2")); took != 0 {
				t.Errorf("waits %v inside the interval, want 0", took)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if len(w.calls) != 1 {
			t.Errorf("got %d publications in an interval, want 1", len(w.calls))
		}
		time.Sleep(100*time.Millisecond + w.takes) // the end of the interval, at which a timer publishes
		w.request(t)
		if len(w.calls) != 2 || w.numbers() != "[1 198]" || len(w.arrived[1].Lines) != 2 || w.arrived[1].Lines[0].Number != 99 {
			t.Errorf("got %d publications, %+v; want 2, of 1 and 198 rejections", len(w.calls), w.arrived)
		}
		if n := metric(t, w.registry, "insighthub_refused_tokens_total", ""); n != 199 {
			t.Errorf("metric: got %v, want 199", n)
		}
		time.Sleep(time.Hour)
		w.request(t)
		if len(w.calls) != 2 {
			t.Error("an empty report was published")
		}
		w.request(t, bad("192.0.2.1"))
		if w.numbers() != "[1 198 1]" {
			t.Errorf("after an hour: got %s, want it published at once", w.numbers())
		}
	})
}

// metric returns the value of a counter, of one outcome if it has that label.
func metric(t *testing.T, from prometheus.Gatherer, name, outcome string) float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (outcome == "" || m.GetLabel()[0].GetValue() == outcome) {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s %s", name, outcome)
	return 0
}

// TestRetry: a report that could not be published is retried unchanged, with its id, and
// later rejections follow in the next. Nothing is lost or counted twice.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.fail = errors.New("no bus")
		w.request(t, bad("192.0.2.1"), bad("192.0.2.1"))
		for range 5 {
			time.Sleep(10 * time.Second)
			w.request(t, bad("192.0.2.9"))
		}
		synctest.Wait() // a request does not wait for an attempt that it finds running
		if len(w.calls) != 6 || len(w.arrived) != 0 {
			t.Fatalf("got %d attempts and %d reports, want 6 and 0", len(w.calls), len(w.arrived))
		}
		for i, c := range w.calls {
			if diff := cmp.Diff(w.calls[0], c); diff != "" {
				t.Errorf("attempt %d publishes another report (-want +got):\n%s", i, diff)
			}
		}
		w.fail = nil
		for range 3 {
			time.Sleep(10 * time.Second)
			w.request(t)
		}
		synctest.Wait()
		if w.numbers() != "[2 5]" || w.arrived[0].ID == w.arrived[1].ID {
			t.Errorf("got %s, want [2 5] with two ids", w.numbers())
		}
		for outcome, want := range map[string]float64{"failed": 6, "published": 2} {
			if n := metric(t, w.registry, "insighthub_refusal_reports_total", outcome); n != want {
				t.Errorf("%s: got %v, want %v", outcome, n, want)
			}
		}
	})
}

// TestSlowBus: one invocation per interval waits, for 25 ms, and at most one attempt is in
// progress.
func TestSlowBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.takes = time.Hour
		if took := w.request(t, bad("192.0.2.1")); took != 25*time.Millisecond {
			t.Errorf("waits %v, want 25ms", took)
		}
		for range 200 {
			if took := w.request(t, bad("192.0.2.1")); took != 0 {
				t.Errorf("waits %v during another's attempt, want 0", took)
			}
			time.Sleep(10 * time.Millisecond)
		}
		// The attempt has reached its timeout.
		w.takes = 0
		time.Sleep(8 * time.Second)
		w.request(t)
		time.Sleep(10 * time.Second)
		w.request(t)
		if w.numbers() != "[1 200]" {
			t.Errorf("got %s, want [1 200]", w.numbers())
		}
	})
}

func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.fail = errors.New("no bus")
		w.request(t, bad("192.0.2.1"))
		w.request(t, bad("192.0.2.2"))
		w.fail = nil
		w.Shutdown(t.Context())
		if w.numbers() != "[1 1]" || len(w.calls) != 2 {
			t.Errorf("got %s in %d calls, want the pending and the remaining report in one", w.numbers(), len(w.calls))
		}
		w.Shutdown(t.Context())
		if len(w.calls) != 2 {
			t.Error("a second shutdown publishes again")
		}

		hangs := newWorld(t)
		hangs.takes = time.Hour
		hangs.request(t, bad("192.0.2.1"))
		start := time.Now()
		hangs.Shutdown(t.Context())
		if took := time.Since(start); took != 250*time.Millisecond {
			t.Errorf("the shutdown takes %v, want 250ms", took)
		}
		synctest.Wait()
		time.Sleep(2 * time.Second)
	})
}

type panics struct{ w *world }

func (p panics) Invoke(context.Context, []byte) ([]byte, error) {
	p.w.Count(bad("192.0.2.1"))
	panic("oh")
}

func TestPanicPublishesFirst(t *testing.T) {
	w := newWorld(t)
	defer func() {
		if recover() == nil || w.numbers() != "[1]" {
			t.Errorf("got %s, want [1] and the panic", w.numbers())
		}
	}()
	_, _ = w.Observe(panics{w}).Invoke(t.Context(), nil)
}

func TestManyAtOnce(t *testing.T) {
	w := newWorld(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 1000 {
				w.Count(bad(fmt.Sprintf("10.0.%d.%d", i, n%250)))
				_, _ = w.handler.Invoke(t.Context(), nil)
			}
		})
	}
	all.Wait()
	w.Shutdown(t.Context())
	sum := int64(0)
	for _, r := range w.arrived {
		sum += r.Number
	}
	if sum != 8000 {
		t.Errorf("got %d rejections, want 8000", sum)
	}
}
