package relaytest

import (
	"maps"
	"slices"
	"sync"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/signaling/hub"
)

// Event is a call of hub.Events.Presence.
type Event struct {
	Room   telemetry.SiteID
	Peer   rtc.PeerID
	State  rtc.PresenceState
	Reason rtc.LeaveReason
}

// Recorder implements hub.Events as a task with sessions would: it stores all calls.
type Recorder struct {
	// OnPresence is called with each change, before it is stored; it must not block.
	OnPresence func(Event)

	mu       sync.Mutex
	events   []Event
	messages map[rtc.PeerID][]string
	peers    map[telemetry.SiteID]map[rtc.PeerID]hub.Peer
}

var _ hub.Events = (*Recorder)(nil)

// Deliver implements hub.Events.
func (r *Recorder) Deliver(to rtc.PeerID, message []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.messages == nil {
		r.messages = map[rtc.PeerID][]string{}
	}
	r.messages[to] = append(r.messages[to], string(message))
}

// Presence implements hub.Events.
func (r *Recorder) Presence(site telemetry.SiteID, p hub.Peer, c hub.Change) {
	e := Event{site, p.ID, c.State, c.Reason}
	if r.OnPresence != nil {
		r.OnPresence(e)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	if r.peers == nil {
		r.peers = map[telemetry.SiteID]map[rtc.PeerID]hub.Peer{}
	}
	if r.peers[site] == nil {
		r.peers[site] = map[rtc.PeerID]hub.Peer{}
	}
	if c.State == rtc.StateLeft {
		delete(r.peers[site], p.ID)
		return
	}
	p.Lost = c.State == rtc.StateLost
	r.peers[site][p.ID] = p
}

// Entered stores the list that a peer of this task got, as a session does.
func (r *Recorder) Entered(site telemetry.SiteID, others []hub.Peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.peers == nil {
		r.peers = map[telemetry.SiteID]map[rtc.PeerID]hub.Peer{}
	}
	if r.peers[site] == nil {
		r.peers[site] = map[rtc.PeerID]hub.Peer{}
	}
	for _, p := range others {
		r.peers[site][p.ID] = p
	}
}

// Members returns who is in the room as follows from lists and events, with * for lost ones.
func (r *Recorder) Members(site telemetry.SiteID) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, id := range slices.Sorted(maps.Keys(r.peers[site])) {
		name := string(id)
		if r.peers[site][id].Lost {
			name += "*"
		}
		out = append(out, name)
	}
	return out
}

// Events returns the changes of a peer in a room, in order.
func (r *Recorder) Events(site telemetry.SiteID, id rtc.PeerID) []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Event
	for _, e := range r.events {
		if e.Room == site && e.Peer == id {
			out = append(out, e)
		}
	}
	return out
}

// States returns the states of a peer in a room, in order, separated by blanks.
func (r *Recorder) States(site telemetry.SiteID, id rtc.PeerID) string {
	text := ""
	for _, e := range r.Events(site, id) {
		if text != "" {
			text += " "
		}
		text += string(e.State)
		if e.Reason != "" {
			text += "(" + string(e.Reason) + ")"
		}
	}
	return text
}

// Messages returns what was delivered to a peer, in order.
func (r *Recorder) Messages(to rtc.PeerID) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.messages[to])
}
