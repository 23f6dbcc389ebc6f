package signaling_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/insighthub/insighthub/cdk/local/redis/redistest"
	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/loadtest/localsignaling"
)

const site telemetry.SiteID = "plant-1"

// client is a peer that the test drives.
type client struct {
	t       *testing.T
	conn    *websocket.Conn
	welcome rtc.Welcome
	others  []rtc.PeerID
}

func connect(t *testing.T, server *localsignaling.Server, who string, resume *rtc.Resume) *client {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{rtc.Subprotocol}}
	conn, _, err := dialer.DialContext(t.Context(), server.URL(), nil)
	if err != nil {
		t.Fatalf("%s: %v", who, err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(eventually.Timeout))
	identity := token.Identity{Subject: who, Grants: map[telemetry.SiteID]token.Role{site: token.Viewer}}
	text, err := server.Token(t.Context(), identity, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, conn: conn}
	c.send(rtc.Hello{Token: text, Resume: resume})
	welcome, ok := c.next().(rtc.Welcome)
	if !ok {
		t.Fatalf("%s: got no welcome", who)
	}
	c.welcome = welcome
	return c
}

func (c *client) send(m rtc.Message) {
	c.t.Helper()
	raw, err := rtc.Encode(m)
	if err == nil {
		err = c.conn.WriteMessage(websocket.TextMessage, raw)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) next() rtc.Message {
	c.t.Helper()
	_, raw, err := c.conn.ReadMessage()
	if err != nil {
		c.t.Fatal(err)
	}
	m, err := rtc.DecodeServer(raw)
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

func (c *client) join() {
	c.t.Helper()
	c.send(rtc.Join{Site: site})
	for {
		if joined, ok := c.next().(rtc.Joined); ok {
			for _, p := range joined.Peers {
				c.others = append(c.others, p.Peer)
			}
			return
		}
	}
}

// A task is killed: its peers are back on the other one with the same ids, and those who were
// there see them back and never see them leave.
func TestPeersOfAKilledTaskAreBackOnAnother(t *testing.T) {
	binary := service(t)
	environment := map[string]string{"REDIS_URL": redistest.Start(t).URL(), "TICKET_KEY": "0123456789abcdef0123456789abcdef"}
	var tasks []*localsignaling.Server
	for range 2 {
		server, err := localsignaling.Start(t.Context(), localsignaling.Config{Binary: binary, Environment: environment})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Stop() })
		tasks = append(tasks, server)
	}
	watcher := connect(t, tasks[1], "watcher", nil)
	watcher.join()
	const peers = 20
	var before []*client
	ids := map[rtc.PeerID]bool{}
	for i := range peers {
		c := connect(t, tasks[0], fmt.Sprintf("person-%d", i), nil)
		c.join()
		before = append(before, c)
		ids[c.welcome.Peer] = true
	}
	if err := tasks[0].Kill(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for i, c := range before {
		// Its ticket is valid on the other task; what it missed is not known there.
		again := connect(t, tasks[1], fmt.Sprintf("person-%d", i), &rtc.Resume{Ticket: c.welcome.Ticket, Received: 1})
		if again.welcome.Peer != c.welcome.Peer || again.welcome.Resumed {
			t.Errorf("got welcome %+v, want peer %s, which joins its rooms again", again.welcome, c.welcome.Peer)
		}
		again.join()
		if !slices.Contains(again.others, watcher.welcome.Peer) {
			t.Errorf("got others %q, want the watcher too", again.others)
		}
	}
	back := map[rtc.PeerID]bool{}
	for len(back) < peers {
		p, ok := watcher.next().(rtc.Presence)
		if !ok {
			continue
		}
		switch {
		case !ids[p.Peer]:
			t.Errorf("got change %q of an unknown peer %s", p.State, p.Peer)
		case p.State == rtc.StateBack:
			back[p.Peer] = true
		case p.State == rtc.StateLeft:
			t.Errorf("peer %s has left", p.Peer)
		}
	}
	t.Logf("%d peers were back on the other task %v after the kill", peers, time.Since(start))
}
