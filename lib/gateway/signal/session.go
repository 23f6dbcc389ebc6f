package signal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gorilla/websocket"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
)

const (
	// steadyAfter is how long a session lasts before the next failure is the first again.
	steadyAfter = 10 * time.Second
	// stopWait is the wait after a close that asks a client not to return: a gateway has nobody who would
	// start it again. It then begins a new session.
	stopWait = time.Minute
	// rejoinAfter is the wait before a room is tried again that was not granted, or not any more.
	rejoinAfter = 30 * time.Second
	// closeMoved closes a socket without leaving the rooms; 1000 would.
	closeMoved = 4000
	// minRenewal is the least time between two renewals of the token.
	minRenewal = 5 * time.Second
)

// state is what outlives a socket. Only run's goroutine uses it.
type state struct {
	ticket   string
	received int64
	unread   []rtc.Message
	failures int
}

// run connects and repairs until ctx ends.
func (c *Client) run(ctx context.Context) {
	defer close(c.done)
	defer close(c.out)
	var s state
	var next, old *socket // by a move: already open, and to be closed when next has taken over
	for ctx.Err() == nil {
		began := time.Now()
		var err error
		if next == nil {
			next, err = c.dial(ctx)
		}
		action := rtc.Reconnect
		if err == nil {
			served := next
			next, err = c.serve(ctx, &s, served, old)
			action, old = actionAfter(err), nil
			if next != nil {
				old = served
				continue
			}
		}
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > steadyAfter {
			s.failures = 0
		}
		wait := c.backoff(s.failures)
		s.failures++
		if action == rtc.Stop {
			s.ticket, wait = "", stopWait
		}
		c.log.Warn("signaling connection lost", "error", err, "retry_in", wait.String())
		c.pause(ctx, &s, wait)
	}
}

// backoff draws the wait before attempt n+1.
func (c *Client) backoff(n int) time.Duration {
	bound := min(c.config.MaxBackoff, c.config.MinBackoff<<min(n, 16))
	return time.Duration(c.config.Rand() * float64(bound))
}

// pause waits, and delivers what is still unread.
func (c *Client) pause(ctx context.Context, s *state, wait time.Duration) {
	over := time.NewTimer(wait)
	defer over.Stop()
	for {
		out, head := c.head(s)
		select {
		case <-ctx.Done():
			return
		case <-over.C:
			return
		case out <- head:
			s.unread = s.unread[1:]
		}
	}
}

// head returns the channel and the message to deliver next; a nil channel if there is none.
func (c *Client) head(s *state) (chan<- rtc.Message, rtc.Message) {
	if len(s.unread) == 0 {
		return nil, nil
	}
	return c.out, s.unread[0]
}

// errMoved ends a session whose successor is connected.
var errMoved = errors.New("moved to another connection")

func actionAfter(err error) rtc.Action {
	if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
		return rtc.ActionAfter(closed.Code)
	}
	return rtc.Reconnect
}

// session is one socket's. Only run's goroutine uses it.
type session struct {
	*Client
	*state
	socket   *socket
	old      *socket // still open after a move; nil: none
	welcomed bool
	resumed  bool
	joins    map[string]telemetry.SiteID
	rejoin   []telemetry.SiteID // rooms to be tried again
	pace     pace
	moving   chan dialed // nil: no move
	sent     []string    // ids of requests on their way
}

type dialed struct {
	socket *socket
	err    error
}

