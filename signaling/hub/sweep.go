package hub

import (
	"time"

	"github.com/gorilla/websocket"

	"github.com/insighthub/insighthub/lib/rtc"
)

// sweep looks at every session once in Times.Sweep: one goroutine and one timer for all, a
// part of the sockets at a time, so that nobody waits for its lock for long.
func (h *Hub) sweep() {
	together := sweptTogether(h.open.Load())
	every := func() time.Duration { return h.config.Times.Sweep / slots * time.Duration(together) }
	ticks := time.NewTicker(every())
	defer ticks.Stop()
	for slot := 0; ; slot = (slot + together) % slots {
		if slot == 0 {
			if now := sweptTogether(h.open.Load()); now != together {
				together = now
				ticks.Reset(every())
			}
		}
		select {
		case <-h.ctx.Done():
			return
		case <-ticks.C:
		}
		now := h.config.Now()
		var expired []*session
		h.mu.RLock()
		for _, sockets := range h.sockets[slot : slot+together] {
			for s := range sockets {
				if s.look(now) {
					expired = append(expired, s)
				}
			}
		}
		h.mu.RUnlock()
		for _, s := range expired {
			h.accessEnded(s, rtc.TokenExpired)
		}
		if slot == 0 {
			h.sweepParked(now)
		}
	}
}

// sweptTogether returns how many slots are looked at in one step. A fifth of the sockets of a
// step get a ping, whose writes and pongs delay what is relayed meanwhile: with 20,000 sockets
// in 16 steps it was 8 ms, sixteen times a second. With few sockets few steps do.
func sweptTogether(open int64) int {
	const few, each = 16, 64 // steps, and sockets of one
	steps := few
	for steps < slots && open > int64(steps)*each {
		steps *= 2
	}
	return slots / steps
}

// look does what is due for a session with a socket; true if its token has expired.
func (s *session) look(now time.Time) (expired bool) {
	times := &s.hub.config.Times
	if !s.greeted.Load() {
		if now.Sub(s.opened) >= times.Hello {
			s.out.end(rtc.Errorf(rtc.NotGreeted, "no hello came within %s", times.Hello))
		}
		return false
	}
	if now.Sub(time.Unix(0, s.seen.Load())) >= times.Dead {
		if s.dead.CompareAndSwap(false, true) {
			s.hub.metrics.dead.Inc()
			s.hub.metrics.ended.WithLabelValues("dead").Inc()
			_ = s.conn.Close() // ends the reader
		}
		return false
	}
	if now.Sub(time.Unix(0, s.pinged.Load())) >= times.Ping {
		s.pinged.Store(now.UnixNano())
		s.out.control(websocket.PingMessage, nil)
	}
	s.out.forgetBefore(now.Add(-times.Grace))
	// The lock is the reader's, which may be waiting for the relay.
	if s.mu.TryLock() {
		if len(s.unconfirmed) > 0 && now.After(s.unconfirmedUntil) {
			s.hub.wg.Go(func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.leaveUnconfirmed(rtc.PeerLost)
			})
		}
		s.mu.Unlock()
	}
	return s.expired(now)
}

// sweepParked ends lost sessions whose time is over.
func (h *Hub) sweepParked(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.parked {
		switch {
		case s.gone != nil:
		case now.Sub(s.parked) >= h.config.Times.Grace:
			h.expire(s, rtc.PeerLost)
		case s.expired(now):
			h.expire(s, rtc.AccessEnded)
		}
	}
}

// expire makes a lost session leave its rooms. Callers hold mu.
func (h *Hub) expire(s *session, reason rtc.LeaveReason) {
	if h.closed {
		return
	}
	s.gone = make(chan struct{})
	h.wg.Go(func() {
		s.leaveAll(reason)
		h.mu.Lock()
		h.remove(s)
		h.mu.Unlock()
		close(s.gone)
	})
}

// accessEnded ends a session whose right has ended: its rooms are told at once, so that the
// peer connections with it are closed.
func (h *Hub) accessEnded(s *session, code rtc.Code) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed || s.gone != nil || h.sessions[s.id] != s:
	case !s.parked.IsZero():
		h.expire(s, rtc.AccessEnded)
	case s.fate == open || s.fate == lost || s.fate == replaced:
		s.fate, s.reason = leaving, rtc.AccessEnded
		message := "the token expired; renew it by a message token in time"
		if code == rtc.Unauthorized {
			message = "the token is no longer accepted: a right was taken away, or the login ended"
		}
		s.out.end(rtc.Errorf(code, "%s", message))
		h.wg.Go(func() { s.leaveAll(rtc.AccessEnded) })
	}
}

// watchDenials ends the sessions whose token was denied.
func (h *Hub) watchDenials() {
	ticks := time.NewTicker(h.config.Times.Denials)
	defer ticks.Stop()
	var all []*session
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-ticks.C:
		}
		all = all[:0]
		h.mu.RLock()
		for _, s := range h.sessions {
			all = append(all, s)
		}
		h.mu.RUnlock()
		for _, s := range all {
			denied, err := h.config.Denials.Denied(h.ctx, s.rights.Load().token)
			if err != nil {
				// Sessions go on, as they do while the list is fresh; new ones do not start.
				h.log.Warn("it is not known which tokens are denied", "error", err.Error())
				break
			}
			if denied {
				h.accessEnded(s, rtc.Unauthorized)
			}
		}
		clear(all)
	}
}
