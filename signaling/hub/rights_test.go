package hub_test

import (
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/signaling/hub"
)

func soon(c *hub.Config) {
	c.Times.Sweep, c.Times.Denials = 50*time.Millisecond, 50*time.Millisecond
}

// TestTokenExpires: a session ends with its token, and the others learn that the access has
// ended, so that they close their peer connections with it.
func TestTokenExpires(t *testing.T) {
	t.Parallel()
	s := start(t, soon)
	machine := s.hello(gateway("gw-1"))
	machine.join("plant-1")
	viewer := s.helloFor(person("anna", "plant-1"), 3*time.Second)
	viewer.join("plant-1")
	machine.expectPeer(viewer, rtc.StateJoined, "")
	machine.expectPeer(viewer, rtc.StateLeft, rtc.AccessEnded)
	expectClose(viewer, rtc.TokenExpired)
	machine.quiet()
	// It cannot be resumed by a token that has expired, and is a new session with a valid one.
	again := viewer.resume(s, person("anna", "plant-1"))
	if again.welcome.Resumed {
		t.Errorf("got %+v", again.welcome)
	}
}

// TestRenewedToken: a session goes on with a renewed token, beyond the first one's expiry.
func TestRenewedToken(t *testing.T) {
	t.Parallel()
	s := start(t, soon)
	viewer := s.helloFor(person("anna", "plant-1"), 2*time.Second)
	viewer.join("plant-1")
	viewer.send(`{"type":"token","id":"t","token":%q}`, s.mint(person("anna", "plant-1"), time.Hour))
	w := expect[rtc.Welcome](viewer)
	if w.Re != "t" || !w.Resumed || w.Peer != viewer.welcome.Peer || w.TokenExpiresMS <= viewer.welcome.TokenExpiresMS {
		t.Errorf("got %+v", w)
	}
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		viewer.quiet()
	}
}

// TestTokenOfSomebodyElse: a session stays that of its subject.
func TestTokenOfSomebodyElse(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	viewer, machine := pair(s)
	viewer.send(`{"type":"token","id":"t","token":%q}`, s.mint(person("root", "*"), time.Hour))
	if m := expectError(viewer, rtc.SubjectMismatch); m.Re != "t" {
		t.Errorf("got %+v", m)
	}
	// A gateway of the same name as the account is somebody else, too.
	viewer.send(`{"type":"token","token":%q}`, s.mint(gateway("anna"), time.Hour))
	expectError(viewer, rtc.SubjectMismatch)
	viewer.send(`{"type":"join","site":"plant-2"}`)
	expectError(viewer, rtc.Forbidden)
	machine.quiet()
}

// TestRoomNotGrantedAnyMore: a renewed token that does not grant a room ends the stay in it.
func TestRoomNotGrantedAnyMore(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	machine := s.hello(gateway("gw-1"))
	machine.join("plant-1")
	viewer := s.hello(person("anna", "plant-1", "plant-2"))
	viewer.join("plant-1")
	viewer.join("plant-2")
	machine.expectPeer(viewer, rtc.StateJoined, "")
	viewer.send(`{"type":"token","token":%q}`, s.mint(person("anna", "plant-2"), time.Hour))
	expect[rtc.Welcome](viewer)
	if m := expect[rtc.Left](viewer); m.Site != "plant-1" || m.Reason != rtc.AccessEnded {
		t.Errorf("got %+v", m)
	}
	machine.expectPeer(viewer, rtc.StateLeft, rtc.AccessEnded)
	viewer.send(`{"type":"bye","to":%q,"connection":"c"}`, machine.welcome.Peer)
	expectError(viewer, rtc.UnknownPeer)
}

