package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
)

const prefix = "insighthub:signaling:"

func roomKey(site telemetry.SiteID) string { return prefix + "room:" + string(site) }
func inboxKey(task string) string          { return prefix + "inbox:" + task }

// bus connects the relays of several tasks over Redis. Its goroutines are a writer of
// entries into other tasks' inboxes, a reader of this task's, and a keeper of everything
// that takes time.
type bus struct {
	relay  *Relay
	config Redis
	client redis.UniversalClient
	log    *slog.Logger

	// up says that the last attempt to reach Redis succeeded. While it is false operations
	// fail at once, except for those of the keeper.
	up     atomic.Bool
	ctx    context.Context //nolint:containedctx // that of the goroutines, ended by close
	stop   context.CancelFunc
	done   sync.WaitGroup
	outbox chan *entry
	wake   chan struct{}
	opened atomic.Value // string: the name of the inbox that the keeper created last

	mu     sync.Mutex
	repair map[telemetry.SiteID]bool // rooms to read anew, and to correct
	sent   map[string]uint64         // entries by task, for the writer alone
}

// entry is one entry of an inbox.
type entry struct {
	task string
	kind string // messageEntry or changeEntry
	to   string // the peer or the site
	body []byte
	done chan error // nil if nobody waits
}

// Kinds of entries.
const (
	messageEntry = "m"
	changeEntry  = "c"
	openEntry    = "o" // the first of an inbox
)

// outboxEntries limits the entries that wait for the writer.
const outboxEntries = 4096

func newBus(r *Relay, config Redis, log *slog.Logger) (*bus, error) {
	quiet()
	config.setDefaults()
	o, err := options(config)
	if err != nil {
		return nil, err
	}
	b := &bus{
		relay: r, config: config, client: redis.NewUniversalClient(o), log: log.With("task", r.task),
		outbox: make(chan *entry, outboxEntries), wake: make(chan struct{}, 1),
		repair: map[telemetry.SiteID]bool{}, sent: map[string]uint64{},
	}
	b.ctx, b.stop = context.WithCancel(context.Background())
	return b, nil
}

func (b *bus) start() {
	for _, run := range []func(){b.write, b.keep, b.receive} {
		b.done.Go(run)
	}
}

// close ends the goroutines and removes the inbox, so that the other tasks see sooner that
// this one has ended.
func (b *bus) close() error {
	b.stop()
	if b.up.Load() {
		ctx, cancel := context.WithTimeout(context.Background(), b.config.Timeout)
		defer cancel()
		if err := b.client.Del(ctx, inboxKey(b.relay.task)).Err(); err != nil {
			b.log.Warn("could not remove the inbox; it expires", "error", err)
		}
	}
	// Ends the reader's wait.
	err := b.client.Close()
	b.done.Wait()
	for len(b.outbox) > 0 {
		(<-b.outbox).finish(errClosed)
	}
	return err
}

// failed notes that Redis could not be reached, and returns the error for the caller.
func (b *bus) failed(what string, err error) error {
	if b.ctx.Err() == nil && b.up.CompareAndSwap(true, false) {
		b.relay.metrics.outages.Inc()
		b.log.Warn("redis cannot be reached; peers of other tasks are out of reach", "operation", what, "error", err)
		b.poke()
	}
	return fmt.Errorf("relay: %s: %w: %w", what, telemetry.ErrUnavailable, err)
}

var errDown = errors.New("redis cannot be reached")

// sync applies operations to a room.
func (b *bus) sync(ctx context.Context, site telemetry.SiteID, known int64, ops []operation) (result, error) {
	if !b.up.Load() {
		return result{}, fmt.Errorf("%w: %w", telemetry.ErrUnavailable, errDown)
	}
	// Not cut short: an operation that was sent may have been applied.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.config.Timeout)
	defer cancel()
	return b.run(ctx, site, known, ops)
}

