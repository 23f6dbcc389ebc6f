package metrics

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Handler is a function's code; it is the interface lambda.Handler.
type Handler interface {
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
}

// FunctionConfig of a Function. Handler, Registry and Now are required.
type FunctionConfig struct {
	Handler  Handler
	Registry *prometheus.Registry
	// Flusher is nil without a Prometheus: then the metrics stay in the process.
	Flusher *Flusher
	// MemoryBytes is the memory that the function is configured with, and billed for.
	MemoryBytes int
	Now         func() time.Time
}

// Function is a Handler that counts its invocations and flushes the metrics during them.
type Function struct {
	cfg                 FunctionConfig
	invocations, errors prometheus.Counter
	duration            prometheus.Histogram
}

var (
	_ Handler             = (*Function)(nil)
	_ prometheus.Gatherer = (*Function)(nil)
)

// NewFunction returns a Function whose counters are 0.
func NewFunction(cfg FunctionConfig) (*Function, error) {
	f := &Function{
		cfg: cfg,
		invocations: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "insighthub_invocations_total", Help: "Invocations that ended.",
		}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "insighthub_invocation_errors_total", Help: "Invocations that ended with an error or a panic, not with failed records.",
		}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "insighthub_invocation_duration_seconds", Help: "Duration of the invocations inside the process, which is billed.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60},
		}),
	}
	memory := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "insighthub_function_memory_bytes", Help: "Memory that the function is configured with.",
	})
	memory.Set(float64(cfg.MemoryBytes))
	for _, c := range []prometheus.Collector{f.invocations, f.errors, f.duration, memory} {
		if err := cfg.Registry.Register(c); err != nil {
			return nil, fmt.Errorf("metrics of the invocations: %w", err)
		}
	}
	return f, nil
}

// Invoke invokes the handler. A panic is not recovered: it ends the process, so the metrics
// are written first.
func (f *Function) Invoke(ctx context.Context, payload []byte) (response []byte, err error) {
	start := f.cfg.Now()
	began := f.cfg.Flusher != nil && f.cfg.Flusher.InvocationBegins(ctx, start)
	returned := false
	defer func() {
		switch {
		case !returned:
			f.count(start, true)
			f.Shutdown(ctx)
			return
		case began:
			f.cfg.Flusher.InvocationEnds(ctx)
		}
		f.count(start, err != nil)
	}()
	response, err = f.cfg.Handler.Invoke(ctx, payload)
	returned = true
	return response, err
}

func (f *Function) count(start time.Time, failed bool) {
	f.invocations.Inc()
	if failed {
		f.errors.Inc()
	}
	f.duration.Observe(f.cfg.Now().Sub(start).Seconds())
}

// Gather returns the metrics of the registry.
func (f *Function) Gather() ([]*dto.MetricFamily, error) { return f.cfg.Registry.Gather() }

// Shutdown writes the metrics for the last time, in at most a quarter of a second.
func (f *Function) Shutdown(ctx context.Context) {
	if f.cfg.Flusher != nil {
		f.cfg.Flusher.Shutdown(ctx)
	}
}
