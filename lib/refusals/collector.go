package refusals

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/lambda/background"
	"github.com/insighthub/insighthub/lib/trail"
)

// Publisher publishes reports. It must return when ctx ends, and must not retain the
// reports' lines. A retry is safe: the recorder ignores a repeated ID.
type Publisher interface {
	Publish(ctx context.Context, reports []Report) error
}

// PublisherFunc is a function that is a Publisher.
type PublisherFunc func(ctx context.Context, reports []Report) error

// Publish calls f.
func (f PublisherFunc) Publish(ctx context.Context, reports []Report) error { return f(ctx, reports) }

// Handler is the interface lambda.Handler.
type Handler interface {
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
}

// Config configures a Collector. The durations have defaults.
type Config struct {
	Publisher Publisher
	// Registerer registers the collector's own metrics.
	Registerer prometheus.Registerer
	Now        func() time.Time
	// NewID returns a unique id of up to 64 letters and digits.
	NewID func() string
	// Interval is the least time between the starts of two publications. Default 10 s.
	Interval time.Duration
	// Timeout limits a publication. Default 1 s.
	Timeout time.Duration
	// Linger limits how long an invocation waits for the publication that it started. Default 25 ms.
	Linger time.Duration
	// ShutdownTimeout limits Shutdown. Default 250 ms: Lambda allows about 300.
	ShutdownTimeout time.Duration
}

// Collector counts what callers can repeat without limit, such as rejected tokens, and publishes
// the counts. It is safe for concurrent use.
type Collector struct {
	cfg      Config
	refused  prometheus.Counter
	reported *prometheus.CounterVec

	mu           sync.Mutex
	open         map[trail.Action]*tally
	pending      []Report  // to be published next, unchanged until they are
	due          time.Time // when the next publication may start
	publications background.Work
	timer        *time.Timer // publishes while no invocation does; nil when none is armed
	ended        bool        // Shutdown was called
}

// The outcomes of a publication.
const (
	published = "published"
	failed    = "failed"
)

// New returns a Collector. The error is that of registering its metrics.
func New(cfg Config) (*Collector, error) {
	cfg.Interval = cmp.Or(cfg.Interval, 10*time.Second)
	cfg.Timeout = cmp.Or(cfg.Timeout, time.Second)
	cfg.Linger = cmp.Or(cfg.Linger, 25*time.Millisecond)
	cfg.ShutdownTimeout = cmp.Or(cfg.ShutdownTimeout, 250*time.Millisecond)
	c := &Collector{
		cfg: cfg, open: make(map[trail.Action]*tally),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "insighthub_refused_tokens_total", Help: "Requests whose token was rejected.",
		}),
		reported: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "insighthub_refusal_reports_total", Help: "Attempts to publish a report of rejected tokens, by outcome.",
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

var _ trail.Counter = (*Collector)(nil)

// Count counts an occurrence. One of an action that is not added up is counted as a rejected
// token.
func (c *Collector) Count(o trail.Occurrence) {
	if _, ok := trail.Summed()[o.Action]; !ok {
		o.Action = trail.RefusedAccessToken
	}
	if o.Action == trail.RefusedAccessToken {
		c.refused.Inc()
	}
	now := c.cfg.Now().UTC().Truncate(time.Microsecond) // the trail's precision
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.open[o.Action]
	if t == nil {
		t = &tally{}
		c.open[o.Action] = t
	}
	t.add(&o, now)
	c.arm()
}

// arm sees to it that what was counted is published when it is due, even if no invocation comes: as
// long as the process is not frozen. Callers hold mu.
func (c *Collector) arm() {
	if c.timer != nil || c.ended {
		return
	}
	wait := c.due.Sub(c.cfg.Now())
	if wait <= 0 {
		wait = c.cfg.Interval // the invocation itself publishes at once
	}
	c.timer = time.AfterFunc(wait, func() {
		publication := c.start(context.Background())
		publication.Wait(context.Background()) // its own timeout ends it
		c.mu.Lock()
		defer c.mu.Unlock()
		c.timer = nil
		if counted, _ := c.state(); counted || c.pending != nil {
			c.arm()
		}
	})
}

// take returns the reports of what was counted and resets it. Callers hold mu.
func (c *Collector) take() (reports []Report) {
	for _, action := range slices.Sorted(maps.Keys(c.open)) {
		if t := c.open[action]; t.number > 0 {
			reports = append(reports, t.report(c.cfg.NewID(), action))
		}
	}
	return reports
}

// state reports whether something was counted, and whether a report of known callers has no
// room for more. Callers hold mu.
func (c *Collector) state() (counted, full bool) {
	for action, t := range c.open {
		counted, full = counted || t.number > 0, full || t.full(action)
	}
	return counted, full
}

// Observe returns a handler that publishes reports in the invocations of h.
func (c *Collector) Observe(h Handler) Handler { return &observed{h, c} }

type observed struct {
	handler Handler
	c       *Collector
}

// Invoke invokes the handler. A panic ends the process, so the counts are published first.
func (o *observed) Invoke(ctx context.Context, payload []byte) (response []byte, err error) {
	returned := false
	defer func() {
		if !returned {
			o.c.Shutdown(ctx)
		}
	}()
	response, err = o.handler.Invoke(ctx, payload)
	returned = true
	if publication := o.c.start(ctx); publication != nil {
		ctx, cancel := context.WithTimeout(ctx, o.c.cfg.Linger)
		defer cancel()
		publication.Wait(ctx)
	}
	return response, err
}

// start starts a publication if there is something to publish, one is due and none is in
// progress; otherwise it returns nil. The publication may outlast the invocation.
func (c *Collector) start(ctx context.Context) background.Task {
	c.mu.Lock()
	defer c.mu.Unlock()
	counted, full := c.state()
	if c.pending == nil && !counted || c.ended || c.publications.Busy() {
		return nil
	}
	now := c.cfg.Now()
	if now.Before(c.due) && (c.pending != nil || !full) {
		return nil
	}
	c.due = now.Add(c.cfg.Interval)
	if c.pending == nil {
		c.pending = c.take()
	}
	return c.publish(context.WithoutCancel(ctx), c.cfg.Timeout, c.pending)
}

// publish starts a publication. Callers hold mu, and none is in progress.
func (c *Collector) publish(ctx context.Context, timeout time.Duration, reports []Report) background.Task {
	return c.publications.Begin(ctx, timeout, func(ctx context.Context) {
		if err := c.cfg.Publisher.Publish(ctx, reports); err != nil {
			// The caller can do nothing about it: the metric shows it to the operator.
			c.reported.WithLabelValues(failed).Inc()
			return
		}
		c.reported.WithLabelValues(published).Inc()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.pending = nil
	})
}

// Shutdown publishes the remaining counts, in one attempt, after a publication in
// progress has ended. It returns within the shutdown timeout.
func (c *Collector) Shutdown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.ShutdownTimeout)
	defer cancel()
	c.mu.Lock()
	c.ended = true
	if c.timer != nil {
		c.timer.Stop()
	}
	before := c.publications.Last()
	c.mu.Unlock()
	if !before.Wait(ctx) {
		return
	}
	c.mu.Lock()
	left := slices.Concat(c.pending, c.take())
	if len(left) == 0 {
		c.mu.Unlock()
		return
	}
	publication := c.publish(ctx, c.cfg.ShutdownTimeout, left)
	c.mu.Unlock()
	publication.Wait(ctx)
}
