package metrics_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/lambda/metrics"
	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
)

// slow is a Writer that takes long, and records what it was given and when.
type slow struct {
	takes time.Duration
	began []time.Time
	ended int // those that did not time out
	last  map[string]float64
}

func (s *slow) Write(ctx context.Context, series []remotewrite.Series) (remotewrite.Result, error) {
	s.began = append(s.began, time.Now())
	s.last = make(map[string]float64)
	for _, one := range series {
		if len(one.Samples) > 0 {
			s.last[one.Labels[0].Value] = one.Samples[0].Value
		}
	}
	select {
	case <-time.After(s.takes):
		s.ended++
		return remotewrite.Result{}, nil
	case <-ctx.Done():
		return remotewrite.Result{}, ctx.Err()
	}
}

type handler func(ctx context.Context) ([]byte, error)

func (h handler) Invoke(ctx context.Context, _ []byte) ([]byte, error) { return h(ctx) }

// newFunction returns a function that flushes every 10 s.
func newFunction(t *testing.T, w metrics.Writer, h handler) (*metrics.Function, *prometheus.Registry) {
	t.Helper()
	r := prometheus.NewRegistry()
	flusher, err := metrics.New(metrics.Config{
		Gatherer: r, Registerer: r, Writer: w, Job: "insighthub", Function: "ingest", Instance: "env-1",
		Now: time.Now, Rand: func() float64 { return 0 },
	})
	if err != nil {
		t.Fatal(err)
	}
	f, err := metrics.NewFunction(metrics.FunctionConfig{Handler: h, Registry: r, Flusher: flusher, MemoryBytes: 1 << 30, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return f, r
}

// work takes 10 ms.
func work(context.Context) ([]byte, error) {
	time.Sleep(10 * time.Millisecond)
	return []byte("done"), nil
}

// latencies invokes the function one time after the other and returns how long each invocation took.
func latencies(t *testing.T, f *metrics.Function, invocations int) []time.Duration {
	t.Helper()
	var all []time.Duration
	for range invocations {
		start := time.Now()
		if got, err := f.Invoke(t.Context(), nil); err != nil || string(got) != "done" {
			t.Fatalf("got %s, %v, want done", got, err)
		}
		all = append(all, time.Since(start))
	}
	return all
}

// What a flush adds to the invocations: nothing when it is as fast as the work, the
// difference when it is a little slower, and 25 ms to one invocation in an interval when
// Prometheus does not respond.
func TestFlushHardlyDelays(t *testing.T) {
	for name, c := range map[string]struct {
		takes      time.Duration
		first      time.Duration // of the invocation that begins a flush
		thousand   time.Duration // all of a thousand
		flushes    int
		succeeding int
	}{
		"as fast as the work": {10 * time.Millisecond, 10 * time.Millisecond, 10 * time.Second, 1, 1},
		"slower":              {15 * time.Millisecond, 15 * time.Millisecond, 10_005 * time.Millisecond, 1, 1},
		"never":               {time.Hour, 35 * time.Millisecond, 10_050 * time.Millisecond, 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &slow{takes: c.takes}
				f, _ := newFunction(t, w, work)
				all := latencies(t, f, 1000)
				sum, slower := time.Duration(0), 0
				for _, one := range all {
					sum += one
					if one > 10*time.Millisecond {
						slower++
					}
				}
				synctest.Wait()
				if all[0] != c.first || sum != c.thousand || len(w.began) != c.flushes || slower > c.flushes {
					t.Errorf("got %v for the first, %v for all, %d flushes and %d slower; want %v, %v, %d",
						all[0], sum, len(w.began), slower, c.first, c.thousand, c.flushes)
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if w.ended < c.succeeding || name == "never" && w.ended > 0 {
					t.Errorf("got %d flushes that succeeded, want %d", w.ended, c.succeeding)
				}
			})
		})
	}
}

