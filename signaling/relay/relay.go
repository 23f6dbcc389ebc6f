package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/signaling/hub"
)

// Config of a Relay.
type Config struct {
	// Events gets messages and changes.
	Events hub.Events
	// Task is this task's id, another one for each process.
	Task string
	// Redis connects the tasks; nil if this is the only one.
	Redis *Redis
	// Logger and Registerer may be nil.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	// Now is the clock, default time.Now.
	Now func() time.Time
}

// Relay implements hub.Relay.
type Relay struct {
	events  hub.Events
	task    string
	bus     *bus // nil without Redis
	metrics *metrics
	now     func() time.Time

	mu     sync.RWMutex
	closed bool
	rooms  map[telemetry.SiteID]*room
	places map[rtc.PeerID][]place
	tasks  map[string]int // other tasks, with the number of their members
}

// place is a membership, as Send needs it.
type place struct {
	room *room
	task string
}

var _ hub.Relay = (*Relay)(nil)

var errClosed = fmt.Errorf("the relay is closed: %w", telemetry.ErrUnavailable)

// New returns a relay. Over Redis it connects in the background: until then, and whenever
// Redis cannot be reached, only the peers of this task reach each other.
func New(config Config) (*Relay, error) {
	if config.Events == nil || config.Task == "" {
		return nil, errors.New("relay: Events and Task are required")
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Registerer == nil {
		config.Registerer = prometheus.NewRegistry()
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	r := &Relay{
		events: config.Events, task: config.Task, now: config.Now,
		rooms: map[telemetry.SiteID]*room{}, places: map[rtc.PeerID][]place{}, tasks: map[string]int{},
	}
	var err error
	if r.metrics, err = newMetrics(config.Registerer, r); err != nil {
		return nil, err
	}
	if config.Redis != nil {
		if r.bus, err = newBus(r, *config.Redis, config.Logger); err != nil {
			return nil, err
		}
		r.bus.start()
	}
	return r, nil
}

// Enter implements hub.Relay.
func (r *Relay) Enter(ctx context.Context, site telemetry.SiteID, p hub.Peer, entered func(others []hub.Peer)) error {
	rm, err := r.acquire(site)
	if err != nil {
		return err
	}
	defer r.release(rm)
	rm.mu.Lock()
	defer rm.mu.Unlock()
	p.Lost = false
	m := &member{Peer: p, task: r.task, since: r.now().UnixMicro()}
	if r.bus == nil {
		rm.admit(m, entered)
		return nil
	}

	rm.entering[p.ID]++
	known := rm.version
	rm.mu.Unlock()
	res, err := r.bus.sync(ctx, site, known, []operation{{enter, p.ID, m.encode()}})
	rm.mu.Lock()
	if rm.entering[p.ID]--; rm.entering[p.ID] == 0 {
		delete(rm.entering, p.ID)
	}
	if err != nil {
		// The members of this task have it; the others get it when Redis is back.
		r.bus.repairLater(site)
		rm.admit(m, entered)
		return nil
	}
	before := rm.put(m)
	// Nobody here has known the room until now, so what is in it is no news.
	rm.silent = r.only(rm)
	stale := rm.advance(res, r.now())
	rm.silent = false
	if rm.recheck {
		rm.recheck, rm.version, stale = false, 0, true
	}
	entered(rm.others(p.ID))
	rm.reportEntered(m, before)
	if now := rm.members[p.ID]; now != m {
		// Another task has taken it meanwhile; before entered this was not seen.
		if now != nil {
			rm.report(now.Peer, rtc.StateBack, "")
		}
		return nil
	}
	r.bus.notify(rm.tasks(), site, change{version: res.version, id: p.ID, value: m.encode()})
	if stale {
		r.bus.readLater(site)
	}
	return nil
}

// admit makes a peer of this task a member in the view.
func (rm *room) admit(m *member, entered func([]hub.Peer)) {
	before := rm.put(m)
	entered(rm.others(m.ID))
	rm.reportEntered(m, before)
}

func (rm *room) reportEntered(m, before *member) {
	switch {
	case before == nil:
		rm.report(m.Peer, rtc.StateJoined, "")
	case before.task != m.task || before.Lost:
		rm.report(m.Peer, rtc.StateBack, "")
	}
}

// Exit implements hub.Relay. It is not cut short by ctx, so that the change is not made by half.
func (r *Relay) Exit(ctx context.Context, site telemetry.SiteID, id rtc.PeerID, c hub.Change) error {
	if c.State != rtc.StateLost && c.State != rtc.StateLeft {
		return fmt.Errorf("exit of peer %s: got state %q, want lost or left: %w", id, c.State, telemetry.ErrInvalid)
	}
	rm, err := r.acquire(site)
	if err != nil {
		return err
	}
	defer r.release(rm)
	rm.mu.Lock()
	defer rm.mu.Unlock()
	m := rm.members[id]
	if m == nil || m.task != r.task {
		return nil
	}
	op := operation{kind: exit, id: id}
	if c.State == rtc.StateLost {
		if m.Lost {
			return nil
		}
		lost := *m
		lost.Lost = true
		op = operation{lose, id, lost.encode()}
		rm.put(&lost)
		rm.report(lost.Peer, rtc.StateLost, c.Reason)
	} else {
		rm.left(m, c.Reason)
	}
	if r.bus == nil {
		return nil
	}
	known := rm.version
	rm.mu.Unlock()
	res, err := r.bus.sync(context.WithoutCancel(ctx), site, known, []operation{op})
	rm.mu.Lock()
	if err != nil {
		r.bus.repairLater(site)
		return nil
	}
	if res.applied[0] {
		r.bus.notify(rm.tasks(), site, change{version: res.version, id: id, value: op.value, reason: c.Reason})
	}
	if rm.advance(res, r.now()) {
		r.bus.readLater(site)
	}
	return nil
}

// Send implements hub.Relay.
func (r *Relay) Send(ctx context.Context, from, to rtc.PeerID, message []byte) error {
	task, err := r.route(from, to)
	switch {
	case err != nil:
		return err
	case task == r.task:
		r.metrics.local.Inc()
		r.events.Deliver(to, message)
		return nil
	}
	if err := r.bus.send(ctx, task, to, message); err != nil {
		r.metrics.failed.Inc()
		return err
	}
	r.metrics.remote.Inc()
	return nil
}

// route returns the task of a peer with which from shares a room.
func (r *Relay) route(from, to rtc.PeerID) (task string, err error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.closed {
		return "", errClosed
	}
	for _, theirs := range r.places[to] {
		for _, ours := range r.places[from] {
			if ours.room != theirs.room {
				continue
			}
			task = theirs.task
			if task == r.task {
				return task, nil
			}
		}
	}
	if task == "" {
		return "", fmt.Errorf("%w: %s", hub.ErrUnknownPeer, to)
	}
	return task, nil
}

// has reports whether the peer is on this task.
func (r *Relay) has(id rtc.PeerID) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, p := range r.places[id] {
		if p.task == r.task {
			return true
		}
	}
	return false
}

// Close implements hub.Relay.
func (r *Relay) Close() error {
	r.mu.Lock()
	already := r.closed
	r.closed = true
	r.mu.Unlock()
	if already || r.bus == nil {
		return nil
	}
	return r.bus.close()
}

// acquire returns the view of a room, which stays until release.
func (r *Relay) acquire(site telemetry.SiteID) (*room, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errClosed
	}
	rm := r.rooms[site]
	if rm == nil {
		rm = &room{relay: r, site: site, members: map[rtc.PeerID]*member{}, entering: map[rtc.PeerID]int{}}
		r.rooms[site] = rm
	}
	rm.users++
	return rm, nil
}

