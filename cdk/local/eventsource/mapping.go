package eventsource

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// discoverInterval is the time between two listings of the shards.
const discoverInterval = time.Second

// Config configures a Mapping.
type Config struct {
	Settings    Settings
	Stream      Stream
	Invoker     Invoker
	Checkpoints Checkpoints
	// Failures is the on-failure destination; without one, discarded records are only
	// logged and counted.
	Failures FailureSink
	Log      *slog.Logger
	Now      func() time.Time
	// NewID returns a random UUID.
	NewID func() string
}

// Stats counts what a mapping has done since its start.
type Stats struct {
	Invocations  int64 // to which the function responded, with success or an error
	Failures     int64 // of those: function errors, invalid or partial responses
	NotInvoked   int64 // throttled, or the invocation failed before the function ran
	Records      int64 // finished, including the discarded ones
	Discarded    int64 // written to the on-failure destination, if there is one
	PayloadBytes int64 // sent to the function
}

// Mapping is a running event source mapping.
type Mapping struct {
	settings    Settings
	stream      Stream
	invoker     Invoker
	checkpoints Checkpoints
	failures    FailureSink
	log         *slog.Logger
	now         func() time.Time
	newID       func() string

	startedAt time.Time
	stop      context.Context // canceled by Close: no more reads, waits and invocations
	halt      context.CancelFunc
	work      context.Context // canceled at the deadline of Close: aborts invocations
	abort     context.CancelFunc
	running   sync.WaitGroup
	done      chan struct{} // signaled when a shard is finished: discover its children

	mu      sync.Mutex
	pollers map[string]*poller

	invocations, failed, notInvoked atomic.Int64
	finished, discards, sentBytes   atomic.Int64
}

// Start validates the settings and starts to read. The mapping runs until Close, or
// until ctx ends, which aborts the invocations in flight.
func Start(ctx context.Context, c Config) (*Mapping, error) {
	if c.Settings.Backoff == (Backoff{}) {
		c.Settings.Backoff = DefaultBackoff()
	}
	if err := c.Settings.Validate(); err != nil {
		return nil, err
	}
	m := &Mapping{
		settings: c.Settings, stream: c.Stream, invoker: c.Invoker, checkpoints: c.Checkpoints,
		failures: c.Failures, log: c.Log.With("mapping", string(c.Settings.ID), "stream", c.Settings.Stream),
		now: c.Now, newID: c.NewID,
		startedAt: c.Now(), done: make(chan struct{}, 1), pollers: make(map[string]*poller),
	}
	m.work, m.abort = context.WithCancel(ctx)
	m.stop, m.halt = context.WithCancel(m.work)
	// The stream must exist when the mapping is created; later errors are retried.
	if err := m.discover(true); err != nil {
		m.abort()
		return nil, err
	}
	m.running.Go(m.watch)
	return m, nil
}

// Close stops reading and waits for the invocations in flight. When ctx ends first
// it aborts them, waits for that, and returns ctx's error; a mapping that starts from the
// same checkpoints delivers their records again.
func (m *Mapping) Close(ctx context.Context) error {
	m.halt()
	idle := make(chan struct{})
	go func() {
		m.running.Wait()
		close(idle)
	}()
	defer m.abort()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		m.abort()
		<-idle
		return fmt.Errorf("close mapping %s: %w", m.settings.ID, ctx.Err())
	}
}

// Lag returns the number of records that were read and are not finished.
func (m *Mapping) Lag() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, p := range m.pollers {
		n += p.openRecords()
	}
	return n
}

// Idle reports whether every record that was read is finished and every open shard
// waits for new records.
func (m *Mapping) Idle() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.pollers {
		if !p.idle() {
			return false
		}
	}
	return true
}

// Stats returns the counts so far.
func (m *Mapping) Stats() Stats {
	return Stats{
		Invocations: m.invocations.Load(), Failures: m.failed.Load(), NotInvoked: m.notInvoked.Load(),
		Records: m.finished.Load(), Discarded: m.discards.Load(), PayloadBytes: m.sentBytes.Load(),
	}
}

// watch discovers shards until the mapping stops.
func (m *Mapping) watch() {
	tick := time.NewTicker(discoverInterval)
	defer tick.Stop()
	for {
		select {
		case <-m.stop.Done():
			return
		case <-tick.C:
		case <-m.done:
		}
		if err := m.discover(false); err != nil {
			m.log.Warn("list shards", "error", err)
		}
	}
}

// discover starts a poller for each shard that is not read yet and whose parents are
// finished or no longer listed.
func (m *Mapping) discover(first bool) error {
	shards, err := m.stream.Shards(m.settings.Stream)
	if err != nil {
		return fmt.Errorf("list shards of %s: %w", m.settings.Stream, err)
	}
	if len(shards) == 0 && first {
		return fmt.Errorf("stream %s: %w", m.settings.Stream, errNoShards)
	}
	listed := make(map[string]bool, len(shards))
	for _, s := range shards {
		listed[s.ID] = true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range shards {
		if m.pollers[s.ID] != nil || m.isFinished(s.ID) ||
			listed[s.ParentID] && !m.isFinished(s.ParentID) ||
			listed[s.AdjacentParentID] && !m.isFinished(s.AdjacentParentID) {
			continue
		}
		// The starting position applies to the shards that exist when the mapping starts.
		from := time.Time{}
		if first {
			from = m.startFrom()
		}
		p := newPoller(m, s.ID, from)
		m.pollers[s.ID] = p
		m.running.Go(p.run)
	}
	return nil
}

var errNoShards = errors.New("no shards")

// startFrom returns the arrival time before which records are skipped.
func (m *Mapping) startFrom() time.Time {
	switch m.settings.StartingPosition {
	case Latest:
		return m.startedAt
	case AtTimestamp:
		return m.settings.StartingTimestamp
	case TrimHorizon:
	}
	return time.Time{}
}

func (m *Mapping) isFinished(shard string) bool {
	c, ok := m.checkpoints.Load(m.settings.ID, shard)
	return ok && c.Finished
}

// forget drops the poller of a finished shard and has its children discovered.
func (m *Mapping) forget(shard string) {
	m.mu.Lock()
	delete(m.pollers, shard)
	m.mu.Unlock()
	select {
	case m.done <- struct{}{}:
	default:
	}
}

// sleep waits for d, and returns false when the mapping stops.
func (m *Mapping) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-m.stop.Done():
		return false
	case <-t.C:
		return true
	}
}
