package hub_test

import (
	"context"
	"strconv"
	"sync"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/signaling/hub"
)

// relays is a hub.Relay for each of several tasks of one process. It has what the real ones
// do not: faults that a test sets, and tasks that are killed.
type relays struct {
	mu    sync.Mutex
	rooms map[telemetry.SiteID]map[rtc.PeerID]*entered
	tasks []*task
	// down fails Enter and Send.
	down error
}

type entered struct {
	hub.Peer
	task *task
}

type task struct {
	all    *relays
	events hub.Events
}

var _ hub.Relay = (*task)(nil)

func newRelays() *relays { return &relays{rooms: make(map[telemetry.SiteID]map[rtc.PeerID]*entered)} }

func (r *relays) task(e hub.Events) *task {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := &task{r, e}
	r.tasks = append(r.tasks, t)
	return t
}

func (r *relays) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = err
}

func (r *relays) report(room telemetry.SiteID, p hub.Peer, c hub.Change) {
	for _, t := range r.tasks {
		t.events.Presence(room, p, c)
	}
}

func (t *task) Enter(_ context.Context, room telemetry.SiteID, p hub.Peer, done func([]hub.Peer)) error {
	r := t.all
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down != nil {
		return r.down
	}
	members := r.rooms[room]
	if members == nil {
		members = make(map[rtc.PeerID]*entered)
		r.rooms[room] = members
	}
	var others []hub.Peer
	for _, m := range members {
		if m.ID != p.ID {
			others = append(others, m.Peer)
		}
	}
	before := members[p.ID]
	members[p.ID] = &entered{p, t}
	done(others)
	switch {
	case before == nil:
		r.report(room, p, hub.Change{State: rtc.StateJoined})
	case before.Lost || before.task != t:
		r.report(room, p, hub.Change{State: rtc.StateBack})
	}
	return nil
}

func (t *task) Exit(_ context.Context, room telemetry.SiteID, id rtc.PeerID, c hub.Change) error {
	r := t.all
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.rooms[room][id]
	if m == nil || m.task != t || c.State == rtc.StateLost && m.Lost {
		return nil
	}
	if c.State == rtc.StateLeft {
		delete(r.rooms[room], id)
	} else {
		m.Lost = true
	}
	r.report(room, m.Peer, c)
	return nil
}

func (t *task) Send(_ context.Context, from, to rtc.PeerID, message []byte) error {
	r := t.all
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down != nil {
		return r.down
	}
	for _, members := range r.rooms {
		if members[from] != nil && members[to] != nil {
			members[to].task.events.Deliver(to, message)
			return nil
		}
	}
	return hub.ErrUnknownPeer
}

func (t *task) Close() error { return nil }

// fill puts n peers of no task into a room.
func (r *relays) fill(room telemetry.SiteID, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rooms[room] == nil {
		r.rooms[room] = make(map[rtc.PeerID]*entered)
	}
	for i := range n {
		id := rtc.PeerID("pother" + strconv.Itoa(i))
		p := hub.Peer{ID: id, Kind: rtc.Person, Name: "0b5e8a52-6d0f-4c0e-9a57-1f6d6c1f7c11", Lost: i%2 == 1}
		r.rooms[room][id] = &entered{Peer: p, task: r.tasks[0]}
	}
}