// TestDenied: a token that is denied ends its sessions within seconds, those that have lost
// their socket, too, and opens no new ones.
func TestDenied(t *testing.T) {
	t.Parallel()
	s := start(t, soon)
	viewer, machine := pair(s)
	away := s.hello(person("anna", "plant-1"))
	away.join("plant-1")
	viewer.expectPeer(away, rtc.StateJoined, "")
	machine.expectPeer(away, rtc.StateJoined, "")
	away.drop()
	viewer.expectPeer(away, rtc.StateLost, "")
	machine.expectPeer(away, rtc.StateLost, "")
	s.denials.set(func(d *denials) { d.denied["anna"] = true })
	seen := make(map[rtc.PeerID]rtc.LeaveReason)
	for range 2 {
		p := expect[rtc.Presence](machine)
		if p.State != rtc.StateLeft {
			t.Errorf("got %+v", p)
		}
		seen[p.Peer] = p.Reason
	}
	if seen[viewer.welcome.Peer] != rtc.AccessEnded || seen[away.welcome.Peer] != rtc.AccessEnded {
		t.Errorf("got %v", seen)
	}
	for {
		m := viewer.next()
		if _, other := m.(rtc.Presence); other {
			continue
		}
		if e, ok := m.(rtc.ErrorMessage); !ok || e.Code != rtc.Unauthorized {
			t.Errorf("got %+v", m)
		}
		break
	}
	c := s.dial()
	c.send(`{"type":"hello","token":%q}`, s.mint(person("anna", "plant-1"), time.Hour))
	expectClose(c, rtc.Unauthorized)
	machine.quiet()
}

// TestDeniedAtJoin: the list is asked at each join, not only now and then.
func TestDeniedAtJoin(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *hub.Config) { c.Times.Denials = time.Hour })
	viewer, machine := pair(s)
	s.denials.set(func(d *denials) { d.denied["anna"] = true })
	viewer.send(`{"type":"join","site":"plant-1"}`)
	expectClose(viewer, rtc.Unauthorized)
	machine.expectPeer(viewer, rtc.StateLeft, rtc.AccessEnded)
}

// TestUnknownDenials: while it is not known which tokens are denied, no session begins, and
// those that there are go on.
func TestUnknownDenials(t *testing.T) {
	t.Parallel()
	s := start(t, soon)
	viewer, machine := pair(s)
	s.denials.set(func(d *denials) { d.err = telemetry.ErrUnavailable })
	c := s.dial()
	c.send(`{"type":"hello","token":%q}`, s.mint(person("bert", "plant-1"), time.Hour))
	expectClose(c, rtc.Unavailable)
	viewer.quiet()
	machine.quiet()
}

// TestUnavailableKeys: a token that cannot be checked is not the client's fault.
func TestUnavailableKeys(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	text := s.mint(person("anna", "plant-1"), time.Hour)
	s.keys.Fail(telemetry.ErrUnavailable)
	c := s.dial()
	c.send(`{"type":"hello","token":%q}`, text)
	expectClose(c, rtc.Unavailable)
	s.keys.Fail(nil)
	eventually.True(t, "tokens are checked once more", func() bool {
		c := s.dial()
		c.send(`{"type":"hello","token":%q}`, text)
		_, ok := c.next().(rtc.Welcome)
		return ok
	})
}

// TestSecretsAreNotLogged: tokens, tickets and credentials are in no log line.
func TestSecretsAreNotLogged(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	text := s.mint(person("anna", "plant-1"), time.Hour)
	c := s.dial()
	c.send(`{"type":"hello","token":%q}`, text)
	w := expect[rtc.Welcome](c)
	c.send(`{"type":"ice"}`)
	ice := expect[rtc.ICEResponse](c)
	c.send(`{"type":"token","token":%q}`, text+"x")
	expectClose(c, rtc.Unauthorized)
	_ = s.hub.Close()
	if !strings.Contains(s.log.String(), string(w.Peer)) {
		t.Error("the session is not in the log")
	}
	for _, secret := range []string{text, strings.Split(text, ".")[2], w.Ticket, ice.Servers[1].Credential, "0123456789abcdef"} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}
