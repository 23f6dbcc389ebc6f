package metrics

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"

	"github.com/insighthub/insighthub/lib/lambda/background"
	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Writer writes samples. A flush that fails is not retried: the next one has newer values
// of the same counters. Write must return when ctx ends, and must not retain the series:
// they are reused.
type Writer interface {
	Write(ctx context.Context, series []remotewrite.Series) (remotewrite.Result, error)
}

var _ Writer = (*remotewrite.Client)(nil)

// Config of a Flusher. All fields but the durations are required.
type Config struct {
	Gatherer prometheus.Gatherer
	// Registerer is for the flusher's own metrics; usually it is the Gatherer as well.
	Registerer prometheus.Registerer
	Writer     Writer
	// Job, Function and Instance become labels of every series. Instance names
	// the execution environment: no two may share it at one time (in Lambda, the
	// name of the log stream). A metric's own label of such a name is sent as
	// exported_job and so on, as when Prometheus scrapes.
	Job, Function, Instance string
	Now                     func() time.Time
	// Rand returns a number in [0, 1).
	Rand func() float64
	// Interval is the longest time between the beginnings of two flushes, when
	// there are invocations; the shortest is two thirds of it. Default 15 s.
	Interval time.Duration
	// Timeout bounds a flush. Default 1 s.
	Timeout time.Duration
	// Linger bounds how long an invocation waits for the flush that it began. Default 25 ms.
	Linger time.Duration
	// ShutdownTimeout bounds Shutdown. Default 250 ms: Lambda allows about 300.
	ShutdownTimeout time.Duration
}

// Flusher is safe for concurrent use.
type Flusher struct {
	cfg      Config
	counted  *prometheus.CounterVec
	rejected prometheus.Counter

	mu      sync.Mutex
	due     time.Time // when the next flush may begin
	flushes background.Work
	ended   bool // Shutdown was called

	// These belong to the flush that runs.
	collected time.Time // when the last one was that succeeded: its exemplars are written
	converter converter
}

// NewRegistry returns a registry with collectors of the process and of the Go
// runtime, without the latter's two dozen memory statistics.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(collectors.WithGoCollectorMemStatsMetricsDisabled()),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return r
}

// New returns a Flusher. The error names every label that is missing.
func New(cfg Config) (*Flusher, error) {
	var problems []error
	for _, label := range [...]struct{ name, value string }{{"job", cfg.Job}, {"function", cfg.Function}, {"instance", cfg.Instance}} {
		if label.value == "" {
			problems = append(problems, fmt.Errorf("%s: not set", label.name))
		}
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("metrics: %w: %w", telemetry.ErrInvalid, errors.Join(problems...))
	}
	cfg.Interval = cmp.Or(cfg.Interval, 15*time.Second)
	cfg.Timeout = cmp.Or(cfg.Timeout, time.Second)
	cfg.Linger = cmp.Or(cfg.Linger, 25*time.Millisecond)
	cfg.ShutdownTimeout = cmp.Or(cfg.ShutdownTimeout, 250*time.Millisecond)
	f := &Flusher{
		cfg: cfg,
		counted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "insighthub_metrics_flushes_total", Help: "Attempts to write this registry to Prometheus, by outcome.",
		}, []string{"outcome"}),
		rejected: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "insighthub_metrics_rejected_samples_total", Help: "Samples of this registry that Prometheus rejected.",
		}),
		converter: converter{labels: []remotewrite.Label{
			{Name: "job", Value: cfg.Job}, {Name: "function", Value: cfg.Function}, {Name: "instance", Value: cfg.Instance},
		}},
	}
	for _, outcome := range []string{written, failed} {
		f.counted.WithLabelValues(outcome)
	}
	for _, c := range []prometheus.Collector{f.counted, f.rejected} {
		if err := cfg.Registerer.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return f, nil
}

// The outcomes of a flush.
const (
	written = "written"
	failed  = "failed"
)

// InvocationBegins begins a flush at the time now if one is due and none is under way, and
// reports whether it did. It does not wait. The flush may outlast the invocation, so the
// context's deadline and cancellation do not affect it.
func (f *Flusher) InvocationBegins(ctx context.Context, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Before(f.due) || f.ended || f.flushes.Busy() {
		return false
	}
	f.begin(context.WithoutCancel(ctx), now, f.cfg.Timeout)
	return true
}

// InvocationEnds is called when InvocationBegins returned true: it waits for the flush,
// until Linger has passed or ctx ends. The outcome is counted, not returned: metrics never
// fail an invocation.
func (f *Flusher) InvocationEnds(ctx context.Context) {
	f.mu.Lock()
	flush := f.flushes.Last()
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Linger)
	defer cancel()
	flush.Wait(ctx)
}

// Shutdown writes the metrics for the last time. It waits for a flush that is under way,
// and returns within ShutdownTimeout.
func (f *Flusher) Shutdown(ctx context.Context) {
	now := f.cfg.Now()
	ctx, cancel := context.WithTimeout(ctx, f.cfg.ShutdownTimeout)
	defer cancel()
	f.mu.Lock()
	f.ended = true
	flush := f.flushes.Last()
	f.mu.Unlock()
	if !flush.Wait(ctx) {
		return
	}
	f.mu.Lock()
	if !f.flushes.Busy() {
		f.begin(ctx, now, f.cfg.ShutdownTimeout)
	}
	flush = f.flushes.Last()
	f.mu.Unlock()
	flush.Wait(ctx)
}

// begin starts a flush. Callers hold mu, and none is under way.
func (f *Flusher) begin(ctx context.Context, now time.Time, timeout time.Duration) {
	const shortest = 2.0 / 3
	f.due = now.Add(time.Duration(float64(f.cfg.Interval) * (shortest + (1-shortest)*f.cfg.Rand())))
	gather := f.cfg.Gatherer.Gather
	if f.flushes.Last() == nil {
		// Collect before the invocation counts anything, so that each counter begins with 0.
		families, err := gather()
		gather = func() ([]*dto.MetricFamily, error) { return families, err }
	}
	f.flushes.Begin(ctx, timeout, func(ctx context.Context) { f.flush(ctx, now, gather) })
}

func (f *Flusher) flush(ctx context.Context, now time.Time, gather func() ([]*dto.MetricFamily, error)) {
	// Gather returns what it could collect, even with an error.
	families, err := gather()
	series := f.converter.convert(families, now, f.collected)
	result, writeErr := f.cfg.Writer.Write(ctx, series)
	f.rejected.Add(float64(result.RejectedSamples()))
	if err = errors.Join(err, writeErr); err != nil {
		f.counted.WithLabelValues(failed).Inc()
		return
	}
	f.collected = now
	f.counted.WithLabelValues(written).Inc()
}
