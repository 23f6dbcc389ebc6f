package relay

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/signaling/hub"
)

// room is this task's view of a room. Its lock is held while events are reported, which
// keeps them in order. Order of locks: room.mu, then Relay.mu.
type room struct {
	relay *Relay
	site  telemetry.SiteID

	// users and local count the calls that use the room, and the members of this task. The
	// room is forgotten when both are 0. Guarded by Relay.mu.
	users, local int

	mu      sync.Mutex
	members map[rtc.PeerID]*member
	// version is that of the hash of which the other tasks' members are known; 0 if none.
	version int64
	// created is the version with which the hash began.
	created int64
	// early holds changes whose predecessors have not come yet, in the order of versions.
	early      []change
	earlySince time.Time
	// entering are peers of this task between the change in Redis and that in the view.
	entering map[rtc.PeerID]int
	// recheck says that something about one of these was passed over.
	recheck bool
	// silent says that no member of this task has the list of members yet.
	silent bool
}

// maxEarly limits the changes of a room that wait for their predecessors.
const maxEarly = 64

// others returns the members but one, in the order of ids.
func (rm *room) others(id rtc.PeerID) []hub.Peer {
	out := make([]hub.Peer, 0, len(rm.members))
	for _, m := range rm.members {
		if m.ID != id {
			out = append(out, m.Peer)
		}
	}
	slices.SortFunc(out, func(a, b hub.Peer) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// tasks returns the other tasks that have members of the room.
func (rm *room) tasks() []string {
	var out []string
	for _, m := range rm.members {
		if m.task != rm.relay.task && !slices.Contains(out, m.task) {
			out = append(out, m.task)
		}
	}
	return out
}

// report reports a change to this task's members.
func (rm *room) report(p hub.Peer, state rtc.PresenceState, reason rtc.LeaveReason) {
	if rm.silent {
		return
	}
	rm.relay.events.Presence(rm.site, p, hub.Change{State: state, Reason: reason})
}

// put makes m a member in the view and returns the member before.
func (rm *room) put(m *member) (before *member) {
	before = rm.members[m.ID]
	rm.members[m.ID] = m
	if before == nil || before.task != m.task {
		rm.relay.index(rm, before, m)
	}
	return before
}

// remove is the inverse of put.
func (rm *room) remove(m *member) {
	delete(rm.members, m.ID)
	rm.relay.index(rm, m, nil)
}

// setRemote applies what another task's member is now, and reports the difference.
func (rm *room) setRemote(m *member) {
	before := rm.put(m)
	switch {
	case before == nil:
		rm.report(m.Peer, rtc.StateJoined, "")
		if m.Lost {
			rm.report(m.Peer, rtc.StateLost, "")
		}
	case before.task != m.task, before.Lost && !m.Lost:
		rm.report(m.Peer, rtc.StateBack, "")
	case !before.Lost && m.Lost:
		rm.report(m.Peer, rtc.StateLost, "")
	}
}

// left removes a member for good, and reports it.
func (rm *room) left(m *member, reason rtc.LeaveReason) {
	rm.remove(m)
	m.Lost = false
	rm.report(m.Peer, rtc.StateLeft, reason)
}

// notified applies a change that another task reports. It returns true if the room must be
// read anew, now or after a while.
func (rm *room) notified(c change, now time.Time) (stale bool) {
	switch {
	case rm.version == 0 || c.version <= rm.version:
		// Not known yet, or known already.
		return false
	case c.version > rm.version+1:
		if len(rm.early) == maxEarly {
			return true
		}
		if len(rm.early) == 0 {
			rm.earlySince = now
		}
		at, _ := slices.BinarySearchFunc(rm.early, c, func(a, b change) int { return cmp.Compare(a.version, b.version) })
		rm.early = slices.Insert(rm.early, at, c)
		return false
	}
	stale = rm.applyNext(c)
	return rm.applyEarly() || stale
}

// applyEarly applies those of the early changes whose turn it is.
func (rm *room) applyEarly() (stale bool) {
	for len(rm.early) > 0 {
		c := rm.early[0]
		if c.version > rm.version+1 {
			break
		}
		rm.early = slices.Delete(rm.early, 0, 1)
		if c.version == rm.version+1 {
			stale = rm.applyNext(c) || stale
		}
	}
	return stale
}

func (rm *room) applyNext(c change) (stale bool) {
	rm.version = c.version
	m := rm.members[c.id]
	if c.value == "" {
		if m != nil && m.task != rm.relay.task {
			rm.left(m, c.reason)
		}
		return false
	}
	next, err := decodeMember(c.id, c.value)
	if err != nil {
		return true // decodeChange has checked it
	}
	if next.task == rm.relay.task {
		// Somebody repairs what this task should have written.
		return true
	}
	rm.take(next)
	return false
}

// take applies another task's member, which may have been this task's.
func (rm *room) take(next *member) {
	if rm.entering[next.ID] > 0 {
		// It is coming here; which of the two is later shows when it has.
		rm.recheck = true
		return
	}
	rm.setRemote(next)
}

// snapshot is the state of a room's hash.
type snapshot struct {
	version, created int64
	members          map[rtc.PeerID]*member
}

// apply makes the view that of the snapshot, reports the differences, and returns what
// this task must correct in the hash. A snapshot that is older than the view is not
// applied, unless it is the truth: Redis itself may have gone back.
func (rm *room) apply(s snapshot, now time.Time, truth bool) []operation {
	if s.created == rm.created && s.version < rm.version && !truth {
		return []operation{{kind: read}}
	}
	lostByRedis := rm.created != 0 && s.created != rm.created
	rm.version, rm.created = s.version, s.created
	var correct []operation
	for id, next := range s.members {
		m := rm.members[id]
		switch {
		case rm.entering[id] > 0:
			rm.recheck = rm.recheck || next.task != rm.relay.task
		case next.task != rm.relay.task && m != nil && m.task == rm.relay.task && m.since > next.since:
			correct = append(correct, operation{heal, id, m.encode()})
		case next.task != rm.relay.task:
			if m != nil && m.task == next.task && !m.dead.IsZero() {
				// It is still dead; what it wrote before is not news.
				next.dead, next.Lost = m.dead, true
			}
			rm.take(next)
		case m == nil || m.task != rm.relay.task:
			// What is left of an Exit while Redis could not be reached.
			correct = append(correct, operation{exit, id, ""})
		case m.encode() != next.encode():
			correct = append(correct, operation{heal, id, m.encode()})
		}
	}
	for id, m := range rm.members {
		switch {
		case s.members[id] != nil:
		case m.task == rm.relay.task:
			correct = append(correct, operation{heal, id, m.encode()})
		case lostByRedis || !m.absent.IsZero():
			// Its task writes it again when it notices; settle decides later.
			if m.absent.IsZero() {
				m.absent = now
			}
		default:
			rm.left(m, "")
		}
	}
	if rm.applyEarly() {
		correct = append(correct, operation{kind: read})
	}
	return correct
}

// settle ends the membership of those that waited long enough: members that were lost with
// Redis and were not written again leave the view, members of dead tasks are returned, to be
// removed from the hash first.
func (rm *room) settle(now time.Time, grace, absence time.Duration) []operation {
	var out []operation
	for _, m := range rm.members {
		switch {
		case !m.dead.IsZero() && now.Sub(m.dead) >= grace:
			out = append(out, operation{expire, m.ID, m.task})
		case !m.absent.IsZero() && now.Sub(m.absent) >= absence:
			rm.left(m, rtc.PeerLost)
		}
	}
	return out
}

// advance follows the result of this task's own operations. It returns true if the room
// must be read anew.
func (rm *room) advance(res result, now time.Time) (stale bool) {
	if res.snapshot != nil {
		return len(rm.apply(*res.snapshot, now, false)) > 0
	}
	switch first := res.version - int64(res.count()); {
	case rm.version == first:
		rm.version = res.version
		return rm.applyEarly()
	case rm.version < first:
		return true
	}
	// A later snapshot, which has these operations, came first.
	return false
}
