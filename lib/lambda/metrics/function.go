package metrics

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Handler is a function's code; it is the interface lambda.Handler.
type Handler interface {
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
}

// FunctionConfig is a Function's. Handler, Registry and Now are required.
type FunctionConfig struct {
	Handler  Handler
	Registry *prometheus.Registry
	// Flusher is nil where there is no Prometheus: then the metrics go nowhere.
	Flusher *Flusher
	// MemoryBytes is what the function is configured with, which is what is paid for.
	MemoryBytes int
	Now         func() time.Time
}

// Function is a Handler that counts its invocations and has them flush.
type Function struct {
	cfg                 FunctionConfig
	invocations, errors prometheus.Counter
	duration            prometheus.Histogram
}

var (
	_ Handler             = (*Function)(nil)
	_ prometheus.Gatherer = (*Function)(nil)
)

// NewFunction returns a Function whose counters stand at 0.
func NewFunction(cfg FunctionConfig) (*Function, error) {
	if cfg.Handler == nil || cfg.Registry == nil || cfg.Now == nil {
		return nil, errors.New("metrics: function without handler, registry or clock")
	}
	f := &Function{
		cfg: cfg,
		invocations: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "insighthub_invocations_total", Help: "Invocations that ended.",
		}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "insighthub_invocation_errors_total", Help: "Invocations that ended with an error or a panic. Records that are to be delivered again are no error.",
		}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "insighthub_invocation_duration_seconds", Help: "Duration of the invocations inside the process, as it is paid for.",
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

// Invoke invokes the handler. A panic passes through: it ends the process, so what
// was counted is written first.
func (f *Function) Invoke(ctx context.Context, payload []byte) (answer []byte, err error) {
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
	answer, err = f.cfg.Handler.Invoke(ctx, payload)
	returned = true
	return answer, err
}

func (f *Function) count(start time.Time, failed bool) {
	f.invocations.Inc()
	if failed {
		f.errors.Inc()
	}
	f.duration.Observe(f.cfg.Now().Sub(start).Seconds())
}

// Gather returns what is in the registry.
func (f *Function) Gather() ([]*dto.MetricFamily, error) { return f.cfg.Registry.Gather() }

// Shutdown writes the metrics for the last time, in at most a quarter of a second.
func (f *Function) Shutdown(ctx context.Context) {
	if f.cfg.Flusher != nil {
		f.cfg.Flusher.Shutdown(ctx)
	}
}
