package hub

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/insighthub/insighthub/lib/denylist"
	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
)

// session is one socket and what it stands for. A resume moves the state to the session of
// the new socket.
type session struct {
	hub     *Hub
	conn    *websocket.Conn
	address string
	// slot is which part of the sockets the session is in.
	slot   int
	opened time.Time
	out    outbox

	// seen is when the last frame came, pinged when the last ping went, in nanoseconds since
	// the Unix epoch.
	seen, pinged atomic.Int64
	dead         atomic.Bool
	// greeted is set once id and rights are.
	greeted atomic.Bool
	id      rtc.PeerID
	rights  atomic.Pointer[rights]
	// excess counts the messages that were dropped in a row; bucket is the reader's.
	bucket bucket
	excess int

	// mu guards what follows, and is held during calls of the relay for this peer. Its owner is
	// the goroutine that reads the socket; others look in when a time is over.
	mu          sync.Mutex
	rooms       []telemetry.SiteID
	generations generations
	// unconfirmed are rooms of an earlier socket that this one has not joined yet.
	unconfirmed      []telemetry.SiteID
	unconfirmedUntil time.Time

	// entering is the room of which the hub reports this session's own change; guarded by
	// hub.mu.
	entering telemetry.SiteID
	// fate is what became of the session, and reason why it leaves; guarded by hub.mu.
	fate   fate
	reason rtc.LeaveReason
	// done is closed when the reader has ended and fate says what is next; gone when an
	// expired session has left its rooms.
	done, gone chan struct{}
	// parked is when the socket was lost; guarded by hub.mu.
	parked time.Time
	// announced says that the rooms know that it is lost; guarded by hub.mu.
	announced bool
}

// fate is what becomes of a session when its socket ends.
type fate int

const (
	// open: the socket is there.
	open fate = iota
	// replaced: another socket of this task waits to resume it.
	replaced
	// taken: another task has the peer.
	taken
	// lost: it may be resumed until the grace is over.
	lost
	// leaving: it leaves its rooms.
	leaving
)

// rights are what a token says. They do not change.
type rights struct {
	subject string
	kind    rtc.PeerKind
	name    string
	site    telemetry.SiteID   // of a gateway
	grants  []telemetry.SiteID // at which a person has a role; a map would be ten times as large
	expires time.Time
	token   denylist.Token
}

func newRights(c *token.Claims) *rights {
	r := &rights{
		subject: c.Subject, kind: rtc.Person, name: c.Subject, expires: c.Expires,
		token: denylist.Token{Subject: c.Subject, Session: c.Session, Version: c.Version, Issued: c.IssuedAt.Unix()},
	}
	if c.Gateway != "" {
		r.kind, r.name, r.site = rtc.Gateway, string(c.Gateway), c.Site
		return r
	}
	r.grants = make([]telemetry.SiteID, 0, len(c.Grants))
	for site, role := range c.Grants {
		switch role {
		case token.Viewer, token.Operator, token.Admin:
			r.grants = append(r.grants, site)
		default:
		}
	}
	return r
}

// grant reports whether the room may be joined: a gateway's own site, or a site at which a
// person has any role.
func (r *rights) grant(site telemetry.SiteID) bool {
	if r.kind == rtc.Gateway {
		return site == r.site
	}
	return slices.Contains(r.grants, site) || slices.Contains(r.grants, token.EverySite)
}

func (h *Hub) newSession(conn *websocket.Conn, address string) *session {
	now := h.config.Now()
	s := &session{hub: h, conn: conn, address: address, opened: now, done: make(chan struct{})}
	s.bucket = newBucket(h.config.Limits.Rate, h.config.Limits.Burst, now)
	s.seen.Store(now.UnixNano())
	s.pinged.Store(now.UnixNano())
	s.out.init(h, conn)
	s.prepare()
	return s
}

// run reads the socket until it ends. While the client is silent its stack is all that the
// session has of one: it calls nothing that needs more, and leaves what does to others.
func (s *session) run() {
	for {
		kind, r, err := s.conn.NextReader()
		if err != nil {
			go s.finish(err)
			return
		}
		handled := make(chan error)
		go func() { handled <- s.message(kind, r) }()
		if err := <-handled; err != nil {
			go s.finish(err)
			return
		}
	}
}

// malformed reports whether the library has rejected a frame and sent a close.
func malformed(err error) bool {
	if _, closed := errors.AsType[*websocket.CloseError](err); closed {
		return false
	}
	_, network := errors.AsType[net.Error](err)
	return !network && !errors.Is(err, io.EOF)
}

