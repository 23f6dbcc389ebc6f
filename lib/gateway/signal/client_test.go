package signal

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// service is a signaling service over net.Pipe, so that it runs under virtual time. script handles
// one connection after the other; it returns when it wants the socket closed.
type service struct {
	t       *testing.T
	listen  chan net.Conn
	script  func(n int, c *peer)
	refused int // so many dials fail first

	mu    sync.Mutex
	dials []time.Time
	urls  []string
}

// peer is the service's side of a socket.
type peer struct {
	t    *testing.T
	conn *websocket.Conn
}

func (s *service) Accept() (net.Conn, error) {
	c, ok := <-s.listen
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (s *service) Close() error   { return nil }
func (s *service) Addr() net.Addr { return &net.TCPAddr{} }

func (s *service) dial(context.Context, string, string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dials = append(s.dials, time.Now())
	if s.refused > 0 {
		s.refused--
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	s.listen <- buffered(theirs)
	return buffered(ours), nil
}

// socketBuffer is an end of a pipe that has a buffer for writes, as a socket has.
type socketBuffer struct {
	net.Conn
	writes chan []byte
	quit   chan struct{}
	once   sync.Once
}

func buffered(c net.Conn) net.Conn {
	b := &socketBuffer{Conn: c, writes: make(chan []byte, 1024), quit: make(chan struct{})}
	go func() {
		for {
			select {
			case p := <-b.writes:
				c.Write(p)
			case <-b.quit:
				for len(b.writes) > 0 {
					c.SetWriteDeadline(time.Now().Add(time.Second))
					c.Write(<-b.writes)
				}
				c.Close()
				return
			}
		}
	}()
	return b
}

func (b *socketBuffer) Write(p []byte) (int, error) {
	b.writes <- slices.Clone(p)
	return len(p), nil
}

func (b *socketBuffer) SetWriteDeadline(time.Time) error { return nil }

func (b *socketBuffer) Close() error {
	b.once.Do(func() { close(b.quit) })
	return b.SetReadDeadline(time.Now())
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.urls = append(s.urls, r.URL.String())
	n := len(s.urls)
	s.mu.Unlock()
	upgrader := websocket.Upgrader{Subprotocols: []string{rtc.Subprotocol}}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer conn.Close()
	s.script(n, &peer{s.t, conn})
}

// read returns the next message; nil when the socket has ended.
func (p *peer) read() rtc.Message {
	_, raw, err := p.conn.ReadMessage()
	if err != nil {
		return nil
	}
	m, err := rtc.DecodeClient(raw)
	if err != nil {
		p.t.Errorf("the client sent %s: %v", raw, err)
		return nil
	}
	return m
}

func (p *peer) write(m rtc.Message) {
	raw, err := rtc.Encode(m)
	if err != nil {
		p.t.Error(err)
	}
	p.conn.WriteMessage(websocket.TextMessage, raw)
}

func (p *peer) close(code int) {
	p.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(time.Second))
}

// greet handles hello and join as a service does that starts a new session.
func (p *peer) greet(lifetime time.Duration) rtc.Hello {
	hello, _ := p.read().(rtc.Hello)
	p.welcome(lifetime, false)
	if join, ok := p.read().(rtc.Join); ok {
		p.write(rtc.Joined{Re: join.ID, Seq: 1, Site: join.Site, Peers: []rtc.PeerInfo{}})
	}
	return hello
}

func (p *peer) welcome(lifetime time.Duration, resumed bool) {
	now := time.Now()
	p.write(rtc.Welcome{
		Version: 1, Peer: "me", Ticket: "ticket-of-me", Resumed: resumed, Kind: rtc.Gateway, Name: "gw", HeartbeatSeconds: 5,
		Limits: rtc.Limits{MessageBytes: 65536, MessagesPerSecond: 50, Rooms: 4}, TokenExpiresMS: now.Add(lifetime).UnixMilli(),
		ServerTimeMS: now.UnixMilli(),
	})
}

// under runs a client against the script under virtual time.
func under(t *testing.T, s *service, config func(*Config), test func(t *testing.T, c *Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s.t, s.listen = t, make(chan net.Conn)
		server := &http.Server{Handler: s}
		go server.Serve(s)
		cfg := Config{
			URL: "ws://signaling" + rtc.Path, Sites: []telemetry.SiteID{"plant-1"}, Dial: s.dial, Rand: func() float64 { return 0.5 },
			Token: func(context.Context) (string, error) { return "secret", nil },
		}
		if config != nil {
			config(&cfg)
		}
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		test(t, c)
		c.Close()
		close(s.listen)
		server.Close()
	})
}