// serve speaks on the socket until it fails and then closes it; or until a successor is open to which
// the service asked to move. old is the predecessor, which is read and left open until the rooms are joined.
func (c *Client) serve(ctx context.Context, st *state, socket, old *socket) (moved *socket, err error) {
	s := &session{Client: c, state: st, socket: socket, old: old, joins: make(map[string]telemetry.SiteID)}
	defer func() { s.end(moved != nil) }()
	if err := s.hello(ctx); err != nil {
		return nil, err
	}
	ping, renew, rejoin, send := time.NewTimer(heartbeat), time.NewTimer(time.Hour), time.NewTimer(rejoinAfter), time.NewTimer(time.Hour)
	move := time.NewTimer(time.Hour)
	move.Stop()
	for _, t := range []*time.Timer{ping, renew, rejoin, send, move} {
		defer t.Stop()
	}
	for {
		out, head := c.head(st)
		incoming, before := socket.incoming, s.before()
		if len(st.unread) >= maxUnread {
			incoming, before = nil, nil // the service sees a slow reader
		}
		select {
		case <-ctx.Done():
			socket.close(websocket.CloseNormalClosure)
			return nil, ctx.Err()
		case out <- head:
			st.unread = st.unread[1:]
		case raw, ok := <-incoming:
			if !ok {
				return nil, socket.err
			}
			m, err := rtc.DecodeServer(raw)
			if err != nil {
				c.log.Warn("skip a message of the signaling service", "error", err)
				continue
			}
			if err := s.handle(m, renew, move); err != nil {
				return nil, err
			}
		case raw, ok := <-before:
			s.fromOld(raw, ok)
		case <-c.wake:
		case <-send.C:
		case <-ping.C:
			if time.Since(socket.heard()) >= heartbeat {
				if err := s.write(rtc.Ping{}); err != nil {
					return nil, err
				}
			}
			ping.Reset(heartbeat)
		case <-renew.C:
			if err := s.renew(ctx, renew); err != nil {
				return nil, err
			}
		case <-rejoin.C:
			for _, site := range s.rejoin {
				if err := s.join(site); err != nil {
					return nil, err
				}
			}
			s.rejoin = nil
			rejoin.Reset(rejoinAfter)
		case <-move.C:
			s.startMove(ctx)
		case d := <-s.moving:
			s.moving = nil
			if d.err != nil {
				c.log.Warn("move", "error", d.err)
				move.Reset(c.backoff(0))
				continue
			}
			return d.socket, errMoved
		}
		s.leaveOld()
		wait, err := s.flush()
		if err != nil {
			return nil, err
		}
		if wait > 0 {
			send.Reset(wait)
		}
	}
}

// before returns what comes on the socket before a move.
func (s *session) before() <-chan []byte {
	if s.old == nil {
		return nil
	}
	return s.old.incoming
}

// fromOld handles what still comes on the socket before a move: what peers said. Its numbers are
// those of another session, unless this one was resumed, which has all of it again.
func (s *session) fromOld(raw []byte, ok bool) {
	if !ok {
		s.old.shut()
		s.old = nil
		return
	}
	m, err := rtc.DecodeServer(raw)
	if err != nil {
		return
	}
	switch m.(type) {
	case rtc.Offer, rtc.Answer, rtc.Candidate, rtc.Bye, rtc.Presence:
		if !s.welcomed || !s.resumed {
			s.unread = append(s.unread, m)
		}
	}
}

// leaveOld closes the socket before a move once the rooms are joined: before that, the others would
// see this peer lost.
func (s *session) leaveOld() {
	if s.old != nil && s.welcomed && len(s.joins) == 0 {
		s.old.close(closeMoved)
		s.old.shut()
		s.old = nil
	}
}

// end fails the requests that were on their way, and closes the socket unless it goes on as the old one.
func (s *session) end(moved bool) {
	if !moved {
		s.socket.shut()
	}
	if s.old != nil {
		s.old.shut()
	}
	for _, id := range s.sent {
		s.respond(id, nil)
	}
	if s.moving != nil {
		go func(moving chan dialed) {
			if d := <-moving; d.socket != nil {
				d.socket.shut()
			}
		}(s.moving)
	}
}

func (s *session) hello(ctx context.Context) error {
	token, err := s.config.Token(ctx)
	if err != nil {
		return fmt.Errorf("access token: %w", err)
	}
	hello := rtc.Hello{Token: token}
	if s.ticket != "" {
		hello.Resume = &rtc.Resume{Ticket: s.ticket, Received: s.received}
	}
	return s.write(hello)
}

func (s *session) write(m rtc.Message) error {
	text, err := rtc.Encode(m)
	if err != nil {
		return err
	}
	return s.socket.write(text)
}

func (s *session) join(site telemetry.SiteID) error {
	id, _ := s.register()
	s.unregister(id) // the response is handled here
	s.joins[id] = site
	return s.write(rtc.Join{ID: id, Site: site})
}

// handle handles a message and queues it for the reader of Messages.
func (s *session) handle(m rtc.Message, renew, move *time.Timer) error {
	if seq := seqOf(m); seq != 0 {
		if seq <= s.received {
			return nil // sent again by a resume
		}
		s.received = seq
	}
	switch m := m.(type) {
	case rtc.Welcome:
		return s.welcome(m, renew)
	case rtc.Pong:
		return nil
	case rtc.Move:
		move.Reset(time.Duration(m.DelayMS) * time.Millisecond)
		return nil
	case rtc.ErrorMessage:
		s.onError(m)
		return nil
	case rtc.ICEResponse:
		s.respond(m.Re, m)
		return nil
	case rtc.Joined:
		delete(s.joins, m.Re)
	case rtc.Left:
		if m.Re == "" && slices.Contains(s.config.Sites, m.Site) {
			s.log.Warn("removed from a room", "site", string(m.Site), "reason", string(m.Reason))
			s.rejoin = append(s.rejoin, m.Site)
		}
	}
	s.unread = append(s.unread, m)
	return nil
}