// linger ends the service's side of the connection and reads what the client has sent
// already: TCP would reset the connection otherwise, and the client might not see why.
func (s *session) linger() {
	const most = 1 << 20
	if half, ok := s.conn.NetConn().(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = s.conn.NetConn().SetReadDeadline(s.hub.config.Now().Add(s.hub.config.Times.Linger))
	_, _ = io.CopyN(io.Discard, s.conn.NetConn(), most)
}

// prepare sets what happens when control frames come.
func (s *session) prepare() {
	s.conn.SetPongHandler(func(string) error {
		s.frame()
		return nil
	})
	s.conn.SetPingHandler(func(data string) error {
		s.out.control(websocket.PongMessage, []byte(data))
		s.frame()
		return nil
	})
	s.conn.SetCloseHandler(func(code int, _ string) error {
		// The writer responds, after what waits.
		s.out.mu.Lock()
		defer s.out.mu.Unlock()
		s.out.push(entry{kind: websocket.CloseMessage, data: closeReply(code)})
		s.out.ending = true
		return nil
	})
}

func closeReply(code int) []byte {
	if code == websocket.CloseNoStatusReceived {
		return nil
	}
	return websocket.FormatCloseMessage(code, "")
}

// frame notes that a control frame came. The reader goes on after too many, because the
// client would not see the close on a connection that is reset.
func (s *session) frame() {
	now := s.hub.config.Now()
	s.seen.Store(now.UnixNano())
	if s.bucket.take(now) > 0 {
		s.out.end(rtc.Errorf(rtc.TooManyMessages, "too many control frames"))
	}
}

func (s *session) ending() bool {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	return s.out.ending
}

// message reads and handles one message. The error is that of the socket.
func (s *session) message(kind int, r io.Reader) error {
	now := s.hub.config.Now
	s.seen.Store(now().UnixNano())
	if s.ending() {
		_, err := io.Copy(io.Discard, r)
		return err
	}
	buffer := s.hub.buffers.Get().(*[]byte) // the pool has nothing else
	raw, err := readUpTo(r, (*buffer)[:0], rtc.MaxMessageBytes+1)
	if err != nil {
		return err
	}
	start := now()
	s.seen.Store(start.UnixNano())
	if fault := s.hub.handle(s, kind, raw, start); fault != nil {
		s.fault(fault)
	}
	s.hub.metrics.handling.Observe(now().Sub(start).Seconds())
	if len(raw) > rtc.MaxMessageBytes {
		_, err = io.Copy(io.Discard, r)
	}
	if cap(raw) <= largestBuffer {
		*buffer = raw[:0]
		s.hub.buffers.Put(buffer)
	}
	return err
}

// readUpTo appends at most limit bytes of r to b.
func readUpTo(r io.Reader, b []byte, limit int) ([]byte, error) {
	for len(b) < limit {
		if len(b) == cap(b) {
			b = slices.Grow(b, min(cap(b), limit-len(b)))
		}
		n, err := r.Read(b[len(b):min(cap(b), limit)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
	return b, nil
}

// fault reports an error to the client, and closes if its code says so.
func (s *session) fault(fault *rtc.Error) {
	if fault.Code.Info().Always {
		s.out.end(fault)
		return
	}
	s.hub.metrics.faults.WithLabelValues(string(fault.Code)).Inc()
	s.out.reply(fault.Reply(), false)
}

// finish ends the session's part that belongs to the socket.
func (s *session) finish(err error) {
	if malformed(err) {
		s.linger()
	}
	h := s.hub
	defer h.wg.Done()
	byClient := closeCode(err) != websocket.CloseAbnormalClosure
	s.out.detach(s.conn, byClient)
	byService := s.out.ended()
	if !byService && !s.dead.Load() {
		reason := "lost"
		if byClient {
			reason = "closed"
		}
		h.metrics.ended.WithLabelValues(reason).Inc()
	}
	h.mu.Lock()
	delete(h.sockets[s.slot], s)
	h.open.Add(-1)
	closed := h.closed
	greeted := s.greeted.Load()
	known := s.id != "" && h.sessions[s.id] == s
	if known && s.fate == open {
		s.fate = lost
		// Whoever closes normally (1000), or leaves the page (1001), leaves. While the task stops
		// it has moved.
		if websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway) && !byService && !h.draining.Load() {
			s.fate = leaving
		}
	}
	if known && !closed && s.fate != leaving && !h.admission.park(s.rights.Load().subject) {
		s.fate, s.reason = leaving, rtc.PeerLost
	}
	fate, reason := s.fate, s.reason
	h.mu.Unlock()
	h.metrics.sockets.Dec()
	if !greeted {
		h.admission.greeted(s.address)
		close(s.done)
		return
	}
	h.metrics.sessions.Dec()
	h.admission.close(s.rights.Load().subject)
	h.log.Info("socket ended", "peer", string(s.id), "next", fate.String(), "close_code", closeCode(err),
		"seconds", h.config.Now().Sub(s.opened).Seconds())
	if !known || closed {
		close(s.done)
		return
	}
	switch fate {
	case leaving:
		s.leaveAll(reason)
	case lost, taken:
		s.exit(Change{State: rtc.StateLost})
	default: // another socket goes on with it
	}
	h.mu.Lock()
	s.announced = fate == lost || fate == taken
	s.parked = h.config.Now()
	switch {
	case s.fate == leaving && fate != leaving: // its right has ended meanwhile
		h.admission.unpark(s.rights.Load().subject)
		h.remove(s)
	case fate == leaving:
		h.remove(s)
	default:
		h.parked[s] = struct{}{}
		h.metrics.lost.Set(float64(len(h.parked)))
	}
	h.mu.Unlock()
	close(s.done)
}

// closeCode returns the code with which the client closed; 1006 if it did not.
func closeCode(err error) int {
	if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
		return closed.Code
	}
	return websocket.CloseAbnormalClosure
}

func (f fate) String() string {
	return [...]string{"open", "replaced", "taken", "lost", "leaving"}[f]
}

// newID returns a random id of a peer.
func (h *Hub) newID() rtc.PeerID {
	var b [15]byte
	h.read(b[:])
	return rtc.PeerID("p" + base64.RawURLEncoding.EncodeToString(b[:]))
}

// random returns a number below n, which is not 0.
func (h *Hub) random(n uint64) uint64 {
	var b [8]byte
	h.read(b[:])
	return binary.LittleEndian.Uint64(b[:]) % n
}

func (h *Hub) read(b []byte) {
	if _, err := io.ReadFull(h.config.Random, b); err != nil {
		panic(err) // the system has no randomness
	}
}