// acquireKnown returns the view of a room in which this task has members, nil if there is
// none.
func (r *Relay) acquireKnown(site telemetry.SiteID) *room {
	r.mu.Lock()
	defer r.mu.Unlock()
	rm := r.rooms[site]
	if rm != nil {
		rm.users++
	}
	return rm
}

func (r *Relay) release(rm *room) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rm.users--; rm.users > 0 || rm.local > 0 {
		return
	}
	// Nobody holds the room's lock, since nobody uses it.
	for _, m := range rm.members {
		r.unplace(rm, m.ID)
	}
	delete(r.rooms, rm.site)
}

// index follows a member that was before, and is after; either may be nil.
func (r *Relay) index(rm *room, before, after *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if before != nil {
		r.unplace(rm, before.ID)
		if before.task == r.task {
			rm.local--
		}
	}
	if after == nil {
		return
	}
	r.places[after.ID] = append(r.places[after.ID], place{rm, after.task})
	if after.task == r.task {
		rm.local++
	} else {
		r.tasks[after.task]++
	}
}

func (r *Relay) unplace(rm *room, id rtc.PeerID) {
	places := r.places[id]
	for i, p := range places {
		if p.room == rm {
			if p.task != r.task {
				if r.tasks[p.task]--; r.tasks[p.task] == 0 {
					delete(r.tasks, p.task)
				}
			}
			places[i] = places[len(places)-1]
			places[len(places)-1] = place{}
			places = places[:len(places)-1]
			break
		}
	}
	if len(places) == 0 {
		delete(r.places, id)
		return
	}
	r.places[id] = places
}

// only reports whether this task has one member of the room.
func (r *Relay) only(rm *room) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return rm.local <= 1
}

// others returns the other tasks that have members in this task's rooms.
func (r *Relay) others() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Sorted(maps.Keys(r.tasks))
}

// sites returns the rooms that are in use.
func (r *Relay) sites() []telemetry.SiteID {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]telemetry.SiteID, 0, len(r.rooms))
	for site := range r.rooms {
		out = append(out, site)
	}
	return out
}
