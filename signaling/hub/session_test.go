package hub_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/turn"
)

const description = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n" +
	"m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:7sFv\r\na=ice-pwd:dOTZKZNVlO9RSGsEGM63JXT2\r\n" +
	"a=ice-options:trickle\r\na=fingerprint:sha-256 7B:8B:F0:65:5F:78:E2:51\r\na=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\n"

const candidate = "candidate:1467250027 1 udp 2122260223 192.168.0.196 46243 typ host"

// TestNegotiation: an offer, its answer and candidates reach the other peer in order.
func TestNegotiation(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	viewer, machine := pair(s)
	viewer.send(`{"type":"offer","to":%q,"connection":"c1","sdp":%q}`, machine.welcome.Peer, description)
	for i := range 20 {
		viewer.send(`{"type":"candidate","to":%q,"connection":"c1","candidate":%q,"sdpMid":"0","sdpMLineIndex":0}`,
			machine.welcome.Peer, candidate+" generation "+strconv.Itoa(i)+" ufrag 7sFv")
	}
	viewer.send(`{"type":"candidate","to":%q,"connection":"c1","candidate":null}`, machine.welcome.Peer)
	viewer.send(`{"type":"bye","to":%q,"connection":"c1","reason":"done"}`, machine.welcome.Peer)
	if m := expect[rtc.Offer](machine); m.From != viewer.welcome.Peer || m.Connection != "c1" || m.SDP != description || m.To != "" {
		t.Errorf("got %+v", m)
	}
	for i := range 20 {
		m := expect[rtc.Candidate](machine)
		if !strings.Contains(*m.Candidate, "generation "+strconv.Itoa(i)+" ") || m.Ufrag() != "7sFv" || *m.UsernameFragment != "7sFv" {
			t.Errorf("candidate %d: got %+v", i, m)
		}
	}
	if m := expect[rtc.Candidate](machine); !m.Last() {
		t.Errorf("got %+v", m)
	}
	if m := expect[rtc.Bye](machine); m.Reason != "done" {
		t.Errorf("got %+v", m)
	}
	machine.send(`{"type":"answer","to":%q,"connection":"c1","sdp":%q}`, viewer.welcome.Peer, description)
	if m := expect[rtc.Answer](viewer); m.From != machine.welcome.Peer || m.SDP != description {
		t.Errorf("got %+v", m)
	}
	viewer.quiet()
	machine.quiet()
}

// TestStaleCandidates: after an ICE restart, candidates of the earlier generation are dropped.
func TestStaleCandidates(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	viewer, machine := pair(s)
	to := machine.welcome.Peer
	describe := func(ufrag string) {
		viewer.send(`{"type":"offer","to":%q,"connection":"c1","sdp":%q}`, to, strings.ReplaceAll(description, "7sFv", ufrag))
	}
	trickle := func(connection, ufrag string) {
		viewer.send(`{"type":"candidate","to":%q,"connection":%q,"candidate":%q}`, to, connection, candidate+" ufrag "+ufrag)
	}
	describe("1111")
	trickle("c1", "1111")
	trickle("c1", "2222") // before its description: relayed, the receiver keeps it
	describe("2222")
	trickle("c1", "1111") // dropped
	trickle("c2", "1111") // another connection
	trickle("c1", "2222")
	expect[rtc.Offer](machine)
	for i, want := range []string{"1111", "2222", "offer", "1111", "2222"} {
		if want == "offer" {
			expect[rtc.Offer](machine)
			continue
		}
		if m := expect[rtc.Candidate](machine); m.Ufrag() != want || (m.Connection == "c2") != (i == 3) {
			t.Errorf("message %d: got %+v", i, m)
		}
	}
	viewer.quiet()
}

// TestICEServers: everybody gets credentials of their own that expire.
func TestICEServers(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	viewer, machine := pair(s)
	for _, c := range []*client{viewer, machine} {
		c.send(`{"type":"ice","id":"i"}`)
		m := expect[rtc.ICEResponse](c)
		expires := time.UnixMilli(m.ExpiresMS)
		left := time.Until(expires)
		if m.Re != "i" || len(m.Servers) != 2 || left > 10*time.Minute || left < 9*time.Minute {
			t.Fatalf("got %+v", m)
		}
		name, password := turn.Credential([]byte("shared"), c.welcome.Name, expires)
		if m.Servers[1].Username != name || m.Servers[1].Credential != password {
			t.Errorf("got %+v, want %s %s", m.Servers[1], name, password)
		}
	}
}