func (b *bus) run(ctx context.Context, site telemetry.SiteID, known int64, ops []operation) (result, error) {
	ttl := b.config.RoomTTL.Milliseconds()
	response, err := script.Run(ctx, b.client, []string{roomKey(site)}, arguments(b.relay.task, known, ttl, ops)...).Result()
	if err != nil {
		return result{}, b.failed("change room", err)
	}
	res, err := decodeResult(response, known, func(err error) {
		b.relay.metrics.lost.WithLabelValues(lostUnreadable).Inc()
		b.log.Warn("a member in redis cannot be read", "error", err)
	})
	if err == nil && len(res.applied) != len(ops) {
		err = fmt.Errorf("script: got %d results of %d operations", len(res.applied), len(ops))
	}
	if err != nil {
		return result{}, fmt.Errorf("%w: %w", telemetry.ErrUnavailable, err)
	}
	return res, nil
}

// notify reports a change to the other tasks. It does not wait: what does not arrive shows
// as a gap in the versions.
func (b *bus) notify(tasks []string, site telemetry.SiteID, c change) {
	body := []byte(c.encode())
	for _, task := range tasks {
		select {
		case b.outbox <- &entry{task: task, kind: changeEntry, to: string(site), body: body}:
		default:
		}
	}
}

// send writes a message into the inbox of the task and waits until it is there.
func (b *bus) send(ctx context.Context, task string, to rtc.PeerID, message []byte) error {
	if !b.up.Load() {
		return fmt.Errorf("relay to another task: %w: %w", telemetry.ErrUnavailable, errDown)
	}
	ctx, cancel := context.WithTimeout(ctx, b.config.Timeout)
	defer cancel()
	e := &entry{task: task, kind: messageEntry, to: string(to), body: message, done: make(chan error, 1)}
	select {
	case b.outbox <- e:
	case <-ctx.Done():
		return fmt.Errorf("relay to another task: %w: too many messages wait", telemetry.ErrUnavailable)
	case <-b.ctx.Done():
		return errClosed
	}
	select {
	case err := <-e.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("relay to another task: %w: %w", telemetry.ErrUnavailable, ctx.Err())
	case <-b.ctx.Done():
		return errClosed
	}
}

func (e *entry) finish(err error) {
	if e.done != nil {
		e.done <- err
	}
}

// batch limits the entries that are written or read at a time.
const batch = 256

// write is the writer: one goroutine and one pipeline at a time keep entries in order.
func (b *bus) write() {
	entries := make([]*entry, 0, batch)
	for {
		entries = entries[:0]
		select {
		case <-b.ctx.Done():
			return
		case e := <-b.outbox:
			entries = append(entries, e)
		}
		for len(entries) < batch {
			select {
			case e := <-b.outbox:
				entries = append(entries, e)
				continue
			default:
			}
			break
		}
		b.writeAll(entries)
	}
}

func (b *bus) writeAll(entries []*entry) {
	if !b.up.Load() {
		for _, e := range entries {
			e.finish(fmt.Errorf("relay to another task: %w: %w", telemetry.ErrUnavailable, errDown))
		}
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, b.config.Timeout)
	defer cancel()
	commands := make([]*redis.StringCmd, len(entries))
	_, _ = b.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, e := range entries {
			b.sent[e.task]++
			commands[i] = p.XAdd(ctx, &redis.XAddArgs{
				Stream: inboxKey(e.task), NoMkStream: true, MaxLen: b.config.Inbox, Approx: true,
				Values: []any{"f", b.relay.task, "n", b.sent[e.task], "k", e.kind, "t", e.to, "b", e.body},
			})
		}
		return nil
	})
	for i, e := range entries {
		switch err := commands[i].Err(); {
		case err == nil:
			e.finish(nil)
		case errors.Is(err, redis.Nil):
			e.finish(fmt.Errorf("relay to another task: %w: it has ended", telemetry.ErrUnavailable))
		default:
			e.finish(b.failed("write to an inbox", err))
		}
	}
}

