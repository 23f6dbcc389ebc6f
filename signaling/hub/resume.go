package hub

import (
	"slices"
	"time"

	"github.com/insighthub/insighthub/lib/rtc"
)

// hello begins or resumes a session.
func (s *session) hello(m rtc.Hello) *rtc.Error {
	h := s.hub
	r, fault := s.verify(m.Token)
	if fault != nil {
		if fault.Code == rtc.Unavailable {
			s.out.end(withID(fault, m.ID)) // there is no session to go on with
			return nil
		}
		return fault
	}
	id, received, ticket := h.newID(), int64(0), false
	if m.Resume != nil {
		var earlier rtc.PeerID
		if earlier, ticket = h.tickets.open(m.Resume.Ticket, r.subject); ticket {
			id, received = earlier, m.Resume.Received
		} else {
			h.metrics.resumes.WithLabelValues("invalid_ticket").Inc()
		}
	}
	for {
		old := h.evict(id)
		if !h.admission.open(r.subject, r.kind, h.config.Now()) {
			return rtc.Errorf(rtc.TooManySessions, "the subject has %d sessions; close one", h.config.Limits.PerSubject)
		}
		if fault, ok := s.begin(old, id, r, m.ID, received, ticket); ok {
			return fault
		}
		h.admission.close(r.subject) // another socket was faster
	}
}

// evict ends the socket that has the session, and returns the session when it may be resumed;
// nil if there is none.
func (h *Hub) evict(id rtc.PeerID) *session {
	const polite = 100 * time.Millisecond // for a client that reads: it gets the reason
	for {
		h.mu.Lock()
		old := h.sessions[id]
		if old == nil || h.closed || old.gone == nil && !old.parked.IsZero() {
			h.mu.Unlock()
			return old
		}
		wait := old.gone
		if old.parked.IsZero() {
			wait = old.done
			if old.fate == open {
				old.fate = replaced
				old.out.end(rtc.Errorf(rtc.Replaced, "another socket has resumed the session"))
			}
		}
		h.mu.Unlock()
		timer := time.NewTimer(polite)
		select {
		case <-wait:
		case <-timer.C:
			_ = old.conn.Close()
			<-wait
		}
		timer.Stop()
	}
}

// begin puts the session into its place; false if it is taken meanwhile.
func (s *session) begin(old *session, id rtc.PeerID, r *rights, re string, received int64, ticket bool) (*rtc.Error, bool) {
	h := s.hub
	s.mu.Lock()
	defer s.mu.Unlock()
	if old != nil {
		// Before the hub's lock, as everywhere.
		old.mu.Lock()
		defer old.mu.Unlock()
	}
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		h.admission.close(r.subject)
		return rtc.Errorf(rtc.GoingAway, "the service stops"), true
	}
	if h.sessions[id] != old || old != nil && (old.parked.IsZero() || old.gone != nil) {
		h.mu.Unlock()
		return nil, false
	}
	s.id = id
	s.rights.Store(r)
	s.bucket = newBucket(rateOf(h.config.Limits, r.kind), h.config.Limits.Burst, h.config.Now())
	h.sessions[id] = s
	result := "unknown"
	announced := false
	if old == nil {
		s.out.reply(s.welcome(re, false), false)
	} else {
		announced = s.adopt(old, re, received)
		result = "resumed"
		if len(s.rooms) == 0 && len(s.unconfirmed) > 0 {
			result = "overflow"
		}
	}
	h.mu.Unlock()
	s.greeted.Store(true)
	h.admission.greeted(s.address)
	h.metrics.sessions.Inc()
	if ticket {
		h.metrics.resumes.WithLabelValues(result).Inc()
	}
	h.log.Info("session", "peer", string(id), "kind", string(r.kind), "subject", r.subject, "resume", ticket, "result", result,
		"address", s.address)
	s.leaveForbidden()
	if announced {
		for _, site := range slices.Clone(s.rooms) {
			// The members were reported while the session was lost; the others learn that it is back.
			if fault := s.enter(site, func([]Peer) {}); fault != nil {
				s.leaveRoom(site, rtc.PeerLost)
				s.out.reply(rtc.Left{Site: site, Reason: rtc.PeerLost}, true)
			}
		}
	}
	return nil, true
}

// adopt takes the state of a session whose socket has ended. announced says that the rooms
// know of that. Callers hold mu of both and hub.mu.
func (s *session) adopt(old *session, re string, received int64) (announced bool) {
	h := s.hub
	h.unpark(old)
	whole := old.fate != taken
	if !whole {
		received = -1
	}
	resumed := s.out.resume(&old.out, received, func(resumed bool) rtc.Message { return s.welcome(re, resumed) })
	for _, site := range old.rooms {
		h.unindex(site, old)
		if resumed {
			h.index(site, s)
		}
	}
	s.generations = old.generations
	s.unconfirmed, s.unconfirmedUntil = old.unconfirmed, old.unconfirmedUntil
	if resumed {
		s.rooms = old.rooms
		return old.announced
	}
	// The client joins its rooms anew; the others see it back then, or leave in the end.
	s.unconfirmed = append(s.unconfirmed, old.rooms...)
	s.unconfirmedUntil = h.config.Now().Add(h.config.Times.Grace)
	return false
}
