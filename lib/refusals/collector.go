package refusals

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/lambda/background"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Publisher takes reports. It must return when ctx ends; a repetition is safe, since a
// report's ID makes the second one harmless. It must not keep the reports' lines.
type Publisher interface {
	Publish(ctx context.Context, reports []Report) error
}

// Handler is a function's code; it is the interface lambda.Handler.
type Handler interface {
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
}

// Config is a Collector's. All but the durations is required.
type Config struct {
	Publisher Publisher
	// Registerer takes the collector's own metrics.
	Registerer prometheus.Registerer
	Now        func() time.Time
	// NewID returns an id that no other report has: up to 64 letters and digits.
	NewID func() string
	// Interval is the least time between the beginnings of two publications. Default 10 s.
	Interval time.Duration
	// Timeout bounds a publication. Default 1 s.
	Timeout time.Duration
	// Linger bounds how long an invocation waits for the publication that it began. Default 25 ms.
	Linger time.Duration
	// ShutdownTimeout bounds Shutdown. Default 250 ms: Lambda allows about 300.
	ShutdownTimeout time.Duration
}

// Collector adds refusals up and publishes the sums. It is safe for concurrent use.
type Collector struct {
	cfg      Config
	refused  prometheus.Counter
	reported *prometheus.CounterVec

	mu           sync.Mutex
	open         tally
	sealed       *Report   // to be published next, as it is
	due          time.Time // when the next publication may begin
	publications background.Work
	ended        bool // Shutdown was called
}

// The outcomes of a publication.
const (
	published = "published"
	failed    = "failed"
)

// New returns a Collector. The error wraps telemetry.ErrInvalid when something is missing.
func New(cfg Config) (*Collector, error) {
	if cfg.Publisher == nil || cfg.Registerer == nil || cfg.Now == nil || cfg.NewID == nil {
		return nil, fmt.Errorf("refusals: %w: want a publisher, a registerer, a clock and ids", telemetry.ErrInvalid)
	}
	for to, fallback := range map[*time.Duration]time.Duration{
		&cfg.Interval: 10 * time.Second, &cfg.Timeout: time.Second, &cfg.Linger: 25 * time.Millisecond, &cfg.ShutdownTimeout: 250 * time.Millisecond,
	} {
		if *to <= 0 {
			*to = fallback
		}
	}
	c := &Collector{
		cfg: cfg,
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "insighthub_refused_tokens_total", Help: "Requests whose token was refused.",
		}),
		reported: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "insighthub_refusal_reports_total", Help: "Attempts to publish a report of refused tokens, by how they ended.",
		}, []string{"outcome"}),
	}
	for _, outcome := range []string{published, failed} {
		c.reported.WithLabelValues(outcome)
	}
	for _, m := range []prometheus.Collector{c.refused, c.reported} {
		if err := cfg.Registerer.Register(m); err != nil {
			return nil, fmt.Errorf("refusals: %w", err)
		}
	}
	return c, nil
}

// Refused counts a refusal.
func (c *Collector) Refused(r Refusal) {
	c.refused.Inc()
	now := c.cfg.Now().UTC().Truncate(time.Microsecond) // as the trail keeps times
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open.add(r, now)
}

// Observe returns the handler with the reports published inside its invocations.
func (c *Collector) Observe(h Handler) Handler { return &observed{h, c} }

type observed struct {
	handler Handler
	c       *Collector
}

// Invoke invokes the handler. A panic passes through: it ends the process, so what was
// counted is published first.
func (o *observed) Invoke(ctx context.Context, payload []byte) (answer []byte, err error) {
	returned := false
	defer func() {
		if !returned {
			o.c.Shutdown(ctx)
		}
	}()
	answer, err = o.handler.Invoke(ctx, payload)
	returned = true
	if publication := o.c.begin(ctx); publication != nil {
		ctx, cancel := context.WithTimeout(ctx, o.c.cfg.Linger)
		defer cancel()
		publication.Wait(ctx)
	}
	return answer, err
}

// begin begins a publication if there is something to publish, one is due and none is
// under way; nil if none was begun. The publication may outlast the invocation.
func (c *Collector) begin(ctx context.Context) background.Task {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sealed == nil && c.open.number == 0 || c.ended || c.publications.Busy() {
		return nil
	}
	now := c.cfg.Now()
	if now.Before(c.due) {
		return nil
	}
	c.due = now.Add(c.cfg.Interval)
	if c.sealed == nil {
		r := c.open.report(c.cfg.NewID())
		c.sealed = &r
	}
	return c.publish(context.WithoutCancel(ctx), c.cfg.Timeout, []Report{*c.sealed})
}

// publish begins a publication. Callers hold mu, and none is under way.
func (c *Collector) publish(ctx context.Context, timeout time.Duration, reports []Report) background.Task {
	return c.publications.Begin(ctx, timeout, func(ctx context.Context) {
		if err := c.cfg.Publisher.Publish(ctx, reports); err != nil {
			// Nobody but the operator can do anything about it: it is counted.
			c.reported.WithLabelValues(failed).Inc()
			return
		}
		c.reported.WithLabelValues(published).Inc()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.sealed = nil
	})
}

// Shutdown publishes what is left, in one attempt. It waits for a publication that is
// under way, and returns within the shutdown timeout in all.
func (c *Collector) Shutdown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.ShutdownTimeout)
	defer cancel()
	c.mu.Lock()
	c.ended = true
	before := c.publications.Last()
	c.mu.Unlock()
	if !before.Wait(ctx) {
		return
	}
	c.mu.Lock()
	var left []Report
	if c.sealed != nil {
		left = append(left, *c.sealed)
	}
	if c.open.number > 0 {
		left = append(left, c.open.report(c.cfg.NewID()))
	}
	if len(left) == 0 {
		c.mu.Unlock()
		return
	}
	publication := c.publish(ctx, c.cfg.ShutdownTimeout, left)
	c.mu.Unlock()
	publication.Wait(ctx)
}
