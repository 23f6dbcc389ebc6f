package hub_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/signaling/hub"
)

// TestBadInput: each kind of bad input has its code, the session goes on where the protocol
// says so, and the others in the room notice nothing.
func TestBadInput(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *hub.Config) { c.Limits.Rooms = 2 })
	viewer, machine := pair(s)
	stranger := s.hello(person("mallory", "plant-2"))
	stranger.join("plant-2")
	to := machine.welcome.Peer
	for _, c := range []struct {
		name, text string
		code       rtc.Code
	}{
		{"no JSON", `hello`, rtc.InvalidMessage},
		{"a number", `7`, rtc.InvalidMessage},
		{"cut off", `{"type":"offer","to":`, rtc.InvalidMessage},
		{"repeated member", `{"type":"ping","type":"join"}`, rtc.InvalidMessage},
		{"wrong type of a member", `{"type":"join","site":["plant-1"]}`, rtc.InvalidMessage},
		{"unknown type", `{"type":"subscribe"}`, rtc.UnknownType},
		{"a message of the service", `{"type":"welcome","version":1}`, rtc.UnknownType},
		{"second hello", `{"type":"hello","token":"x"}`, rtc.AlreadyGreeted},
		{"room that is not granted", `{"type":"join","site":"plant-2"}`, rtc.Forbidden},
		{"leave of a room that was not joined", `{"type":"leave","site":"plant-2"}`, rtc.NotInRoom},
		{"SDP without lines", fmt.Sprintf(`{"type":"offer","to":%q,"connection":"c","sdp":"x"}`, to), rtc.InvalidSDP},
		{"SDP without a fingerprint", fmt.Sprintf(`{"type":"offer","to":%q,"connection":"c","sdp":%q}`, to,
			strings.Replace(description, "a=fingerprint", "a=other", 1)), rtc.InvalidSDP},
		{"SDP without media", fmt.Sprintf(`{"type":"answer","to":%q,"connection":"c","sdp":"v=0\r\ns=-\r\n"}`, to), rtc.InvalidSDP},
		{"SDP with a line break in a line", fmt.Sprintf(`{"type":"offer","to":%q,"connection":"c","sdp":%q}`, to,
			strings.Replace(description, "a=mid:0", "a=mid:0\rx=1", 1)), rtc.InvalidSDP},
		{
			"candidate of nothing", fmt.Sprintf(`{"type":"candidate","to":%q,"connection":"c","candidate":"candidate:"}`, to),
			rtc.InvalidCandidate,
		},
		{"candidate with a port too large", fmt.Sprintf(`{"type":"candidate","to":%q,"connection":"c","candidate":%q}`, to,
			strings.Replace(candidate, "46243", "65536", 1)), rtc.InvalidCandidate},
		{"candidate with a line break", fmt.Sprintf(`{"type":"candidate","to":%q,"connection":"c","candidate":%q}`, to,
			candidate+" ufrag 7sFv\r\na=x y"), rtc.InvalidCandidate},
		{
			"to a peer that does not exist", fmt.Sprintf(`{"type":"offer","to":"nobody","connection":"c","sdp":%q}`, description),
			rtc.UnknownPeer,
		},
		{"to a peer of another room", fmt.Sprintf(`{"type":"bye","to":%q,"connection":"c"}`, stranger.welcome.Peer), rtc.UnknownPeer},
		{"to itself", fmt.Sprintf(`{"type":"bye","to":%q,"connection":"c"}`, viewer.welcome.Peer), rtc.UnknownPeer},
		{"an id of a connection with a space", fmt.Sprintf(`{"type":"bye","to":%q,"connection":"c d"}`, to), rtc.InvalidMessage},
		{"a token that is none", `{"type":"ping","id":` + strings.Repeat("[", 100) + `}`, rtc.InvalidMessage},
	} {
		viewer.send("%s", c.text)
		if m := expect[rtc.ErrorMessage](viewer); m.Code != c.code || m.Message == "" {
			t.Errorf("%s: got %+v, want %s", c.name, m, c.code)
		}
	}
	stranger.send(`{"type":"offer","id":"1","to":%q,"connection":"c","sdp":%q}`, to, description)
	if m := expectError(stranger, rtc.UnknownPeer); m.Re != "1" {
		t.Errorf("got %+v", m)
	}
	if err := viewer.conn.WriteMessage(websocket.BinaryMessage, []byte(`{"type":"ping"}`)); err != nil {
		t.Fatal(err)
	}
	expectError(viewer, rtc.InvalidMessage)
	viewer.quiet()
	machine.quiet() // and got nothing: its next message is the pong
	stranger.quiet()
}

