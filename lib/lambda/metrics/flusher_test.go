package metrics_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/lambda/metrics"
	"github.com/insighthub/insighthub/lib/lambda/metrics/metricstest"
	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
)

// fake is a Writer that keeps the last flush.
type fake struct {
	err      error
	rejected int
	calls    int
	left     time.Duration
	series   map[string]remotewrite.Series
}

func (f *fake) Write(ctx context.Context, series []remotewrite.Series) (remotewrite.Result, error) {
	f.calls++
	f.series = make(map[string]remotewrite.Series)
	for _, s := range series {
		key := s.String()
		s.Exemplars = append([]remotewrite.Exemplar(nil), s.Exemplars...)
		f.series[key] = s
	}
	deadline, _ := ctx.Deadline()
	f.left = time.Until(deadline)
	return remotewrite.Result{Rejected: []remotewrite.Rejection{{Samples: f.rejected}}}, f.err
}

type bench struct {
	*metrics.Flusher
	writer   *fake
	registry *prometheus.Registry
	now      time.Time
	random   float64
}

// invoke is one invocation; it reports whether it flushed.
func (b *bench) invoke(t *testing.T) bool {
	t.Helper()
	began := b.InvocationBegins(t.Context(), b.now)
	if began {
		b.InvocationEnds(t.Context())
	}
	return began
}

func newBench(t *testing.T, registry *prometheus.Registry) *bench {
	t.Helper()
	b := &bench{writer: &fake{}, registry: registry, now: time.Now()}
	var err error
	b.Flusher, err = metrics.New(metrics.Config{
		Gatherer: registry, Registerer: registry, Writer: b.writer, Job: "insighthub", Function: "store", Instance: "env-1",
		Now: func() time.Time { return b.now }, Rand: func() float64 { return b.random }, Linger: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const ours = `function="store", instance="env-1", job="insighthub"`

func (b *bench) counter(name string) float64 {
	s, ok := b.writer.series[name]
	if !ok {
		return -1
	}
	return s.Samples[0].Value
}

func TestFlushSendsEachKind(t *testing.T) {
	b := newBench(t, prometheus.NewRegistry())
	stored := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "insighthub_stored_events_total", Help: "Events stored.",
	}, []string{"job", "site"})
	depth := prometheus.NewGauge(prometheus.GaugeOpts{Name: "insighthub_queue_depth", Help: "Waiting."})
	age := prometheus.NewSummary(prometheus.SummaryOpts{
		Name: "insighthub_age_seconds", Help: "Age.", Objectives: map[float64]float64{0.5: 0.1},
	})
	lag := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "insighthub_lag_seconds", Help: "Lag.", Buckets: []float64{0.1, 1}, NativeHistogramBucketFactor: 1.1,
	})
	b.registry.MustRegister(stored, depth, age, lag)
	stored.WithLabelValues("copy", "plant-1").Add(41)
	depth.Set(-3)
	age.Observe(1)
	lag.Observe(0.05)
	lag.(prometheus.ExemplarObserver).ObserveWithExemplar(0.5, prometheus.Labels{"trace_id": "1-abc"})
	b.now = time.Now() // the exemplar has the time of the observation
	if !b.invoke(t) {
		t.Fatal("got no flush")
	}
	if v := b.counter(`{__name__="insighthub_stored_events_total", exported_job="copy", ` + ours + `, site="plant-1"}`); v != 41 {
		t.Errorf("got counter %v of %v, want 41", v, b.writer.series)
	}
	gauge := b.writer.series[`{__name__="insighthub_queue_depth", `+ours+`}`]
	if len(gauge.Samples) != 1 || gauge.Samples[0] != (remotewrite.Sample{Timestamp: b.now.UnixMilli(), Value: -3}) ||
		gauge.Metadata != (remotewrite.Metadata{Type: remotewrite.Gauge, Help: "Waiting."}) {
		t.Errorf("got gauge %+v", gauge)
	}
	s := b.writer.series[`{__name__="insighthub_lag_seconds", `+ours+`}`]
	if len(s.Histograms) != 1 || s.Metadata.Type != remotewrite.HistogramType {
		t.Fatalf("got histogram %+v", s)
	}
	h := s.Histograms[0]
	if h.Count != 2 || len(h.Buckets) != 2 || h.Buckets[0].CumulativeCount != 1 || h.Buckets[1].CumulativeCount != 2 ||
		h.Native == nil || len(h.Native.PositiveDeltas) == 0 {
		t.Errorf("got histogram %+v, want both forms of two observations", h)
	}
	if len(s.Exemplars) != 1 || s.Exemplars[0].Labels[0] != (remotewrite.Label{Name: remotewrite.TraceIDLabel, Value: "1-abc"}) {
		t.Errorf("exemplars %+v", s.Exemplars)
	}
	for name := range b.writer.series {
		if strings.Contains(name, "insighthub_age_seconds") {
			t.Errorf("got summary %s, want it left out", name)
		}
	}
	b.now = b.now.Add(time.Minute)
	b.invoke(t)
	if s := b.writer.series[`{__name__="insighthub_lag_seconds", `+ours+`}`]; len(s.Exemplars) != 0 || len(s.Histograms) != 1 {
		t.Errorf("got %+v, want the exemplar sent once", s)
	}
}