// While a flush hangs no other begins, and the invocations after it do not wait.
func TestHangingFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &slow{takes: time.Hour}
		f, r := newFunction(t, w, work)
		for i, one := range latencies(t, f, 2000)[1:50] {
			if one > 10*time.Millisecond { // they run while the first flush hangs
				t.Errorf("invocation %d: got %v, want 10ms", i+1, one)
			}
		}
		synctest.Wait()
		for i := 1; i < len(w.began); i++ {
			if apart := w.began[i].Sub(w.began[i-1]); apart < 10*time.Second {
				t.Errorf("got flushes %v apart, want 10s", apart)
			}
		}
		start := time.Now()
		f.Shutdown(t.Context())
		if elapsed := time.Since(start); elapsed > 250*time.Millisecond {
			t.Errorf("got a shutdown of %v, want 250ms at most", elapsed)
		}
		time.Sleep(2 * time.Second)
		if n := counter(t, r, "insighthub_invocations_total"); n != 2000 {
			t.Errorf("got %v invocations, want 2000", n)
		}
	})
}

// counter returns the value of a counter without labels.
func counter(t *testing.T, r *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("got no %s", name)
	return 0
}

// The counters begin with 0 in Prometheus, so that rates include the first increment.
func TestFirstFlushIsZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &slow{}
		f, _ := newFunction(t, w, func(context.Context) ([]byte, error) {
			time.Sleep(time.Millisecond)
			return nil, errors.New("broken")
		})
		if _, err := f.Invoke(t.Context(), nil); err == nil {
			t.Error("got no error, want the handler's")
		}
		for _, name := range []string{"insighthub_invocations_total", "insighthub_invocation_errors_total"} {
			if v, ok := w.last[name]; !ok || v != 0 {
				t.Errorf("first %s: got %v, %t, want 0", name, v, ok)
			}
		}
		f.Shutdown(t.Context())
		for _, name := range []string{"insighthub_invocations_total", "insighthub_invocation_errors_total"} {
			if v := w.last[name]; v != 1 {
				t.Errorf("last %s: got %v, want 1", name, v)
			}
		}
		if v := w.last["insighthub_function_memory_bytes"]; v != 1<<30 {
			t.Errorf("got memory %v, want 1 GiB", v)
		}
	})
}

// A panic ends the process: it is counted, and the metrics are written, before.
func TestPanicIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &slow{}
		f, _ := newFunction(t, w, func(context.Context) ([]byte, error) { panic("broken") })
		defer func() {
			if recover() != "broken" {
				t.Error("got no panic, want the handler's")
			}
			if w.last["insighthub_invocation_errors_total"] != 1 {
				t.Errorf("got %v, want one error", w.last)
			}
		}()
		_, _ = f.Invoke(t.Context(), nil)
	})
}

func TestFunctionWithoutPrometheus(t *testing.T) {
	f, err := metrics.NewFunction(metrics.FunctionConfig{Handler: handler(work), Registry: prometheus.NewRegistry(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Invoke(t.Context(), nil); err != nil {
		t.Error(err)
	}
	f.Shutdown(t.Context())
}

// BenchmarkCollect measures the processor time of a flush before it is sent.
func BenchmarkCollect(b *testing.B) {
	r := metrics.NewRegistry()
	now := time.Now()
	flusher, err := metrics.New(metrics.Config{
		Gatherer: r, Registerer: r, Writer: &fake{}, Job: "insighthub", Function: "ingest", Instance: "env-1",
		Now: time.Now, Rand: func() float64 { return 0 }, Interval: time.Second,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Minute)
		if flusher.InvocationBegins(b.Context(), now) {
			flusher.InvocationEnds(b.Context())
		}
	}
}

// BenchmarkInvoke is what a function pays for each invocation between two flushes.
func BenchmarkInvoke(b *testing.B) {
	r := metrics.NewRegistry()
	flusher, err := metrics.New(metrics.Config{
		Gatherer: r, Registerer: r, Writer: &fake{}, Job: "insighthub", Function: "ingest", Instance: "env-1",
		Now: time.Now, Rand: func() float64 { return 1 }, Interval: time.Hour,
	})
	if err != nil {
		b.Fatal(err)
	}
	f, err := metrics.NewFunction(metrics.FunctionConfig{
		Handler: handler(func(context.Context) ([]byte, error) { return nil, nil }), Registry: r, Flusher: flusher, Now: time.Now,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = f.Invoke(b.Context(), nil)
	}
}