// TestTooManyRooms: a session joins as many rooms as it may.
func TestTooManyRooms(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *hub.Config) { c.Limits.Rooms = 2 })
	admin := s.hello(person("root", "*"))
	admin.join("a")
	admin.join("b")
	admin.join("b") // a repetition is not another room
	admin.send(`{"type":"join","site":"c"}`)
	expectError(admin, rtc.TooManyRooms)
	admin.send(`{"type":"leave","site":"a"}`)
	expect[rtc.Left](admin)
	admin.join("c")
}

// TestClosingErrors: what cannot go on is closed with the code of the error; the others in
// the room see the peer lost, and nothing else.
func TestClosingErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		code rtc.Code
		do   func(c *client)
	}{
		{"64 KiB + 1", rtc.MessageTooBig, func(c *client) {
			c.send(`{"type":"ping","x":"%s"}`, strings.Repeat("x", rtc.MaxMessageBytes+1-len(`{"type":"ping","x":""}`)))
		}},
		{"10 MiB", rtc.MessageTooBig, func(c *client) {
			_ = c.conn.WriteMessage(websocket.TextMessage, bytes.Repeat([]byte("x"), 10<<20))
		}},
		{"invalid UTF-8", rtc.InvalidUTF8, func(c *client) { c.send("%s", "{\"type\":\"ping\",\"id\":\"\xff\"}") }},
		{"a token of nobody", rtc.Unauthorized, func(c *client) { c.send(`{"type":"token","token":"x.y.z"}`) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, nil)
			viewer, machine := pair(s)
			viewer.quiet()
			c.do(viewer)
			expectClose(viewer, c.code)
			machine.expectPeer(viewer, rtc.StateLost, "")
			machine.quiet()
		})
	}
}

// TestLargestMessage: 65,536 bytes are accepted.
func TestLargestMessage(t *testing.T) {
	t.Parallel()
	c := start(t, nil).hello(person("anna", "plant-1"))
	const head, tail = `{"type":"ping","id":"l","x":"`, `"}`
	c.send("%s", head+strings.Repeat("x", rtc.MaxMessageBytes-len(head)-len(tail))+tail)
	if m := expect[rtc.Pong](c); m.Re != "l" {
		t.Errorf("got %+v", m)
	}
}

// TestBeforeHello: nothing but hello is accepted first.
func TestBeforeHello(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	expired := s.mint(person("anna", "plant-1"), time.Second)
	for name, c := range map[string]struct {
		text string
		code rtc.Code
	}{
		"join":             {`{"type":"join","id":"7","site":"plant-1"}`, rtc.NotGreeted},
		"no JSON":          {`GET / HTTP/1.1`, rtc.NotGreeted},
		"unknown type":     {`{"type":"later","id":"7"}`, rtc.NotGreeted},
		"no token":         {`{"type":"hello","id":"7"}`, rtc.NotGreeted},
		"a forged token":   {`{"type":"hello","id":"7","token":"eyJhbGciOiJub25lIn0.e30."}`, rtc.Unauthorized},
		"an empty subject": {`{"type":"hello","id":"7","token":"x"}`, rtc.Unauthorized},
		"too big":          {`{"type":"hello","token":"` + strings.Repeat("x", rtc.MaxMessageBytes) + `"}`, rtc.MessageTooBig},
		"invalid UTF-8":    {"\xff", rtc.InvalidUTF8},
	} {
		t.Run(name, func(t *testing.T) {
			c2 := s.dial()
			c2.send("%s", c.text)
			expectClose(c2, c.code)
		})
	}
	_ = expired
	eventually.Equal(t, "sockets before hello are forgotten", 0, func() int { return int(s.metric(t, "insighthub_signaling_sockets")) })
}

