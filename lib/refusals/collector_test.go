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
	"github.com/insighthub/insighthub/lib/telemetry"
)

// world is a collector, what it publishes and what invokes it.
type world struct {
	*refusals.Collector
	registry *prometheus.Registry
	handler  refusals.Handler

	mu      sync.Mutex
	fail    error
	takes   time.Duration // of a publication
	calls   [][]refusals.Report
	arrived []refusals.Report
	refuse  []refusals.Refusal // by the next invocation
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
		w.Refused(r)
	}
	w.refuse = nil
	return []byte("answer"), nil
}

// request is an invocation that refuses the tokens; it returns how long it took.
func (w *world) request(t *testing.T, refuse ...refusals.Refusal) time.Duration {
	t.Helper()
	w.refuse = refuse
	start := time.Now()
	if got, err := w.handler.Invoke(t.Context(), nil); string(got) != "answer" || err != nil {
		t.Errorf("got %s, %v", got, err)
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

func bad(source string) refusals.Refusal {
	return refusals.Refusal{Reason: "expired", Source: source, Route: "ANY /v1/{path+}", KeyID: "k-1", Subject: "gw-1"}
}

func TestAtOnceAfterAQuietTimeThenAtIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.takes = 3 * time.Millisecond
		w.request(t)
		if len(w.calls) != 0 {
			t.Fatal("published although nothing was refused")
		}
		start := time.Now().UTC()
		if took := w.request(t, bad("192.0.2.1")); took != w.takes {
			t.Errorf("the first waits %v, want the publication's %v", took, w.takes)
		}
		want := refusals.Report{ID: "r1", Number: 1, First: start, Last: start, Lines: []refusals.Line{{
			Reason: "expired", Source: "192.0.2.1", Route: "ANY /v1/{path+}", KeyID: "k-1", Subject: "gw-1", Number: 1, First: start, Last: start,
		}}}
		if diff := cmp.Diff([]refusals.Report{want}, w.arrived); diff != "" {
			t.Error(diff)
		}
		for range 99 { // for 9.9 s
			if took := w.request(t, bad("192.0.2.1"), bad("192.0.2.2")); took != 0 {
				t.Errorf("waits %v inside the interval", took)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if len(w.calls) != 1 {
			t.Errorf("%d publications in an interval", len(w.calls))
		}
		time.Sleep(100 * time.Millisecond)
		w.request(t) // a good token takes along what is left
		if len(w.calls) != 2 || w.numbers() != "[1 198]" || len(w.arrived[1].Lines) != 2 || w.arrived[1].Lines[0].Number != 99 {
			t.Errorf("%d publications, %+v", len(w.calls), w.arrived)
		}
		if n := metric(t, w.registry, "insighthub_refused_tokens_total", ""); n != 199 {
			t.Errorf("%v refused by the metric", n)
		}
		time.Sleep(time.Hour)
		w.request(t)
		if len(w.calls) != 2 {
			t.Error("an empty report")
		}
		w.request(t, bad("192.0.2.1"))
		if w.numbers() != "[1 198 1]" {
			t.Errorf("not at once after an hour: %s", w.numbers())
		}
	})
}

// metric is the value of a counter, of that outcome if it has outcomes.
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

// TestFailureKeepsTheReport: what could not be published comes again as it was, with
// its id, and what is refused meanwhile comes after it. Nothing is lost or counted twice.
func TestFailureKeepsTheReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.fail = errors.New("no bus")
		w.request(t, bad("192.0.2.1"), bad("192.0.2.1"))
		for range 5 {
			time.Sleep(10 * time.Second)
			w.request(t, bad("192.0.2.9"))
		}
		if len(w.calls) != 6 || len(w.arrived) != 0 {
			t.Fatalf("%d attempts, %d arrived", len(w.calls), len(w.arrived))
		}
		for i, c := range w.calls {
			if diff := cmp.Diff(w.calls[0], c); diff != "" {
				t.Errorf("attempt %d is of another report:\n%s", i, diff)
			}
		}
		w.fail = nil
		for range 3 {
			time.Sleep(10 * time.Second)
			w.request(t)
		}
		if w.numbers() != "[2 5]" || w.arrived[0].ID == w.arrived[1].ID {
			t.Errorf("arrived %s", w.numbers())
		}
		for outcome, want := range map[string]float64{"failed": 6, "published": 2} {
			if n := metric(t, w.registry, "insighthub_refusal_reports_total", outcome); n != want {
				t.Errorf("%v %s, want %v", n, outcome, want)
			}
		}
	})
}

// TestBusThatHangs: one invocation in an interval waits, for 25 ms, and one attempt is
// under way at most.
func TestBusThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.takes = time.Hour
		if took := w.request(t, bad("192.0.2.1")); took != 25*time.Millisecond {
			t.Errorf("waits %v, want 25ms", took)
		}
		for range 200 {
			if took := w.request(t, bad("192.0.2.1")); took != 0 {
				t.Errorf("waits %v behind another's attempt", took)
			}
			time.Sleep(10 * time.Millisecond)
		}
		// The attempt has ended by its own bound.
		w.takes = 0
		time.Sleep(8 * time.Second)
		w.request(t)
		time.Sleep(10 * time.Second)
		w.request(t)
		if w.numbers() != "[1 200]" {
			t.Errorf("arrived %s", w.numbers())
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
			t.Errorf("arrived %s with %d calls, want the one kept and what is left in one", w.numbers(), len(w.calls))
		}
		w.Shutdown(t.Context())
		if len(w.calls) != 2 {
			t.Error("a second shutdown publishes")
		}

		hangs := newWorld(t)
		hangs.takes = time.Hour
		hangs.request(t, bad("192.0.2.1"))
		start := time.Now()
		hangs.Shutdown(t.Context())
		if took := time.Since(start); took != 250*time.Millisecond {
			t.Errorf("the shutdown takes %v", took)
		}
		synctest.Wait()
		time.Sleep(2 * time.Second)
	})
}

type panics struct{ w *world }

func (p panics) Invoke(context.Context, []byte) ([]byte, error) {
	p.w.Refused(bad("192.0.2.1"))
	panic("oh")
}

func TestPanicPublishesFirst(t *testing.T) {
	w := newWorld(t)
	defer func() {
		if recover() == nil || w.numbers() != "[1]" {
			t.Errorf("arrived %s", w.numbers())
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
				w.Refused(bad(fmt.Sprintf("10.0.%d.%d", i, n%250)))
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
		t.Errorf("%d arrived", sum)
	}
}

func TestNewWantsItsParts(t *testing.T) {
	if _, err := refusals.New(refusals.Config{}); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("got %v", err)
	}
	if _, err := refusals.NewRecorder(refusals.RecorderConfig{}); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}