// next returns the next message of a type.
func next[M rtc.Message](t *testing.T, c *Client) M {
	t.Helper()
	for m := range c.Messages() {
		if found, ok := m.(M); ok {
			return found
		}
	}
	var none M
	t.Fatalf("the messages ended, want a %T", none)
	return none
}

func TestJoinAndOrder(t *testing.T) {
	s := &service{script: func(_ int, p *peer) {
		hello := p.greet(time.Hour)
		if hello.Token != "secret" || hello.Resume != nil {
			t.Errorf("got hello %+v", hello)
		}
		for i := range 50 {
			p.write(rtc.Bye{Seq: int64(2 + i), From: "a", Connection: "c", Reason: strings.Repeat("x", i)})
		}
		for p.read() != nil {
		}
	}}
	under(t, s, nil, func(t *testing.T, c *Client) {
		t.Helper()
		if w := next[rtc.Welcome](t, c); w.Peer != "me" || c.Self() != "me" {
			t.Errorf("got welcome %+v, self %q", w, c.Self())
		}
		if j := next[rtc.Joined](t, c); j.Site != "plant-1" {
			t.Errorf("got %+v", j)
		}
		for i := range 50 {
			if m := next[rtc.Bye](t, c); len(m.Reason) != i {
				t.Fatalf("message %d has a reason of %d bytes", i, len(m.Reason))
			}
		}
		if slices.ContainsFunc(s.urls, func(u string) bool { return strings.Contains(u, "secret") }) {
			t.Errorf("the token is in %q", s.urls)
		}
	})
}

// TestResume: after a lost socket the client says what it has, and messages that come twice are
// delivered once.
func TestResume(t *testing.T) {
	s := &service{script: func(n int, p *peer) {
		if n == 1 {
			p.greet(time.Hour)
			p.write(rtc.Bye{Seq: 2, From: "a", Connection: "c2"})
			return // without a close frame
		}
		hello := p.read().(rtc.Hello)
		if hello.Resume == nil || hello.Resume.Ticket != "ticket-of-me" || hello.Resume.Received != 2 {
			t.Errorf("got resume %+v", hello.Resume)
		}
		p.welcome(time.Hour, true)
		p.write(rtc.Bye{Seq: 2, From: "a", Connection: "c2"})
		p.write(rtc.Bye{Seq: 3, From: "a", Connection: "c3"})
		if m, ok := p.read().(rtc.Bye); !ok || m.Reason != "queued" {
			t.Errorf("got %#v, want the message that was sent without a connection, and no join", m)
		}
		for p.read() != nil {
		}
	}}
	under(t, s, nil, func(t *testing.T, c *Client) {
		t.Helper()
		if m := next[rtc.Bye](t, c); m.Connection != "c2" {
			t.Errorf("got %+v", m)
		}
		synctest.Wait() // the socket is lost
		if err := c.Send(rtc.Bye{To: "a", Connection: "c", Reason: "queued"}); err != nil {
			t.Error(err)
		}
		if w := next[rtc.Welcome](t, c); !w.Resumed {
			t.Errorf("got %+v", w)
		}
		if m := next[rtc.Bye](t, c); m.Connection != "c3" {
			t.Errorf("got %+v, want what was missed", m)
		}
		time.Sleep(time.Second)
	})
}