// receive is the reader of this task's inbox.
func (b *bus) receive() {
	key := inboxKey(b.relay.task)
	reader := &reader{from: "0", counts: map[string]uint64{}}
	// Redis waits for entries that long.
	const block = 500 * time.Millisecond
	read := 0
	for b.ctx.Err() == nil {
		if !b.up.Load() {
			b.sleep(20 * time.Millisecond)
			continue
		}
		ctx, cancel := context.WithTimeout(b.ctx, block+b.config.Timeout)
		streams, err := b.client.XRead(ctx, &redis.XReadArgs{Streams: []string{key, reader.from}, Count: batch, Block: block}).Result()
		cancel()
		switch {
		case errors.Is(err, redis.Nil):
			if opened, _ := b.opened.Load().(string); opened != reader.opened {
				// The inbox was created again, with ids before those of the last one: its
				// first entry has not been read.
				reader.from = "0"
			}
			continue
		case err != nil:
			if b.ctx.Err() == nil {
				_ = b.failed("read the inbox", err)
			}
			continue
		}
		for _, stream := range streams {
			for _, message := range stream.Messages {
				reader.from = message.ID
				b.received(message.Values, reader)
				read++
			}
		}
		if read >= batch {
			read = 0
			b.trim(key, reader.from)
		}
	}
}

// trim removes the entries before id.
func (b *bus) trim(key, id string) {
	ctx, cancel := context.WithTimeout(b.ctx, b.config.Timeout)
	defer cancel()
	if err := b.client.XTrimMinID(ctx, key, id).Err(); err != nil && b.ctx.Err() == nil {
		_ = b.failed("trim the inbox", err) // it is trimmed the next time
	}
}

// reader is where the reader of the inbox is.
type reader struct {
	// from is the id of the last entry, opened the name of the inbox that begins with it.
	from, opened string
	// counts has the last count of each sender.
	counts map[string]uint64
}

// received handles one entry.
func (b *bus) received(values map[string]any, r *reader) {
	text := func(name string) string { s, _ := values[name].(string); return s }
	lost := b.relay.metrics.lost
	if n, err := strconv.ParseUint(text("n"), 10, 64); err == nil {
		sender := text("f")
		last, ok := r.counts[sender]
		if n <= last {
			// A client of a cluster repeats what may not have arrived.
			lost.WithLabelValues(lostRepeated).Inc()
			return
		}
		if ok && n > last+1 {
			lost.WithLabelValues(lostGap).Add(float64(n - last - 1))
			b.log.Warn("entries of another task did not arrive", "from", sender, "entries", n-last-1)
		}
		r.counts[sender] = n
	}
	switch text("k") {
	case messageEntry:
		to := rtc.PeerID(text("t"))
		if !b.relay.has(to) {
			lost.WithLabelValues(lostMoved).Inc()
			return
		}
		b.relay.metrics.received.Inc()
		b.relay.events.Deliver(to, []byte(text("b")))
	case changeEntry:
		c, err := decodeChange(text("b"))
		if err != nil {
			lost.WithLabelValues(lostUnreadable).Inc()
			b.log.Warn("a change of another task cannot be read", "error", err)
			return
		}
		b.applyChange(telemetry.SiteID(text("t")), c)
	case openEntry:
		r.opened = text("b")
	default:
		lost.WithLabelValues(lostUnreadable).Inc()
	}
}

func (b *bus) applyChange(site telemetry.SiteID, c change) {
	rm := b.relay.acquireKnown(site)
	if rm == nil {
		return
	}
	defer b.relay.release(rm)
	rm.mu.Lock()
	defer rm.mu.Unlock()
	if rm.notified(c, b.relay.now()) {
		b.readLater(site)
	}
}

// readLater and repairLater have the keeper read a room anew, now or when Redis is back.
func (b *bus) readLater(site telemetry.SiteID) {
	b.repairLater(site)
	b.poke()
}

func (b *bus) repairLater(site telemetry.SiteID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.repair[site] = true
}

// repairs takes the rooms to read anew.
func (b *bus) repairs() []telemetry.SiteID {
	b.mu.Lock()
	defer b.mu.Unlock()
	sites := slices.Sorted(maps.Keys(b.repair))
	clear(b.repair)
	return sites
}

func (b *bus) poke() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *bus) sleep(d time.Duration) {
	select {
	case <-b.ctx.Done():
	case <-time.After(d):
	}
}