// TestHalfOpen: a socket that says nothing is closed, and gives its place back.
func TestHalfOpen(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *hub.Config) {
		c.Limits.Pending = 2
		c.Times.Hello, c.Times.Sweep = 300*time.Millisecond, 100*time.Millisecond
	})
	first, second := s.dial(), s.dial()
	response := s.handshake("", http.Header{"Sec-WebSocket-Protocol": {rtc.Subprotocol}})
	if response.StatusCode != http.StatusTooManyRequests && response.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("got status %d", response.StatusCode)
	}
	expectClose(first, rtc.NotGreeted)
	expectClose(second, rtc.NotGreeted)
	// The places are free.
	eventually.True(t, "a new client is served", func() bool {
		return s.handshake("", http.Header{"Sec-WebSocket-Protocol": {rtc.Subprotocol}}).StatusCode == http.StatusSwitchingProtocols
	})
}

// TestPendingLimit: one address cannot hold more sockets before hello than the limit.
func TestPendingLimit(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *hub.Config) {
		c.Limits.Pending = 3
		c.Times.Hello = time.Hour
	})
	for range 3 {
		s.dial()
	}
	if r := s.handshake("", http.Header{"Sec-WebSocket-Protocol": {rtc.Subprotocol}}); r.StatusCode != http.StatusTooManyRequests {
		t.Errorf("got status %d, want 429", r.StatusCode)
	}
}

// TestSessionsPerSubject: nobody takes all places; closing one frees one.
func TestSessionsPerSubject(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *hub.Config) { c.Limits.PerSubject = 2 })
	first := s.hello(person("anna", "plant-1"))
	s.hello(person("anna", "plant-1"))
	third := s.dial()
	third.send(`{"type":"hello","token":%q}`, s.mint(person("anna", "plant-1"), time.Minute))
	expectClose(third, rtc.TooManySessions)
	s.hello(person("bert", "plant-1"))
	first.close(websocket.CloseNormalClosure)
	eventually.True(t, "a place is free", func() bool {
		c := s.dial()
		c.send(`{"type":"hello","token":%q}`, s.mint(person("anna", "plant-1"), time.Minute))
		_, ok := c.next().(rtc.Welcome)
		return ok
	})
}