// TestAnotherTask: the same id without the session; the room is joined again and numbers start anew.
func TestAnotherTask(t *testing.T) {
	s := &service{script: func(n int, p *peer) {
		p.greet(time.Hour)
		p.write(rtc.Bye{Seq: 2, From: "a", Connection: rtc.ConnectionID("c" + string(rune('0'+n)))})
		if n == 1 {
			return
		}
		for p.read() != nil {
		}
	}}
	under(t, s, nil, func(t *testing.T, c *Client) {
		t.Helper()
		for _, want := range []rtc.ConnectionID{"c1", "c2"} {
			next[rtc.Joined](t, c)
			if m := next[rtc.Bye](t, c); m.Connection != want {
				t.Errorf("got %+v, want %s", m, want)
			}
		}
	})
}

// TestSilentSocket: a half-open socket is given up after twice the heartbeat, a pinged one is not.
func TestSilentSocket(t *testing.T) {
	for name, pings := range map[string]bool{"silent": false, "pinged": true} {
		t.Run(name, func(t *testing.T) {
			s := &service{script: func(_ int, p *peer) {
				p.greet(time.Hour)
				stop := make(chan struct{})
				var pinging sync.WaitGroup
				pinging.Go(func() {
					for pings && p.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second)) == nil {
						select {
						case <-stop:
							return
						case <-time.After(5 * time.Second):
						}
					}
				})
				defer pinging.Wait()
				defer close(stop)
				for p.read() != nil {
				}
			}}
			under(t, s, nil, func(t *testing.T, c *Client) {
				t.Helper()
				next[rtc.Joined](t, c)
				go func() {
					for range c.Messages() {
					}
				}()
				time.Sleep(60 * time.Second)
				s.mu.Lock()
				defer s.mu.Unlock()
				if again := len(s.dials) > 1; again == pings {
					t.Errorf("%d connections", len(s.dials))
				}
				if !pings {
					if d := s.dials[1].Sub(s.dials[0]); d < silence || d > silence+time.Second {
						t.Errorf("given up after %v, want %v", d, silence)
					}
				}
			})
		})
	}
}

// TestBackoff: waits double up to the bound, are drawn below it, and begin anew after a steady session.
func TestBackoff(t *testing.T) {
	s := &service{refused: 10, script: func(n int, p *peer) {
		p.greet(time.Hour)
		if n > 1 {
			for p.read() != nil {
			}
			return
		}
		time.Sleep(9 * time.Second)
		p.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
		time.Sleep(9 * time.Second)
	}}
	under(t, s, nil, func(t *testing.T, c *Client) {
		t.Helper()
		next[rtc.Joined](t, c)
		next[rtc.Joined](t, c)
		s.mu.Lock()
		defer s.mu.Unlock()
		want := []time.Duration{125, 250, 500, 1000, 2000, 4000, 7500, 7500, 7500, 7500, 18000 + 125}
		for i, ms := range want {
			if d := s.dials[i+1].Sub(s.dials[i]); d.Round(time.Millisecond) != ms*time.Millisecond {
				t.Errorf("wait %d is %v, want %v", i, d, ms*time.Millisecond)
			}
		}
	})
}

// TestTokenRenewal: a new token is sent before the present one expires, on the same socket.
func TestTokenRenewal(t *testing.T) {
	var renewals []time.Duration
	s := &service{script: func(_ int, p *peer) {
		start := time.Now()
		p.greet(15 * time.Minute)
		for {
			m := p.read()
			if m == nil {
				return
			}
			if token, ok := m.(rtc.Token); ok {
				renewals = append(renewals, time.Since(start))
				if token.Token != "token-2" && token.Token != "token-3" {
					t.Errorf("got %q", token.Token)
				}
				p.welcome(15*time.Minute, false)
			}
			if _, ok := m.(rtc.Ping); ok {
				p.write(rtc.Pong{TimeMS: time.Now().UnixMilli()})
			}
		}
	}}
	tokens := 0
	under(t, s, func(c *Config) {
		c.Token = func(context.Context) (string, error) {
			tokens++
			return "token-" + string(rune('0'+tokens)), nil
		}
	}, func(t *testing.T, c *Client) {
		t.Helper()
		next[rtc.Joined](t, c)
		go func() {
			for range c.Messages() {
			}
		}()
		time.Sleep(25 * time.Minute)
		if len(s.dials) != 1 {
			t.Errorf("%d connections, want 1: a ping is answered by a pong", len(s.dials))
		}
	})
	if len(renewals) != 2 || renewals[0].Round(time.Second) != 10*time.Minute || renewals[1].Round(time.Second) != 20*time.Minute {
		t.Errorf("renewed after %v, want 10 and 20 minutes", renewals)
	}
}

