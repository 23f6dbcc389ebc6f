package hub_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/token/tokentest"
	"github.com/insighthub/insighthub/signaling/hub"
)

// TestGrace: who does not resume in time has left.
func TestGrace(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *hub.Config) { c.Times.Grace, c.Times.Sweep = 300*time.Millisecond, 50*time.Millisecond })
	viewer, machine := pair(s)
	viewer.drop()
	machine.expectPeer(viewer, rtc.StateLost, "")
	machine.expectPeer(viewer, rtc.StateLeft, rtc.PeerLost)
	again := viewer.resume(s, person("anna", "plant-1"))
	if again.welcome.Resumed || again.welcome.Peer != viewer.welcome.Peer {
		t.Errorf("got %+v", again.welcome)
	}
	again.seq = 0
	again.join("plant-1")
	machine.expectPeer(again, rtc.StateJoined, "")
}

// TestLostIsListed: who joins sees that a peer is lost.
func TestLostIsListed(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	viewer, machine := pair(s)
	viewer.drop()
	machine.expectPeer(viewer, rtc.StateLost, "")
	others := s.hello(person("bert", "plant-1")).join("plant-1")
	for _, o := range others {
		if o.Lost != (o.Peer == viewer.welcome.Peer) {
			t.Errorf("got %+v", o)
		}
	}
}

// TestResumeOverflow: when more was missed than is remembered, the client keeps its id and
// joins again; the others see it back, not gone.
func TestResumeOverflow(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *hub.Config) { c.Limits.Rate = 10_000 })
	viewer, machine := pair(s)
	viewer.drop()
	machine.expectPeer(viewer, rtc.StateLost, "")
	for range rtc.MaxKept + 1 {
		machine.send(`{"type":"bye","to":%q,"connection":"c"}`, viewer.welcome.Peer)
	}
	machine.quiet()
	again := viewer.resume(s, person("anna", "plant-1"))
	if again.welcome.Resumed || again.welcome.Peer != viewer.welcome.Peer {
		t.Fatalf("got %+v", again.welcome)
	}
	again.seq = 0
	again.send(`{"type":"bye","to":%q,"connection":"c"}`, machine.welcome.Peer)
	expectError(again, rtc.NotInRoom)
	again.join("plant-1")
	machine.expectPeer(viewer, rtc.StateBack, "")
	machine.send(`{"type":"bye","to":%q,"connection":"c2"}`, viewer.welcome.Peer)
	if m := expect[rtc.Bye](again); m.Connection != "c2" {
		t.Errorf("got %+v", m)
	}
}

// TestUnconfirmedRooms: rooms that are not joined again after such a resume are left.
func TestUnconfirmedRooms(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *hub.Config) { c.Times.Grace, c.Times.Sweep = time.Second, 50*time.Millisecond })
	viewer, machine := pair(s)
	viewer.drop()
	machine.expectPeer(viewer, rtc.StateLost, "")
	viewer.seq = 1000 // never sent
	again := viewer.resume(s, person("anna", "plant-1"))
	if again.welcome.Resumed {
		t.Fatalf("got %+v", again.welcome)
	}
	machine.expectPeer(viewer, rtc.StateLeft, rtc.PeerLost)
	again.quiet()
}

// TestLargestResume: exactly as many messages as are remembered are resent, in order.
func TestLargestResume(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *hub.Config) { c.Limits.Rate = 10_000 })
	viewer, machine := pair(s)
	viewer.drop()
	machine.expectPeer(viewer, rtc.StateLost, "")
	for range rtc.MaxKept {
		machine.send(`{"type":"bye","to":%q,"connection":"c"}`, viewer.welcome.Peer)
	}
	machine.quiet()
	again := viewer.resume(s, person("anna", "plant-1"))
	if !again.welcome.Resumed {
		t.Fatalf("got %+v", again.welcome)
	}
	for range rtc.MaxKept {
		expect[rtc.Bye](again) // which checks seq
	}
	again.quiet()
}

// TestTickets: a ticket that is not valid, or somebody else's, opens a new session.
func TestTickets(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	viewer, machine := pair(s)
	body, sum, _ := strings.Cut(viewer.welcome.Ticket, ".")
	raw, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		t.Fatal(err)
	}
	forged := base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(raw), "anna", "root", 1)))
	for name, c := range map[string]struct {
		ticket string
		who    token.Identity
	}{
		"empty":           {"", person("anna", "plant-1")},
		"text":            {"ticket", person("anna", "plant-1")},
		"cut off":         {viewer.welcome.Ticket[:len(viewer.welcome.Ticket)-1], person("anna", "plant-1")},
		"another subject": {forged + "." + sum, person("root", "*")},
		"stolen":          {viewer.welcome.Ticket, person("root", "*")},
		"of a gateway":    {viewer.welcome.Ticket, tokentest.GatewayOf("gw-2", "plant-1")},
	} {
		c2 := s.dial()
		c2.send(`{"type":"hello","token":%q,"resume":{"ticket":%q,"received":0}}`, s.mint(c.who, time.Hour), c.ticket)
		if w := expect[rtc.Welcome](c2); w.Resumed || w.Peer == viewer.welcome.Peer || w.Peer == machine.welcome.Peer {
			t.Errorf("%s: got %+v", name, w)
		}
	}
	viewer.quiet() // it has not been replaced
}