// TestFlood: too many messages are dropped with a code, and who goes on is closed; the others
// are undisturbed.
func TestFlood(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *hub.Config) { c.Limits.Rate, c.Limits.Burst = 20, 2 })
	viewer, machine := pair(s)
	done := make(chan error, 1)
	go func() {
		for {
			if err := viewer.conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"ping","id":"f"}`)); err != nil {
				done <- err
				return
			}
		}
	}()
	pongs, dropped := 0, 0
	for {
		m, err := viewer.read()
		if err != nil {
			var closed *websocket.CloseError
			if errors.As(err, &closed) && closed.Code != rtc.TooManyMessages.Info().Close {
				t.Errorf("got %v", err)
			}
			break
		}
		switch m := m.(type) {
		case rtc.Pong:
			pongs++
		case rtc.ErrorMessage:
			if m.Code != rtc.TooManyMessages || m.RetryAfterMS < 1 {
				t.Fatalf("got %+v", m)
			}
			dropped++
		}
	}
	if pongs < 30 || dropped < 40 {
		t.Errorf("%d pongs, %d errors", pongs, dropped)
	}
	<-done
	machine.expectPeer(viewer, rtc.StateLost, "")
	machine.quiet()
}

// TestControlFlood: pings are limited as messages are.
func TestControlFlood(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *hub.Config) { c.Limits.Rate, c.Limits.Burst = 10, 1 })
	viewer, machine := pair(s)
	viewer.conn.SetPongHandler(func(string) error { return nil })
	for range 100 {
		if viewer.conn.WriteControl(websocket.PingMessage, []byte("x"), time.Now().Add(time.Minute)) != nil {
			break
		}
	}
	expectClose(viewer, rtc.TooManyMessages)
	machine.expectPeer(viewer, rtc.StateLost, "")
	machine.quiet()
}

// TestBinaryFlood: what is no message of the protocol counts as one.
func TestBinaryFlood(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *hub.Config) { c.Limits.Rate, c.Limits.Burst = 10, 1 })
	viewer, machine := pair(s)
	for range 100 {
		if viewer.conn.WriteMessage(websocket.BinaryMessage, []byte("x")) != nil {
			break
		}
	}
	invalid := 0
	for {
		m, err := viewer.read()
		if err != nil {
			if !websocket.IsCloseError(err, rtc.TooManyMessages.Info().Close) {
				t.Errorf("got %v", err)
			}
			break
		}
		if e, ok := m.(rtc.ErrorMessage); ok && e.Code == rtc.InvalidMessage {
			invalid++
		}
	}
	if invalid == 0 || invalid > 50 {
		t.Errorf("%d messages were handled", invalid)
	}
	machine.expectPeer(viewer, rtc.StateLost, "")
	machine.quiet()
}

// TestSlowReader: who does not read is closed with slow_reader; those who send to it, and the
// others, are undisturbed.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *hub.Config) {
		c.Limits.Rate = 100_000
		c.Limits.QueueBytes = 256 << 10
		// On a busy machine nothing else may end it first.
		c.Times.Write, c.Times.Linger, c.Times.Dead = time.Minute, time.Minute, time.Hour
	})
	viewer, machine := pair(s)
	other := s.hello(person("bert", "plant-1"))
	other.join("plant-1")
	viewer.expectPeer(other, rtc.StateJoined, "")
	machine.expectPeer(other, rtc.StateJoined, "")
	// The machine does not read: its kernel's buffers and then its queue fill up.
	ended := func() bool { return s.metric(t, `insighthub_signaling_ended_sockets_total{reason="slow_reader"}`) == 1 }
	large := strings.Replace(description, "s=-", "s="+strings.Repeat("x", 60_000), 1)
	for i := 0; !ended(); i++ {
		if i > 5000 {
			t.Fatal("no slow_reader after 300 MB")
		}
		viewer.send(`{"type":"offer","to":%q,"connection":"c","sdp":%q}`, machine.welcome.Peer, large)
	}
	// When it reads at last, it learns why.
	for {
		m, err := machine.read()
		if err != nil {
			t.Fatalf("got %v before the error", err)
		}
		if e, ok := m.(rtc.ErrorMessage); ok {
			if e.Code != rtc.SlowReader {
				t.Errorf("got %+v", e)
			}
			break
		}
	}
	var closed *websocket.CloseError
	if _, err := machine.read(); !errors.As(err, &closed) || closed.Code != rtc.SlowReader.Info().Close {
		t.Errorf("got %v", err)
	}
	viewer.expectPeer(machine, rtc.StateLost, "")
	other.expectPeer(machine, rtc.StateLost, "")
	viewer.quiet()
	other.quiet()
}

// TestStuckReader: a write that does not end has a deadline.
func TestStuckReader(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *hub.Config) {
		c.Limits.Rate, c.Limits.QueueBytes = 100_000, 1<<40
		c.Times.Write, c.Times.Dead = 50*time.Millisecond, time.Hour
	})
	viewer, machine := pair(s)
	large := strings.Replace(description, "s=-", "s="+strings.Repeat("x", 60_000), 1)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		viewer.expectPeer(machine, rtc.StateLost, "")
	}()
	for i := 0; ; i++ {
		select {
		case <-gone:
			viewer.quiet()
			return
		default:
		}
		if i > 5000 {
			t.Fatal("no deadline after 300 MB")
		}
		viewer.send(`{"type":"offer","to":%q,"connection":"c","sdp":%q}`, machine.welcome.Peer, large)
	}
}

// TestDeadPeer: a socket without frames is lost in seconds, although TCP says nothing.
func TestDeadPeer(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *hub.Config) {
		c.Times.Ping, c.Times.Dead, c.Times.Sweep = 200*time.Millisecond, 2*time.Second, 100*time.Millisecond
	})
	viewer, machine := pair(s)
	// A socket that does not read does not respond to pings either.
	alive := make(chan rtc.Message, 1)
	go func() {
		m, _ := viewer.read() // which responds to pings
		alive <- m
	}()
	m := <-alive
	if p, ok := m.(rtc.Presence); !ok || p.Peer != machine.welcome.Peer || p.State != rtc.StateLost {
		t.Errorf("got %+v", m)
	}
	if s.metric(t, "insighthub_signaling_dead_peers_total") != 1 {
		t.Error("not counted")
	}
}

// TestHandshake: what is not a WebSocket of the protocol is rejected before it costs anything.
func TestHandshake(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	protocol := rtc.Subprotocol
	from := func(origins ...string) http.Header {
		return http.Header{"Sec-WebSocket-Protocol": {protocol}, "Origin": origins}
	}
	for name, c := range map[string]struct {
		path   string
		header http.Header
		status int
		says   string
	}{
		"a gateway":                {"", http.Header{"Sec-WebSocket-Protocol": {protocol}}, 101, ""},
		"a page":                   {"", from(page), 101, ""},
		"a local page":             {"", from("http://127.0.0.1:5173"), 101, ""},
		"two subprotocols":         {"", http.Header{"Sec-WebSocket-Protocol": {"other, " + protocol}}, 101, ""},
		"another page":             {"", from("https://evil.example"), 403, "ORIGINS"},
		"a page that begins alike": {"", from(page + ".evil"), 403, "origin"},
		"a local page, no port":    {"", from("http://127.0.0.1:"), 403, "origin"},
		"null":                     {"", from("null"), 403, "origin"},
		"two origins":              {"", from(page, "https://evil.example"), 403, "origin"},
		"no subprotocol":           {"", nil, 400, protocol},
		"another version":          {"", http.Header{"Sec-WebSocket-Protocol": {"insighthub.signaling.v2"}}, 400, protocol},
		"a token in the URL":       {"?token=secret", http.Header{"Sec-WebSocket-Protocol": {protocol}}, 400, "hello"},
		"an access_token in it":    {"?access_token=secret", http.Header{"Sec-WebSocket-Protocol": {protocol}}, 400, "hello"},
		"any parameter in the URL": {"?v=1", http.Header{"Sec-WebSocket-Protocol": {protocol}}, 400, "parameters"},
	} {
		r := s.handshake(c.path, c.header)
		var body bytes.Buffer
		_, _ = body.ReadFrom(r.Body)
		if r.StatusCode != c.status || !strings.Contains(body.String(), c.says) || strings.Contains(body.String(), "secret") {
			t.Errorf("%s: got %d %s", name, r.StatusCode, body.String())
		}
	}
	plain, err := http.Get("http" + strings.TrimPrefix(s.url, "ws"))
	if err != nil || plain.StatusCode != http.StatusUpgradeRequired || plain.Header.Get("Upgrade") != "websocket" {
		t.Errorf("no WebSocket: got %v, %v", plain, err)
	}
	if strings.Contains(s.log.String(), "secret") {
		t.Error("a URL is in the log")
	}
}

// TestGarbage: frames that are not WebSocket end the socket and nothing else.
func TestGarbage(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	viewer, machine := pair(s)
	for _, garbage := range [][]byte{
		bytes.Repeat([]byte{0xff}, 100),            // reserved bits and opcode
		{0x81, 0x05, 'h', 'e', 'l', 'l', 'o'},      // not masked
		{0x89, 0xfe, 0x00, 0x80, 0, 0, 0, 0, 0},    // a long ping
		{0x81, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0}, // a negative length
		[]byte("GET / HTTP/1.1\r\n\r\n"),
	} {
		c := s.hello(person("mallory", "plant-1"))
		if _, err := c.conn.NetConn().Write(garbage); err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := c.read(); err != nil {
				var timeout net.Error
				if errors.As(err, &timeout) && timeout.Timeout() {
					t.Errorf("%x: still open", garbage)
				}
				break
			}
		}
	}
	viewer.quiet()
	machine.quiet()
}

// TestRelayUnavailable: while other tasks cannot be reached, the error says so.
func TestRelayUnavailable(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	viewer, machine := pair(s)
	s.relays.fail(telemetry.ErrUnavailable)
	viewer.send(`{"type":"bye","id":"b","to":%q,"connection":"c"}`, machine.welcome.Peer)
	if m := expectError(viewer, rtc.Unavailable); m.Re != "b" || m.RetryAfterMS < 1 {
		t.Errorf("got %+v", m)
	}
	viewer.send(`{"type":"join","id":"j","site":"plant-1"}`)
	expectError(viewer, rtc.Unavailable)
	s.relays.fail(nil)
	viewer.send(`{"type":"bye","to":%q,"connection":"c"}`, machine.welcome.Peer)
	expect[rtc.Bye](machine)
}
