package hub_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/denylist"
	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/token/tokentest"
	"github.com/insighthub/insighthub/signaling/hub"
)

const page = "https://console.example"

// service is a running hub with what tests change.
type service struct {
	t        *testing.T
	hub      *hub.Hub
	url      string
	keys     *tokentest.Keys
	denials  *denials
	registry *prometheus.Registry
	log      *syncBuffer
	relays   *relays
}

// denials is a deny list that tests write.
type denials struct {
	mu     sync.Mutex
	denied map[string]bool // subjects
	err    error
}

func (d *denials) Denied(_ context.Context, t denylist.Token) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.denied[t.Subject], d.err
}

func (d *denials) set(change func(*denials)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

type syncBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// start runs a hub; change may change its configuration.
func start(t *testing.T, change func(*hub.Config)) *service {
	t.Helper()
	return startTask(t, newRelays(), new(tokentest.Keys), change)
}

// startTask runs a hub that shares a relay with others.
func startTask(t *testing.T, all *relays, keys *tokentest.Keys, change func(*hub.Config)) *service {
	t.Helper()
	s := &service{
		t: t, keys: keys, denials: &denials{denied: make(map[string]bool)}, registry: prometheus.NewRegistry(), log: new(syncBuffer),
		relays: all,
	}
	config := hub.Config{
		Verifier: tokentest.Verifier(t, keys, time.Now), Denials: s.denials,
		NewRelay:  func(e hub.Events) (hub.Relay, error) { return all.task(e), nil },
		TicketKey: []byte("0123456789abcdef"),
		ICE:       hub.ICE{STUN: []string{"stun:turn.example"}, TURN: []string{"turn:turn.example"}, Secret: []byte("shared")},
		Origins:   []string{page, "http://127.0.0.1:*"},
		Log:       slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Registerer: s.registry,
		Now: time.Now, Random: rand.Reader,
	}
	if change != nil {
		change(&config)
	}
	var err error
	if s.hub, err = hub.New(config); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.hub)
	s.url = "ws" + strings.TrimPrefix(server.URL, "http")
	t.Cleanup(func() {
		server.Close()
		if err := s.hub.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// mint returns a token that is valid for ttl.
func (s *service) mint(who token.Identity, ttl time.Duration) string {
	s.t.Helper()
	text, _, err := tokentest.Minter(s.t, s.keys, time.Now).Mint(s.t.Context(), who, ttl)
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

func person(name string, sites ...telemetry.SiteID) token.Identity {
	grants := make(map[telemetry.SiteID]token.Role)
	for _, site := range sites {
		grants[site] = token.Viewer
	}
	return token.Identity{Subject: name, Grants: grants}
}

func gateway(name string) token.Identity {
	return tokentest.GatewayOf(telemetry.GatewayID(name), "plant-1")
}

// client is one socket of a test.
type client struct {
	t       *testing.T
	service *service
	conn    *websocket.Conn
	welcome rtc.Welcome
	seq     int64
}

func (s *service) dial() *client {
	s.t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{rtc.Subprotocol}}
	conn, response, err := dialer.DialContext(s.t.Context(), s.url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = response.Body.Close()
	c := &client{t: s.t, service: s, conn: conn}
	s.t.Cleanup(func() { _ = conn.Close() })
	return c
}

func (c *client) send(text string, arguments ...any) {
	c.t.Helper()
	if err := c.conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, text, arguments...)); err != nil {
		c.t.Fatal(err)
	}
}

// next returns the next message of the service.
func (c *client) next() rtc.Message {
	c.t.Helper()
	m, err := c.read()
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

func (c *client) read() (rtc.Message, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(eventually.Timeout))
	_, raw, err := c.conn.ReadMessage()
	if err != nil {
		return nil, err
	}
	m, err := rtc.DecodeServer(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", raw, err)
	}
	if n := seqOf(m); n != 0 {
		if n != c.seq+1 {
			return nil, fmt.Errorf("%s: got seq %d after %d", raw, n, c.seq)
		}
		c.seq = n
	}
	return m, nil
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
	}
	return 0
}

// expect returns the next message, which must be a T.
func expect[T rtc.Message](c *client) T {
	c.t.Helper()
	m := c.next()
	want, ok := m.(T)
	if !ok {
		c.t.Fatalf("got %#v, want a %T", m, want)
	}
	return want
}

// expectError returns the next message, which must be an error with that code.
func expectError(c *client, code rtc.Code) rtc.ErrorMessage {
	c.t.Helper()
	m := expect[rtc.ErrorMessage](c)
	if m.Code != code || m.Message == "" {
		c.t.Fatalf("got %+v, want code %s", m, code)
	}
	return m
}

// expectClose waits for the close with the code of an error.
func expectClose(c *client, code rtc.Code) {
	c.t.Helper()
	expectError(c, code)
	m, err := c.read()
	var closed *websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != code.Info().Close || closed.Text != string(code) {
		c.t.Fatalf("got %#v, %v; want the close code %d", m, err, code.Info().Close)
	}
}

// hello opens a session.
func (s *service) hello(who token.Identity) *client {
	s.t.Helper()
	return s.helloFor(who, 10*time.Minute)
}

func (s *service) helloFor(who token.Identity, ttl time.Duration) *client {
	s.t.Helper()
	c := s.dial()
	c.send(`{"type":"hello","id":"h","token":%q}`, s.mint(who, ttl))
	c.welcome = expect[rtc.Welcome](c)
	if c.welcome.Re != "h" || c.welcome.Resumed || !c.welcome.Peer.Valid() {
		s.t.Fatalf("got %+v", c.welcome)
	}
	return c
}

// resume opens a socket with the ticket of c, as the same subject.
func (c *client) resume(s *service, who token.Identity) *client {
	c.t.Helper()
	n := s.dial()
	n.seq = c.seq
	n.send(`{"type":"hello","id":"h","token":%q,"resume":{"ticket":%q,"received":%d}}`,
		s.mint(who, 10*time.Minute), c.welcome.Ticket, c.seq)
	n.welcome = expect[rtc.Welcome](n)
	return n
}

// join enters a room and returns the others.
func (c *client) join(site telemetry.SiteID) []rtc.PeerInfo {
	c.t.Helper()
	c.send(`{"type":"join","id":"j","site":%q}`, site)
	m := expect[rtc.Joined](c)
	if m.Re != "j" || m.Site != site {
		c.t.Fatalf("got %+v", m)
	}
	return m.Peers
}

// expectPeer waits for a change of another peer.
func (c *client) expectPeer(other *client, state rtc.PresenceState, reason rtc.LeaveReason) rtc.Presence {
	c.t.Helper()
	m := expect[rtc.Presence](c)
	if m.Peer != other.welcome.Peer || m.State != state || m.Reason != reason {
		c.t.Fatalf("got %+v, want peer %s %s %s", m, other.welcome.Peer, state, reason)
	}
	return m
}

// quiet checks that the session is undisturbed: nothing waits, and it is served.
func (c *client) quiet() {
	c.t.Helper()
	c.send(`{"type":"ping","id":"q"}`)
	if m := expect[rtc.Pong](c); m.Re != "q" {
		c.t.Fatalf("got %+v", m)
	}
}

// drop loses the socket without a close.
func (c *client) drop() {
	tcp, ok := c.conn.NetConn().(*net.TCPConn)
	if ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.conn.Close()
}

// pair returns a person and a gateway in a room.
func pair(s *service) (viewer, machine *client) {
	s.t.Helper()
	machine = s.hello(gateway("gw-1"))
	if others := machine.join("plant-1"); len(others) != 0 {
		s.t.Fatalf("got %+v", others)
	}
	viewer = s.hello(person("anna", "plant-1"))
	others := viewer.join("plant-1")
	if len(others) != 1 || others[0] != (rtc.PeerInfo{Peer: machine.welcome.Peer, Kind: rtc.Gateway, Name: "gw-1", Polite: true}) {
		s.t.Fatalf("got %+v", others)
	}
	if p := machine.expectPeer(viewer, rtc.StateJoined, ""); p.Polite || p.Kind != rtc.Person || p.Name != "anna" || p.Site != "plant-1" {
		s.t.Fatalf("got %+v", p)
	}
	return viewer, machine
}

// handshake tries to open a WebSocket and returns the response.
func (s *service) handshake(path string, header http.Header) *http.Response {
	s.t.Helper()
	dialer := websocket.Dialer{}
	conn, response, err := dialer.DialContext(s.t.Context(), s.url+path, header)
	if err == nil {
		_ = conn.Close()
	} else if response == nil {
		s.t.Fatal(err)
	}
	return response
}

// close closes normally with that code.
func (c *client) close(code int) {
	c.t.Helper()
	if err := c.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(time.Minute)); err != nil {
		c.t.Fatal(err)
	}
}

func quietLog() *slog.Logger { return slog.New(slog.DiscardHandler) }