// TestOtherTask: a peer whose task was killed is back on another one, under the same id.
func TestOtherTask(t *testing.T) {
	t.Parallel()
	all, keys := newRelays(), new(tokentest.Keys)
	first := startTask(t, all, keys, nil)
	second := startTask(t, all, keys, nil)
	machine := second.hello(gateway("gw-1"))
	machine.join("plant-1")
	viewer := first.hello(person("anna", "plant-1"))
	viewer.join("plant-1")
	machine.expectPeer(viewer, rtc.StateJoined, "")
	viewer.send(`{"type":"bye","to":%q,"connection":"c"}`, machine.welcome.Peer)
	expect[rtc.Bye](machine)

	again := viewer.resume(second, person("anna", "plant-1"))
	if again.welcome.Resumed || again.welcome.Peer != viewer.welcome.Peer {
		t.Fatalf("got %+v", again.welcome)
	}
	again.seq = 0
	others := again.join("plant-1")
	if len(others) != 1 || others[0].Peer != machine.welcome.Peer {
		t.Errorf("got %+v", others)
	}
	machine.expectPeer(viewer, rtc.StateBack, "")
	// The first task's socket was alive still: the newer one has the session.
	expectClose(viewer, rtc.Replaced)
	machine.send(`{"type":"bye","to":%q,"connection":"c"}`, viewer.welcome.Peer)
	expect[rtc.Bye](again)
	machine.quiet()

	// And back to the first, although that one remembers the session.
	again.seq = 1 // a number that the first task has sent, too
	third := again.resume(first, person("anna", "plant-1"))
	if third.welcome.Resumed {
		t.Fatalf("got %+v", third.welcome)
	}
	third.seq = 0
	third.join("plant-1")
	machine.expectPeer(viewer, rtc.StateBack, "")
	expectClose(again, rtc.Replaced)
	third.quiet()
	machine.quiet()
}

// TestCloseCodes: 1000 and 1001 leave, others are a loss that may be resumed.
func TestCloseCodes(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for code, left := range map[int]bool{1000: true, 1001: true, 4000: false, 1011: false} {
		viewer, machine := pair(s)
		viewer.close(code)
		if p := expect[rtc.Presence](machine); (p.State == rtc.StateLeft) != left {
			t.Errorf("close %d: got %+v", code, p)
		}
		// A new room for the next.
		machine.close(1000)
		eventually.Equal(t, "sessions", 0, func() int { return int(s.metric(t, "insighthub_signaling_sessions")) })
		s = start(t, nil)
	}
}

// TestClose: nothing is left of a hub that has ended, and its clients know why.
func TestClose(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	viewer, machine := pair(s)
	pending := s.dial()
	done := make(chan error, 1)
	go func() { done <- s.hub.Close() }()
	expectClose(viewer, rtc.GoingAway)
	expectClose(machine, rtc.GoingAway)
	expectClose(pending, rtc.GoingAway)
	if err := <-done; err != nil {
		t.Error(err)
	}
	for _, name := range []string{"sockets", "sessions", "queued_bytes"} {
		if n := s.metric(t, "insighthub_signaling_"+name); n != 0 {
			t.Errorf("%s: %v are left", name, n)
		}
	}
}

// TestParkedSessionsAreLimited: who opens and drops sockets fills no memory.
func TestParkedSessionsAreLimited(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *hub.Config) { c.Limits.PerSubject = 3 })
	machine := s.hello(gateway("gw-1"))
	machine.join("plant-1")
	for i := range 5 {
		c := s.hello(person("anna", "plant-1"))
		c.join("plant-1")
		machine.expectPeer(c, rtc.StateJoined, "")
		c.drop()
		if i < 3 {
			machine.expectPeer(c, rtc.StateLost, "")
		} else {
			machine.expectPeer(c, rtc.StateLeft, rtc.PeerLost)
		}
	}
	if n := s.metric(t, "insighthub_signaling_lost_sessions"); n != 3 {
		t.Errorf("%v sessions are remembered, want 3", n)
	}
}
