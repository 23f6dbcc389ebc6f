package hub

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gorilla/websocket"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
)

// handle handles one message and returns the error for the client.
func (s *session) handle(kind int, raw []byte, now time.Time) *rtc.Error {
	if kind != websocket.TextMessage {
		if limit := s.limit(now, ""); limit != nil {
			return limit
		}
		return s.early(rtc.Errorf(rtc.InvalidMessage, "a message is a text frame, not a binary one"))
	}
	m, err := rtc.DecodeClient(raw)
	if err != nil {
		var fault *rtc.Error
		if !errors.As(err, &fault) {
			fault = rtc.Errorf(rtc.InvalidMessage, "the message cannot be read")
		}
		s.hub.metrics.received.WithLabelValues("invalid").Inc()
		if fault.Code.Info().Always {
			return fault
		}
		if limit := s.limit(now, fault.Re); limit != nil {
			return limit
		}
		return s.early(fault)
	}
	s.hub.metrics.received.WithLabelValues(string(m.Type())).Inc()
	if !s.greeted.Load() {
		if hello, ok := m.(rtc.Hello); ok {
			return withID(s.hello(hello), hello.ID)
		}
		return withID(rtc.Errorf(rtc.NotGreeted, "the first message must be hello, not %s", m.Type()), idOf(m))
	}
	if fault := s.limit(now, idOf(m)); fault != nil {
		return fault
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.expired(now) {
		s.hub.accessEnded(s, rtc.TokenExpired)
		return nil
	}
	return withID(s.dispatch(m), idOf(m))
}

// early makes an error before hello one that closes.
func (s *session) early(fault *rtc.Error) *rtc.Error {
	if s.greeted.Load() {
		return fault
	}
	return withID(rtc.Errorf(rtc.NotGreeted, "the first message must be hello: %s", fault.Message), fault.Re)
}

func withID(fault *rtc.Error, id string) *rtc.Error {
	if fault != nil {
		fault.Re = id
	}
	return fault
}

// limit takes a message from what the session, and its subject, may send. Whoever goes on
// although messages are dropped is closed.
func (s *session) limit(now time.Time, id string) *rtc.Error {
	if !s.greeted.Load() {
		return nil // one message, and the time for it is limited
	}
	r := s.rights.Load()
	wait := s.bucket.take(now)
	if wait == 0 {
		wait = s.hub.admission.take(r.subject, now)
	}
	if wait == 0 {
		s.excess = max(0, s.excess-1)
		return nil
	}
	limits := &s.hub.config.Limits
	rate := rateOf(*limits, r.kind)
	fault := rtc.Errorf(rtc.TooManyMessages, "a session may send %d messages a second, and all of a subject %d",
		rate, subjectSessions*rate)
	fault.RetryAfterMS = max(1, wait.Milliseconds())
	if s.excess++; s.excess > rate*limits.Burst {
		s.out.end(fault)
		return nil
	}
	return withID(fault, id)
}

func (s *session) expired(now time.Time) bool { return !now.Before(s.rights.Load().expires) }

// dispatch handles a message of a session that has said hello. Callers hold mu.
func (s *session) dispatch(m rtc.Message) *rtc.Error {
	switch m := m.(type) {
	case rtc.Hello:
		return rtc.Errorf(rtc.AlreadyGreeted, "hello was sent already; renew the token by a message token")
	case rtc.Token:
		return s.renew(m)
	case rtc.Join:
		return s.join(m)
	case rtc.Leave:
		return s.leave(m)
	case rtc.Offer:
		to, connection := m.To, m.Connection
		m.ID, m.To, m.From = "", "", s.id
		return s.describe(to, connection, m, m.SDP)
	case rtc.Answer:
		to, connection := m.To, m.Connection
		m.ID, m.To, m.From = "", "", s.id
		return s.describe(to, connection, m, m.SDP)
	case rtc.Candidate:
		return s.candidate(m)
	case rtc.Bye:
		s.generations.ended(m.To, m.Connection)
		to := m.To
		m.ID, m.To, m.From = "", "", s.id
		return s.relay(to, m)
	case rtc.ICE:
		servers, expires := s.hub.config.ICE.servers(s.rights.Load().subject, s.hub.config.Now())
		s.out.reply(rtc.ICEResponse{Re: m.ID, Servers: servers, ExpiresMS: expires.UnixMilli()}, true)
	case rtc.Ping:
		s.out.reply(rtc.Pong{Re: m.ID, TimeMS: s.hub.config.Now().UnixMilli()}, false)
	}
	return nil
}

func idOf(m rtc.Message) string {
	switch m := m.(type) {
	case rtc.Hello:
		return m.ID
	case rtc.Token:
		return m.ID
	case rtc.Join:
		return m.ID
	case rtc.Leave:
		return m.ID
	case rtc.Offer:
		return m.ID
	case rtc.Answer:
		return m.ID
	case rtc.Candidate:
		return m.ID
	case rtc.Bye:
		return m.ID
	case rtc.ICE:
		return m.ID
	case rtc.Ping:
		return m.ID
	}
	return ""
}

// describe relays a description and remembers its ICE generation.
func (s *session) describe(to rtc.PeerID, connection rtc.ConnectionID, m rtc.Message, sdp string) *rtc.Error {
	if fault := s.relay(to, m); fault != nil {
		return fault
	}
	s.generations.described(to, connection, sdp)
	return nil
}

func (s *session) candidate(m rtc.Candidate) *rtc.Error {
	ufrag := m.Ufrag()
	if s.generations.stale(m.To, m.Connection, ufrag) {
		s.hub.metrics.staleCandidates.Inc()
		return nil
	}
	if ufrag != "" {
		m.UsernameFragment = &ufrag
	}
	to := m.To
	m.ID, m.To, m.From = "", "", s.id
	return s.relay(to, m)
}

// relay sends a message to another peer of a common room.
func (s *session) relay(to rtc.PeerID, m rtc.Message) *rtc.Error {
	if len(s.rooms) == 0 {
		return rtc.Errorf(rtc.NotInRoom, "join a site before you send %s", m.Type())
	}
	data, err := rtc.Encode(m)
	// Its number is added by the receiver's task.
	const number = 32
	if err != nil || len(data)+number > rtc.MaxMessageBytes {
		return rtc.Errorf(rtc.InvalidMessage, "the message is too large to be relayed: at most %d bytes with its sender",
			rtc.MaxMessageBytes-number)
	}
	err = ErrUnknownPeer
	if to != s.id {
		err = s.hub.relay.Send(s.hub.ctx, s.id, to, data)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrUnknownPeer):
		return rtc.Errorf(rtc.UnknownPeer, "no peer %s is in a room of yours", to)
	default:
		s.hub.log.Warn("message was not relayed", "peer", string(s.id), "to", string(to), "error", err.Error())
		return unavailable("the peer's task cannot be reached")
	}
}

