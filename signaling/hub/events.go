package hub

import (
	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// index makes a session one of a room's. Callers hold mu.
func (h *Hub) index(site telemetry.SiteID, s *session) {
	room := h.rooms[site]
	if room == nil {
		room = make(map[rtc.PeerID]*session)
		h.rooms[site] = room
		h.metrics.rooms.Inc()
	}
	room[s.id] = s
}

// unindex is the inverse. Callers hold mu.
func (h *Hub) unindex(site telemetry.SiteID, s *session) {
	room := h.rooms[site]
	if room[s.id] != s {
		return
	}
	if delete(room, s.id); len(room) == 0 {
		delete(h.rooms, site)
		h.metrics.rooms.Dec()
	}
}

// remove forgets a session. Callers hold mu.
func (h *Hub) remove(s *session) {
	if h.sessions[s.id] == s {
		delete(h.sessions, s.id)
	}
	h.unpark(s)
}

// unpark takes a session from those that may be resumed. Callers hold mu.
func (h *Hub) unpark(s *session) {
	if _, ok := h.parked[s]; !ok {
		return
	}
	delete(h.parked, s)
	h.admission.unpark(s.rights.Load().subject)
	h.metrics.lost.Set(float64(len(h.parked)))
}

// Deliver implements Events.
func (h *Hub) Deliver(to rtc.PeerID, message []byte) {
	h.mu.RLock()
	s := h.sessions[to]
	h.mu.RUnlock()
	if s != nil {
		s.out.send("relayed", message, true)
	}
}

// Presence implements Events.
func (h *Hub) Presence(site telemetry.SiteID, p Peer, change Change) {
	h.mu.RLock()
	var encoded [2][]byte // by politeness
	for id, s := range h.rooms[site] {
		if id == p.ID {
			continue
		}
		m := s.presence(site, p, change)
		i := 0
		if m.Polite {
			i = 1
		}
		if encoded[i] == nil {
			data, err := rtc.Encode(m)
			if err != nil {
				h.log.Error("message cannot be encoded", "type", string(m.Type()), "error", err.Error())
				break
			}
			encoded[i] = data
		}
		s.out.send(m.Type(), encoded[i], true)
	}
	own := h.sessions[p.ID]
	h.mu.RUnlock()
	if own != nil && (change.State == rtc.StateBack || change.State == rtc.StateJoined) {
		h.entered(own, site)
	}
}

func (s *session) presence(site telemetry.SiteID, p Peer, change Change) rtc.Presence {
	return rtc.Presence{
		Site: site, Peer: p.ID, Kind: p.Kind, Name: p.Name, Polite: rtc.Polite(s.id, s.rights.Load().kind, p.ID, p.Kind),
		State: change.State, Reason: change.Reason,
	}
}

// entered handles that a peer of this task has entered a room: by itself, or on another
// task, which has the session now.
func (h *Hub) entered(s *session, site telemetry.SiteID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.entering == site {
		s.entering = "" // a second report is of another task
		return
	}
	if h.sessions[s.id] != s || s.fate == taken || s.fate == leaving {
		return
	}
	s.fate = taken
	s.out.end(rtc.Errorf(rtc.Replaced, "the session was resumed on another task"))
}