// TestLeave: who leaves, or closes normally, has left for good.
func TestLeave(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	viewer, machine := pair(s)
	viewer.send(`{"type":"leave","id":"l","site":"plant-1"}`)
	if m := expect[rtc.Left](viewer); m.Re != "l" || m.Site != "plant-1" || m.Reason != "" {
		t.Errorf("got %+v", m)
	}
	machine.expectPeer(viewer, rtc.StateLeft, "")
	viewer.send(`{"type":"offer","id":"o","to":%q,"connection":"c","sdp":%q}`, machine.welcome.Peer, description)
	if m := expectError(viewer, rtc.NotInRoom); m.Re != "o" {
		t.Errorf("got %+v", m)
	}
	viewer.join("plant-1")
	machine.expectPeer(viewer, rtc.StateJoined, "")
	viewer.close(1000)
	machine.expectPeer(viewer, rtc.StateLeft, "")
	machine.quiet()
}

// TestResume: a dropped socket loses nothing, and the others see lost and back.
func TestResume(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	viewer, machine := pair(s)
	viewer.drop()
	machine.expectPeer(viewer, rtc.StateLost, "")
	for i := range 5 {
		machine.send(`{"type":"bye","to":%q,"connection":"c%d"}`, viewer.welcome.Peer, i)
	}
	machine.quiet()
	again := viewer.resume(s, person("anna", "plant-1"))
	if !again.welcome.Resumed || again.welcome.Peer != viewer.welcome.Peer {
		t.Fatalf("got %+v", again.welcome)
	}
	machine.expectPeer(viewer, rtc.StateBack, "")
	for i := range 5 {
		if m := expect[rtc.Bye](again); m.Connection != rtc.ConnectionID("c"+strconv.Itoa(i)) {
			t.Errorf("got %+v", m)
		}
	}
	again.send(`{"type":"offer","to":%q,"connection":"c","sdp":%q}`, machine.welcome.Peer, description)
	expect[rtc.Offer](machine)
	again.quiet()
}

// TestReplaced: a hello with the ticket of a live session takes it over, unseen by the others.
func TestReplaced(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	viewer, machine := pair(s)
	again := viewer.resume(s, person("anna", "plant-1"))
	if !again.welcome.Resumed {
		t.Fatalf("got %+v", again.welcome)
	}
	expectClose(viewer, rtc.Replaced)
	again.quiet()
	machine.quiet()
	again.send(`{"type":"bye","to":%q,"connection":"c"}`, machine.welcome.Peer)
	expect[rtc.Bye](machine)
}

// TestRoomsOfTokens: the rooms are those that the token grants.
func TestRoomsOfTokens(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	machine := s.hello(gateway("gw-1"))
	viewer := s.hello(person("anna", "plant-1"))
	admin := s.hello(person("root", "*"))
	nobody := s.hello(person("nemo"))
	for _, c := range []struct {
		who  *client
		site telemetry.SiteID
		ok   bool
	}{
		{machine, "plant-1", true},
		{machine, "plant-2", false},
		{machine, "*", false},
		{viewer, "plant-1", true},
		{viewer, "plant-2", false},
		{viewer, "*", false},
		{admin, "plant-2", true},
		{nobody, "plant-1", false},
	} {
		c.who.send(`{"type":"join","id":"x","site":%q}`, c.site)
		for {
			m := c.who.next()
			if _, other := m.(rtc.Presence); other {
				continue
			}
			_, joined := m.(rtc.Joined)
			e, failed := m.(rtc.ErrorMessage)
			if joined != c.ok || failed && (e.Code != rtc.Forbidden || e.Re != "x") {
				t.Errorf("%s joins %s: got %+v", c.who.welcome.Name, c.site, m)
			}
			break
		}
	}
}

// TestLargeRoom: who joins a room of more peers than one message holds, and than may wait for
// a socket, gets all of them.
func TestLargeRoom(t *testing.T) {
	t.Parallel()
	const peers = 3000
	s := start(t, nil)
	c := s.hello(person("anna", "plant-1"))
	s.relays.fill("plant-1", peers)
	lost := make(map[rtc.PeerID]bool)
	for _, p := range c.join("plant-1") {
		lost[p.Peer] = p.Lost
	}
	if len(lost) == peers {
		t.Fatal("all peers were in one message: the test needs more")
	}
	for len(lost) < peers || lost["pother2999"] == false {
		m := expect[rtc.Presence](c)
		switch _, known := lost[m.Peer]; {
		case m.State == rtc.StateJoined && !known:
			lost[m.Peer] = false
		case m.State == rtc.StateLost && known:
			lost[m.Peer] = true
		default:
			t.Fatalf("got %+v", m)
		}
	}
	n := 0
	for _, is := range lost {
		if is {
			n++
		}
	}
	if n > peers/2 {
		t.Errorf("%d peers are lost, want at most %d", n, peers/2)
	}
	c.send(`{"type":"ping","id":"after"}`)
	for {
		if m, ok := c.next().(rtc.Pong); ok && m.Re == "after" {
			break
		}
	}
}
