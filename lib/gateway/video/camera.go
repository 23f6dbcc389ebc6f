package video

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	// linger is how long a source goes on without viewers: one who reloads the page finds it running.
	linger = 2 * time.Second
	// keyEvery bounds the key frames made on request: one serves all who ask meanwhile.
	keyEvery = 250 * time.Millisecond
	// The waits before a failed source is started again: doubled each time, with jitter.
	firstRetry, lastRetry = 500 * time.Millisecond, 30 * time.Second
	// The frames since the last key frame that are remembered for those who come in between.
	groupFrames, groupBytes = 300, 4 << 20
)

// camera runs one source and hands its frames to the viewers that show it.
type camera struct {
	source  Source
	name    string
	log     *slog.Logger
	metrics *metrics
	wait    *sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	viewers map[*Viewer]struct{}
	stop    context.CancelFunc // nil: not running
	idle    *time.Timer        // runs while nobody watches
	info    Info
	params  parameters
	meter   meter
	// group is the last key frame and what followed; empty if that is more than is remembered.
	group     []*Frame
	groupSize int
	asked     time.Time     // the last key frame on request
	pending   bool          // another is due at asked + keyEvery
	ran       chan struct{} // closed when the last run has ended
}

func newCamera(source Source, log *slog.Logger, m *metrics, wait *sync.WaitGroup) *camera {
	info := source.Info()
	return &camera{
		source: source, name: info.Name, log: log.With("camera", info.Name), metrics: m, wait: wait,
		viewers: map[*Viewer]struct{}{}, info: info,
	}
}

func (c *camera) describe() Info {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.info
}

func (c *camera) rates() rates {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.meter.last
}

// add makes the viewer one of the camera's, and starts the source for the first.
func (c *camera) add(v *Viewer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.viewers[v] = struct{}{}
	if c.idle != nil {
		c.idle.Stop()
		c.idle = nil
	}
	if c.stop == nil {
		c.start()
	}
}

// start begins a run after the one before has ended. The caller holds mu.
func (c *camera) start() {
	ctx, cancel := context.WithCancel(context.Background())
	before, done := c.ran, make(chan struct{})
	c.stop, c.ran = cancel, done
	c.group, c.groupSize = nil, 0
	c.wait.Go(func() {
		defer close(done)
		if before != nil {
			<-before
		}
		c.run(ctx)
	})
}

// run runs the source until ctx ends, again after each failure.
func (c *camera) run(ctx context.Context) {
	retry := firstRetry
	for ctx.Err() == nil {
		began := time.Now()
		err := c.source.Run(ctx, func(f *Frame) { c.deliver(ctx, f) })
		if ctx.Err() != nil {
			return
		}
		c.metrics.failures.WithLabelValues(c.name).Inc()
		c.log.Warn("camera failed", "error", err, "retry", retry.String())
		if time.Since(began) > lastRetry {
			retry = firstRetry
		}
		select {
		case <-ctx.Done():
		case <-time.After(retry/2 + rand.N(retry/2)): //nolint:gosec // jitter
		}
		retry = min(2*retry, lastRetry)
	}
}

// remove takes a viewer away; the source stops a moment after the last.
func (c *camera) remove(v *Viewer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.viewers, v)
	if len(c.viewers) > 0 || c.stop == nil || c.idle != nil || c.closed {
		return
	}
	c.idle = time.AfterFunc(linger, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.viewers) == 0 && c.stop != nil && c.idle != nil {
			c.stop()
			c.stop, c.idle = nil, nil
		}
	})
}

func (c *camera) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.idle != nil {
		c.idle.Stop()
	}
	if c.stop != nil {
		c.stop()
	}
	c.viewers = nil
}

// deliver takes a frame from the source: it goes into the group and into every viewer's queue.
func (c *camera) deliver(ctx context.Context, f *Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil {
		return // of a run that has ended
	}
	f, ok := c.params.apply(f)
	if !ok {
		c.metrics.frames.WithLabelValues(c.name, "no_parameters").Inc()
		return
	}
	if f.Key {
		describe(&c.info, f)
	}
	c.meter.add(f.Captured, f)
	c.remember(f)
	for v := range c.viewers {
		v.push(c, f)
	}
}

// remember appends the frame to the group. The caller holds mu.
func (c *camera) remember(f *Frame) {
	switch {
	case f.Key:
		c.group, c.groupSize = nil, 0 // a fresh one: viewers may hold the old
	case len(c.group) == 0:
		return
	}
	c.group = append(c.group, f)
	c.groupSize += f.size()
	if len(c.group) > groupFrames || c.groupSize > groupBytes {
		c.group, c.groupSize = nil, 0
	}
}

// keyFrame brings the viewer to a point from which it can decode: the source makes a key frame, or the viewer gets the frames since the
// last one. It may have to wait for the next.
func (c *camera) keyFrame(v *Viewer) {
	if k, ok := c.source.(KeyFramer); ok {
		if c.askNow(k) {
			k.RequestKeyFrame() // without the lock: the source has its own
		}
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.group) > 0 {
		v.catchUp(c, slices.Clip(c.group))
	}
}

// askNow reports whether a key frame is due now; if one was asked for just before, it makes it due keyEvery after that.
func (c *camera) askNow(k KeyFramer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending || c.closed {
		return false
	}
	since := time.Since(c.asked)
	if since >= keyEvery {
		c.asked = time.Now()
		return true
	}
	c.pending = true
	time.AfterFunc(keyEvery-since, func() {
		c.mu.Lock()
		due := !c.closed
		c.pending, c.asked = false, time.Now()
		c.mu.Unlock()
		if due {
			k.RequestKeyFrame()
		}
	})
	return false
}