// TestMove: the next socket is opened after the delay; the old one is read until the room is joined
// there, and then closed without leaving.
func TestMove(t *testing.T) {
	var closed atomic.Int64
	s := &service{script: func(n int, p *peer) {
		if n == 1 {
			p.greet(time.Hour)
			p.write(rtc.Move{Seq: 2, DelayMS: 2000, Reconnect: true})
			time.Sleep(2500 * time.Millisecond) // the new socket is open, and its room not joined
			p.write(rtc.Bye{Seq: 3, From: "a", Connection: "late"})
			_, _, err := p.conn.ReadMessage()
			if c, ok := errors.AsType[*websocket.CloseError](err); ok {
				closed.Store(int64(c.Code))
			}
			return
		}
		hello, _ := p.read().(rtc.Hello)
		if hello.Resume == nil || hello.Resume.Received != 2 {
			t.Errorf("got resume %+v", hello.Resume)
		}
		p.welcome(time.Hour, false)
		join, _ := p.read().(rtc.Join)
		time.Sleep(time.Second)
		if closed.Load() != 0 {
			t.Error("the old socket was closed before the room was joined")
		}
		p.write(rtc.Joined{Re: join.ID, Seq: 1, Site: join.Site, Peers: []rtc.PeerInfo{}})
		for p.read() != nil {
		}
	}}
	under(t, s, nil, func(t *testing.T, c *Client) {
		t.Helper()
		next[rtc.Joined](t, c)
		if m := next[rtc.Bye](t, c); m.Connection != "late" {
			t.Errorf("got %+v", m)
		}
		next[rtc.Joined](t, c)
		time.Sleep(time.Second)
		if code := closed.Load(); code != closeMoved {
			t.Errorf("the old socket was closed with %d, want %d", code, closeMoved)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if d := s.dials[1].Sub(s.dials[0]); d.Round(10*time.Millisecond) != 2*time.Second {
			t.Errorf("moved after %v, want 2 s", d)
		}
	})
}

// TestReplaced: another socket has the session: the client does not fight for it, and begins a new
// session later.
func TestReplaced(t *testing.T) {
	s := &service{script: func(n int, p *peer) {
		hello := p.greet(time.Hour)
		if n == 1 {
			p.close(rtc.Replaced.Info().Close)
			return
		}
		if hello.Resume != nil {
			t.Error("the ticket was used again")
		}
		for p.read() != nil {
		}
	}}
	under(t, s, nil, func(t *testing.T, c *Client) {
		t.Helper()
		next[rtc.Joined](t, c)
		next[rtc.Joined](t, c)
		s.mu.Lock()
		defer s.mu.Unlock()
		if d := s.dials[1].Sub(s.dials[0]); d.Round(time.Second) != stopWait {
			t.Errorf("returned after %v, want %v", d, stopWait)
		}
	})
}

// TestForbiddenRoom: the right may come later.
func TestForbiddenRoom(t *testing.T) {
	s := &service{script: func(_ int, p *peer) {
		p.read()
		p.welcome(time.Hour, false)
		for joins := 0; ; {
			switch m := p.read().(type) {
			case nil:
				return
			case rtc.Join:
				if joins++; joins < 3 {
					p.write(rtc.ErrorMessage{Re: m.ID, Code: rtc.Forbidden, Message: "no"})
				} else {
					p.write(rtc.Joined{Re: m.ID, Seq: 1, Site: m.Site, Peers: []rtc.PeerInfo{}})
				}
			case rtc.Ping:
				p.write(rtc.Pong{})
			}
		}
	}}
	under(t, s, nil, func(t *testing.T, c *Client) {
		t.Helper()
		start := time.Now()
		next[rtc.Joined](t, c)
		if d := time.Since(start); d < rejoinAfter || d > 3*rejoinAfter {
			t.Errorf("joined after %v", d)
		}
	})
}

func TestICEServers(t *testing.T) {
	s := &service{script: func(n int, p *peer) {
		p.greet(time.Hour)
		if m, ok := p.read().(rtc.ICE); ok && n == 1 {
			p.write(rtc.ICEResponse{Re: m.ID, Seq: 2, Servers: []rtc.ICEServer{{URLs: []string{"turn:x"}, Username: "u", Credential: "c"}}})
		}
		if m, ok := p.read().(rtc.ICE); ok {
			p.write(rtc.ErrorMessage{Re: m.ID, Code: rtc.Unavailable, Message: "no TURN"})
		}
		p.read()
		// and the third is lost with the socket
	}}
	under(t, s, nil, func(t *testing.T, c *Client) {
		t.Helper()
		go func() {
			for range c.Messages() {
			}
		}()
		servers, err := c.ICEServers(t.Context())
		if err != nil || len(servers) != 1 || servers[0].Username != "u" {
			t.Errorf("got %+v, %v", servers, err)
		}
		for range 2 {
			if _, err = c.ICEServers(t.Context()); !errors.Is(err, telemetry.ErrUnavailable) {
				t.Errorf("got %v, want ErrUnavailable", err)
			}
		}
	})
}

// TestPace: a burst stays below the service's limit, and nothing of it is lost.
func TestPace(t *testing.T) {
	const messages = 150 // in less than the 5 s after which a client pings
	var took atomic.Int64
	s := &service{script: func(_ int, p *peer) {
		p.greet(time.Hour)
		start := time.Now()
		for i := range messages {
			m, ok := p.read().(rtc.Bye)
			if !ok || len(m.Reason) != i {
				t.Errorf("message %d: got %#v", i, m)
				return
			}
			if limit := 50 * (time.Since(start).Seconds() + 1); float64(i) > limit {
				t.Errorf("%d messages after %v, the service accepts 50 a second", i, time.Since(start))
				return
			}
		}
		took.Store(int64(time.Since(start)))
		p.read()
	}}
	under(t, s, nil, func(t *testing.T, c *Client) {
		t.Helper()
		next[rtc.Joined](t, c)
		for i := range messages {
			if err := c.Send(rtc.Bye{To: "a", Connection: "c", Reason: strings.Repeat("x", i)}); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(4 * time.Second)
		if took.Load() == 0 {
			t.Error("not all messages were sent in 4 s")
		}
	})
}

func TestFullQueue(t *testing.T) {
	s := &service{refused: 1 << 30, script: func(int, *peer) {}}
	under(t, s, nil, func(t *testing.T, c *Client) {
		t.Helper()
		for range maxQueued {
			if err := c.Send(rtc.Bye{To: "a", Connection: "c"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Send(rtc.Bye{To: "a", Connection: "c"}); !errors.Is(err, telemetry.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
		c.Close()
		if err := c.Send(rtc.Bye{To: "a", Connection: "c"}); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	})
}

func TestConfig(t *testing.T) {
	token := func(context.Context) (string, error) { return "", nil }
	for name, c := range map[string]Config{
		"http":           {URL: "http://x/", Token: token, Sites: []telemetry.SiteID{"s"}},
		"token in query": {URL: "ws://x/?token=y", Token: token, Sites: []telemetry.SiteID{"s"}},
		"user":           {URL: "ws://u:p@x/", Token: token, Sites: []telemetry.SiteID{"s"}},
		"no token":       {URL: "ws://x/", Sites: []telemetry.SiteID{"s"}},
		"no site":        {URL: "ws://x/", Token: token},
		"bad site":       {URL: "ws://x/", Token: token, Sites: []telemetry.SiteID{"a\x00"}},
	} {
		if _, err := New(c); !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		} else if strings.Contains(err.Error(), "y") && name == "token in query" && strings.Contains(err.Error(), "=y") {
			t.Errorf("the error has the token: %v", err)
		}
	}
}
