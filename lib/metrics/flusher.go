// Package metrics sends a function's own metrics to Prometheus.
//
// Lambda functions cannot be scraped: an environment has no address and is
// frozen between invocations. So each has a registry of
// its own, and a Flusher writes what is in it by remote write, inside an
// invocation and at most once in an interval, and once more when the environment
// is shut down.
package metrics

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/insighthub/insighthub/lib/remotewrite"
)

// Writer takes the samples. A flush that fails is not repeated: the next one
// carries the newer values of the same counters. Write must return when ctx
// ends, and must not keep the series: they are reused.
type Writer interface {
	Write(ctx context.Context, series []remotewrite.Series) (remotewrite.Result, error)
}

var _ Writer = (*remotewrite.Client)(nil)

// Config is a Flusher's. All but the durations is required.
type Config struct {
	Gatherer prometheus.Gatherer
	// Registerer takes the flusher's own metrics; usually it is the Gatherer as well.
	Registerer prometheus.Registerer
	Writer     Writer
	// Job, Function and Instance become labels of every series. Instance names
	// the execution environment: no two that live at once may share it (in
	// Lambda, the name of the log stream). A metric's own label of such a name is
	// sent as exported_job and so on, as when Prometheus scrapes.
	Job, Function, Instance string
	Now                     func() time.Time
	// Interval is the least time between two flushes, measured from their
	// beginnings. Default 15 s.
	Interval time.Duration
	// Timeout bounds a flush at an invocation's end, for the caller waits for it. Default 1 s.
	Timeout time.Duration
	// ShutdownTimeout bounds the last one. Default 250 ms: Lambda allows about 300.
	ShutdownTimeout time.Duration
}

// Flusher is safe for concurrent use.
type Flusher struct {
	cfg      Config
	flushes  *prometheus.CounterVec
	rejected prometheus.Counter

	mu        sync.Mutex
	last      time.Time // when the last flush began
	collected time.Time // of the last one that was written: exemplars before it are known
	converter converter
}

// NewRegistry returns a registry with the collectors of the Go runtime and of the process.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// New returns a Flusher. The error names all that is missing.
func New(cfg Config) (*Flusher, error) {
	var problems []error
	for name, missing := range map[string]bool{
		"gatherer": cfg.Gatherer == nil, "registerer": cfg.Registerer == nil, "writer": cfg.Writer == nil, "now": cfg.Now == nil,
		"job": cfg.Job == "", "function": cfg.Function == "", "instance": cfg.Instance == "",
	} {
		if missing {
			problems = append(problems, fmt.Errorf("%s: not set", name))
		}
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("metrics: %w", errors.Join(problems...))
	}
	for to, fallback := range map[*time.Duration]time.Duration{
		&cfg.Interval: 15 * time.Second, &cfg.Timeout: time.Second, &cfg.ShutdownTimeout: 250 * time.Millisecond,
	} {
		if *to <= 0 {
			*to = fallback
		}
	}
	f := &Flusher{
		cfg: cfg,
		flushes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "insighthub_metrics_flushes_total", Help: "Attempts to write this registry to Prometheus, by how they ended.",
		}, []string{"outcome"}),
		rejected: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "insighthub_metrics_rejected_samples_total", Help: "Samples of this registry that Prometheus refused.",
		}),
		converter: converter{labels: []remotewrite.Label{
			{Name: "job", Value: cfg.Job}, {Name: "function", Value: cfg.Function}, {Name: "instance", Value: cfg.Instance},
		}},
	}
	for _, outcome := range []string{written, failed} {
		f.flushes.WithLabelValues(outcome)
	}
	for _, c := range []prometheus.Collector{f.flushes, f.rejected} {
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

// InvocationEnded writes the metrics unless that was done, or tried, less than
// an interval ago or is being done. It reports whether it tried. A failure is
// counted, not returned: metrics never fail an invocation.
func (f *Flusher) InvocationEnded(ctx context.Context) bool {
	if !f.mu.TryLock() {
		return false
	}
	defer f.mu.Unlock()
	now := f.cfg.Now()
	if !f.last.IsZero() && now.Sub(f.last) < f.cfg.Interval {
		return false
	}
	f.flush(ctx, now, f.cfg.Timeout)
	return true
}

// Shutdown writes the metrics for the last time. It waits for a flush that is
// going on, and returns within the shutdown timeout after it.
func (f *Flusher) Shutdown(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flush(ctx, f.cfg.Now(), f.cfg.ShutdownTimeout)
}

func (f *Flusher) flush(ctx context.Context, now time.Time, timeout time.Duration) {
	f.last = now
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	// Gather returns what it could collect beside its error.
	families, err := f.cfg.Gatherer.Gather()
	series := f.converter.convert(families, now, f.collected)
	result, writeErr := f.cfg.Writer.Write(ctx, series)
	f.rejected.Add(float64(result.RejectedSamples()))
	if err = errors.Join(err, writeErr); err != nil {
		f.flushes.WithLabelValues(failed).Inc()
		return
	}
	f.collected = now
	f.flushes.WithLabelValues(written).Inc()
}