func unavailable(what string) *rtc.Error {
	const retryAfter = 1000
	fault := rtc.Errorf(rtc.Unavailable, "%s; retry", what)
	fault.RetryAfterMS = retryAfter
	return fault
}

// verify checks a token and returns what it grants.
func (s *session) verify(text string) (*rights, *rtc.Error) {
	h := s.hub
	select {
	case h.verifying <- struct{}{}:
	case <-h.ctx.Done():
		return nil, rtc.Errorf(rtc.GoingAway, "the service stops")
	}
	claims, err := h.config.Verifier.Verify(h.ctx, text)
	<-h.verifying
	var rejected *token.RejectionError
	switch {
	case errors.As(err, &rejected):
		return nil, rtc.Errorf(rtc.Unauthorized, "the token is not accepted: %s", rejected.Reason)
	case errors.Is(err, telemetry.ErrInvalid):
		return nil, rtc.Errorf(rtc.Unauthorized, "the token is not accepted")
	case err != nil:
		h.log.Warn("token could not be checked", "error", err.Error())
		return nil, unavailable("the token cannot be checked")
	}
	r := newRights(&claims)
	if !h.config.Now().Before(r.expires) {
		return nil, rtc.Errorf(rtc.TokenExpired, "the token expired")
	}
	return r, s.denied(r)
}

// denied returns an error if the token was denied, or may have been.
func (s *session) denied(r *rights) *rtc.Error {
	denied, err := s.hub.config.Denials.Denied(s.hub.ctx, r.token)
	switch {
	case err != nil:
		return unavailable("it is not known which tokens are denied")
	case denied:
		return rtc.Errorf(rtc.Unauthorized, "the token is no longer accepted: a right was taken away, or the login ended")
	}
	return nil
}

// renew replaces the token.
func (s *session) renew(m rtc.Token) *rtc.Error {
	r, fault := s.verify(m.Token)
	if fault != nil {
		return fault
	}
	old := s.rights.Load()
	if r.subject != old.subject || r.kind != old.kind {
		return rtc.Errorf(rtc.SubjectMismatch, "the token belongs to somebody else; open a session for it")
	}
	s.rights.Store(r)
	s.out.reply(s.welcome(m.ID, true), false)
	s.leaveForbidden()
	return nil
}

// leaveForbidden leaves the rooms that the token does not grant.
func (s *session) leaveForbidden() {
	r := s.rights.Load()
	for _, site := range slices.Clone(s.rooms) {
		if !r.grant(site) {
			s.leaveRoom(site, rtc.AccessEnded)
			s.out.reply(rtc.Left{Site: site, Reason: rtc.AccessEnded}, true)
		}
	}
}

func (s *session) welcome(re string, resumed bool) rtc.Welcome {
	h, r := s.hub, s.rights.Load()
	return rtc.Welcome{
		Re: re, Version: rtc.Version, Peer: s.id, Ticket: h.tickets.sign(s.id, r.subject), Resumed: resumed, Kind: r.kind, Name: r.name,
		HeartbeatSeconds: rtc.HeartbeatSeconds,
		Limits: rtc.Limits{
			MessageBytes: rtc.MaxMessageBytes, MessagesPerSecond: rateOf(h.config.Limits, r.kind), Rooms: h.config.Limits.Rooms,
		},
		TokenExpiresMS: r.expires.UnixMilli(), ServerTimeMS: h.config.Now().UnixMilli(),
	}
}