// The interval is random: from two thirds of it to the whole.
func TestFlushIntervalAndShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, prometheus.NewRegistry())
		b.random = 0.5
		for i, tc := range []struct {
			pass time.Duration
			next float64 // random number, used if it flushes
			want bool
		}{
			{0, 0.5, true},
			{12 * time.Second, 0, false},
			{500 * time.Millisecond, 0, true},
			{9 * time.Second, 0, false},
			{time.Second, 0.99, true},
			{14 * time.Second, 0, false},
			{time.Second, 0, true},
		} {
			b.now, b.random = b.now.Add(tc.pass), tc.next
			if got := b.invoke(t); got != tc.want {
				t.Errorf("step %d: got flushed %t, want %t", i, got, tc.want)
			}
		}
		if b.writer.calls != 4 || b.writer.left > time.Second {
			t.Errorf("got %d writes, the last with %s left; want 4, and 1s at most", b.writer.calls, b.writer.left)
		}
		b.Shutdown(t.Context())
		if b.writer.calls != 5 || b.writer.left > 250*time.Millisecond {
			t.Errorf("got %d writes, the last with %s left; want 5, and 250ms at most", b.writer.calls, b.writer.left)
		}
		b.now = b.now.Add(time.Hour)
		if b.invoke(t) {
			t.Error("got a flush after Shutdown, want none")
		}
	})
}

func TestFailuresAreCounted(t *testing.T) {
	b := newBench(t, prometheus.NewRegistry())
	b.writer.err, b.writer.rejected = errors.New("down"), 2
	for range 2 {
		b.invoke(t)
		b.now = b.now.Add(time.Second) // a failure is not retried before the interval is over
	}
	b.writer.err = nil
	b.now = b.now.Add(time.Minute)
	b.invoke(t)
	if v := b.counter(`{__name__="insighthub_metrics_flushes_total", ` + ours + `, outcome="failed"}`); v != 1 {
		t.Errorf("got %v failed flushes, want 1", v)
	}
	if v := b.counter(`{__name__="insighthub_metrics_rejected_samples_total", ` + ours + `}`); v != 2 {
		t.Errorf("got %v rejected samples, want 2", v)
	}
}

func TestNewNamesEveryMissingLabel(t *testing.T) {
	_, err := metrics.New(metrics.Config{})
	for _, want := range []string{"job", "function", "instance"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s in it", err, want)
		}
	}
}

// The names and units follow the conventions of Prometheus, as promtool checks them.
func TestConventions(t *testing.T) {
	r := metrics.NewRegistry()
	newBench(t, r)
	f, err := metrics.NewFunction(metrics.FunctionConfig{Handler: handler(work), Registry: r, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	metricstest.Check(t, f, "insighthub_metrics_flushes_total", "insighthub_metrics_rejected_samples_total",
		"insighthub_invocations_total", "insighthub_invocation_errors_total", "insighthub_invocation_duration_seconds",
		"insighthub_function_memory_bytes", "process_cpu_seconds_total")
}