func (s *session) onError(m rtc.ErrorMessage) {
	if site, ok := s.joins[m.Re]; ok {
		delete(s.joins, m.Re)
		s.rejoin = append(s.rejoin, site)
		s.log.Error("cannot join the room", "site", string(site), "code", string(m.Code), "message", m.Message)
		return
	}
	if m.Re != "" && s.respond(m.Re, m) {
		return
	}
	s.log.Warn("error of the signaling service", "code", string(m.Code), "message", m.Message)
}

func (s *session) welcome(m rtc.Welcome, renew *time.Timer) error {
	s.ticket = m.Ticket
	renew.Reset(max(minRenewal, time.Duration(m.TokenExpiresMS-m.ServerTimeMS)*time.Millisecond*2/3))
	if s.welcomed {
		return nil // the response to a new token
	}
	s.welcomed, s.resumed = true, m.Resumed
	s.pace.perSecond = m.Limits.MessagesPerSecond
	s.mu.Lock()
	if s.self != "" && s.self != m.Peer {
		// Peers know this client by another id now: what waits was said in the name of the old one.
		s.queue = slices.DeleteFunc(s.queue, func(q queued) bool { return q.id == "" })
	}
	s.self = m.Peer
	s.mu.Unlock()
	s.log.Info("signaling connected", "peer", string(m.Peer), "resumed", m.Resumed)
	s.unread = append(s.unread, m)
	if m.Resumed {
		return nil
	}
	s.received = 0
	for _, site := range s.config.Sites {
		if err := s.join(site); err != nil {
			return err
		}
	}
	return nil
}

// renew sends a new access token before the present one expires.
func (s *session) renew(ctx context.Context, timer *time.Timer) error {
	ctx, cancel := context.WithTimeout(ctx, heartbeat)
	defer cancel()
	token, err := s.config.Token(ctx)
	if err != nil {
		s.log.Warn("renew the access token", "error", err)
		timer.Reset(minRenewal)
		return nil
	}
	timer.Reset(minRenewal * 2) // unless a welcome says when it expires
	return s.write(rtc.Token{Token: token})
}

// startMove opens the next socket while this one goes on.
func (s *session) startMove(ctx context.Context) {
	if s.moving != nil {
		return
	}
	s.moving = make(chan dialed, 1)
	go func(moving chan dialed) {
		socket, err := s.dial(ctx)
		moving <- dialed{socket, err}
	}(s.moving)
}

// flush sends what is queued, as fast as the service allows. It returns the time until the next
// message may be sent, or 0 if none waits.
func (s *session) flush() (time.Duration, error) {
	if !s.welcomed || len(s.joins) > 0 {
		return 0, nil // a room must be joined before its peers can be written to
	}
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.mu.Unlock()
			return 0, nil
		}
		if wait := s.pace.wait(time.Now()); wait > 0 {
			s.mu.Unlock()
			return wait, nil
		}
		q := s.queue[0]
		s.queue = s.queue[1:]
		s.mu.Unlock()
		if err := s.socket.write(q.text); err != nil {
			s.mu.Lock()
			s.queue = slices.Insert(s.queue, 0, q) // for the next socket
			s.mu.Unlock()
			return 0, err
		}
		if q.id != "" {
			s.sent = append(s.sent, q.id)
		}
	}
}

// pace keeps a client below the service's limit of messages.
type pace struct {
	perSecond int // 0: no limit
	tokens    float64
	last      time.Time
}

// wait takes the right to send one message; if there is none it returns the time until there is.
func (p *pace) wait(now time.Time) time.Duration {
	if p.perSecond <= 0 {
		return 0
	}
	rate := 0.8 * float64(p.perSecond) // the rest is for pings, tokens and joins
	if p.last.IsZero() {
		p.tokens = rate
	} else {
		p.tokens = min(rate, p.tokens+now.Sub(p.last).Seconds()*rate)
	}
	p.last = now
	if p.tokens < 1 {
		return time.Duration((1-p.tokens)/rate*float64(time.Second)) + time.Millisecond
	}
	p.tokens--
	return 0
}

func seqOf(m rtc.Message) int64 {
	switch m := m.(type) {
	case rtc.Joined:
		return m.Seq
	case rtc.Presence:
		return m.Seq
	case rtc.Left:
		return m.Seq
	case rtc.Offer:
		return m.Seq
	case rtc.Answer:
		return m.Seq
	case rtc.Candidate:
		return m.Seq
	case rtc.Bye:
		return m.Seq
	case rtc.ICEResponse:
		return m.Seq
	case rtc.Move:
		return m.Seq
	default:
		return 0
	}
}