// join enters a room.
func (s *session) join(m rtc.Join) *rtc.Error {
	r := s.rights.Load()
	if !r.grant(m.Site) {
		return rtc.Errorf(rtc.Forbidden, "the token does not grant that site, or there is none")
	}
	if fault := s.denied(r); fault != nil {
		if fault.Code == rtc.Unauthorized {
			s.hub.accessEnded(s, fault.Code)
			return nil
		}
		return fault
	}
	if !slices.Contains(s.rooms, m.Site) && len(s.rooms) >= s.hub.config.Limits.Rooms {
		return rtc.Errorf(rtc.TooManyRooms, "a session may be in %d rooms; leave one first", s.hub.config.Limits.Rooms)
	}
	return s.enter(m.Site, func(others []Peer) { s.joined(m, others) })
}

// enter makes the session a member of a room; entered is called before it gets any message
// that follows from it. Callers hold mu.
func (s *session) enter(site telemetry.SiteID, entered func(others []Peer)) *rtc.Error {
	h, r := s.hub, s.rights.Load()
	err := h.relay.Enter(h.ctx, site, Peer{ID: s.id, Kind: r.kind, Name: r.name}, func(others []Peer) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.index(site, s)
		s.entering = site
		entered(others)
	})
	h.mu.Lock()
	s.entering = ""
	h.mu.Unlock()
	if err != nil {
		h.log.Warn("room could not be entered", "peer", string(s.id), "site", string(site), "error", err.Error())
		return unavailable("the room cannot be entered")
	}
	if !slices.Contains(s.rooms, site) {
		s.rooms = append(s.rooms, site)
	}
	s.unconfirmed = slices.DeleteFunc(s.unconfirmed, func(other telemetry.SiteID) bool { return other == site })
	return nil
}

// joined sends the members of a room: as many as a message holds, and the rest as changes.
func (s *session) joined(m rtc.Join, others []Peer) {
	const most = 48 << 10
	reply := rtc.Joined{Re: m.ID, Site: m.Site, Peers: make([]rtc.PeerInfo, 0, len(others))}
	kind := s.rights.Load().kind
	size := 0
	for _, p := range others {
		// The names may be escaped.
		const envelope, escaped = 128, 6
		if size += envelope + len(p.ID) + escaped*len(p.Name); size > most {
			break
		}
		reply.Peers = append(reply.Peers, rtc.PeerInfo{
			Peer: p.ID, Kind: p.Kind, Name: p.Name, Polite: rtc.Polite(s.id, kind, p.ID, p.Kind), Lost: p.Lost,
		})
	}
	s.out.reply(reply, true)
	for _, p := range others[len(reply.Peers):] {
		s.out.replyRoster(s.presence(m.Site, p, Change{State: rtc.StateJoined}))
		if p.Lost {
			s.out.replyRoster(s.presence(m.Site, p, Change{State: rtc.StateLost}))
		}
	}
}

func (s *session) leave(m rtc.Leave) *rtc.Error {
	if !slices.Contains(s.rooms, m.Site) {
		return rtc.Errorf(rtc.NotInRoom, "the session has not joined that site")
	}
	s.leaveRoom(m.Site, "")
	s.out.reply(rtc.Left{Re: m.ID, Site: m.Site}, true)
	return nil
}

// leaveRoom leaves one room. Callers hold mu.
func (s *session) leaveRoom(site telemetry.SiteID, reason rtc.LeaveReason) {
	s.rooms = slices.DeleteFunc(s.rooms, func(other telemetry.SiteID) bool { return other == site })
	h := s.hub
	h.mu.Lock()
	h.unindex(site, s)
	h.mu.Unlock()
	s.exitRoom(site, Change{State: rtc.StateLeft, Reason: reason})
}

func (s *session) exitRoom(site telemetry.SiteID, change Change) {
	// What a peer has left must be known even while the service stops.
	err := s.hub.relay.Exit(context.WithoutCancel(s.hub.ctx), site, s.id, change)
	if err != nil {
		s.hub.log.Warn("room could not be left", "peer", string(s.id), "site", string(site), "error", err.Error())
	}
}

// leaveAll leaves all rooms.
func (s *session) leaveAll(reason rtc.LeaveReason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, site := range slices.Clone(s.rooms) {
		s.leaveRoom(site, reason)
	}
	s.leaveUnconfirmed(reason)
}

// leaveUnconfirmed leaves the rooms of an earlier socket. Callers hold mu.
func (s *session) leaveUnconfirmed(reason rtc.LeaveReason) {
	for _, site := range s.unconfirmed {
		s.exitRoom(site, Change{State: rtc.StateLeft, Reason: reason})
	}
	s.unconfirmed = nil
}

// exit reports a change to all rooms, which the session does not forget.
func (s *session) exit(change Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, site := range s.rooms {
		s.exitRoom(site, change)
	}
	for _, site := range s.unconfirmed {
		s.exitRoom(site, change)
	}
}
