package relay_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/insighthub/insighthub/cdk/local/redis/redistest"
	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/signaling/hub"
	"github.com/insighthub/insighthub/signaling/relay"
	"github.com/insighthub/insighthub/signaling/relay/relaytest"
)

const site telemetry.SiteID = "plant-1"

// short are times with which a test takes seconds.
func short(url string) relay.Redis {
	return relay.Redis{
		URL: url, Timeout: 300 * time.Millisecond, Heartbeat: 50 * time.Millisecond, TaskTTL: 500 * time.Millisecond,
		DeadAfter: 300 * time.Millisecond, Grace: time.Second, Absence: 2 * time.Second, CheckEvery: 100 * time.Millisecond,
	}
}

func connect(t *testing.T, config relay.Redis, n int) []*relaytest.Task {
	t.Helper()
	return relaytest.Connect(t, relaytest.Fixture{Tasks: n, Connect: overRedis(config)}, n)
}

func kill(task *relaytest.Task) { task.Relay.(*relay.Relay).Kill() }

func wantMembers(t *testing.T, tasks []*relaytest.Task, want ...string) {
	t.Helper()
	for i, task := range tasks {
		eventually.NoError(t, fmt.Sprintf("members as task %d knows them", i), func() error {
			if got := task.Members(site); !slices.Equal(got, want) {
				return fmt.Errorf("got %q, want %q", got, want)
			}
			return nil
		})
	}
}

func wantDelivered(t *testing.T, from *relaytest.Task, sender rtc.PeerID, to *relaytest.Task, receiver rtc.PeerID, text string) {
	t.Helper()
	eventually.NoError(t, "a message from "+string(sender)+" to "+string(receiver), func() error {
		return from.Send(t.Context(), sender, receiver, []byte(text))
	})
	eventually.True(t, text+" arrived", func() bool { return slices.Contains(to.Messages(receiver), text) })
}

func TestDeadTaskLosesItsPeers(t *testing.T) {
	tasks := connect(t, short(redistest.Start(t).URL()), 3)
	tasks[0].Join(site, "a")
	tasks[1].Join(site, "b")
	tasks[1].Join(site, "moves")
	tasks[2].Join(site, "c")
	wantMembers(t, tasks, "a", "b", "c", "moves")
	kill(tasks[1])
	alive := []*relaytest.Task{tasks[0], tasks[2]}
	// One is back on another task before the death is noticed or after: no matter.
	tasks[2].Join(site, "moves")
	for _, task := range alive {
		// First it is lost, and after the grace it has left.
		eventually.True(t, "b has left", func() bool { return strings.HasSuffix(task.States(site, "b"), "lost left(lost)") })
		if got := task.States(site, "moves"); !strings.HasSuffix(got, "back") || strings.Contains(got, "left") {
			t.Errorf("got changes %q of the peer that moved, want back at the end", got)
		}
	}
	wantMembers(t, alive, "a", "c", "moves")
	if got := tasks[0].Join(site, "late"); !slices.Equal(got, []string{"a", "c", "moves"}) {
		t.Errorf("got others %q, want none of the dead task", got)
	}
	wantDelivered(t, tasks[0], "a", tasks[2], "moves", "after the death")
}

func TestSendToADeadTaskFails(t *testing.T) {
	config := short(redistest.Start(t).URL())
	config.Grace = time.Hour
	tasks := connect(t, config, 2)
	tasks[0].Join(site, "a")
	tasks[1].Join(site, "b")
	wantMembers(t, tasks[:1], "a", "b")
	kill(tasks[1])
	eventually.NoError(t, "sends fail", func() error {
		if err := tasks[0].Send(t.Context(), "a", "b", []byte("x")); !errors.Is(err, telemetry.ErrUnavailable) {
			return fmt.Errorf("got %w, want %w", err, telemetry.ErrUnavailable)
		}
		return nil
	})
}

// Redis is killed and comes back empty: nobody leaves, and everything works again.
func TestRedisRestartsEmpty(t *testing.T) {
	server := redistest.Start(t)
	tasks := connect(t, short(server.URL()), 2)
	tasks[0].Join(site, "a")
	tasks[1].Join(site, "b")
	tasks[1].Join(site, "goes")
	wantMembers(t, tasks, "a", "b", "goes")
	server.Kill()
	if err := tasks[0].Send(t.Context(), "a", "b", []byte("x")); !errors.Is(err, telemetry.ErrUnavailable) {
		t.Errorf("send without redis: got %v, want %v", err, telemetry.ErrUnavailable)
	}
	// In-task traffic goes on: members come, talk and go.
	if got := tasks[0].Join(site, "a2"); !slices.Equal(got, []string{"a", "b", "goes"}) {
		t.Errorf("got others %q, want those that were known", got)
	}
	if err := tasks[0].Send(t.Context(), "a", "a2", []byte("in the task")); err != nil {
		t.Errorf("send within the task: %v", err)
	}
	if got := tasks[0].Messages("a2"); !slices.Equal(got, []string{"in the task"}) {
		t.Errorf("got messages %q", got)
	}
	tasks[1].Gone(site, "goes", rtc.StateLeft, "")
	server.Restart()
	wantMembers(t, tasks, "a", "a2", "b")
	wantDelivered(t, tasks[0], "a2", tasks[1], "b", "after the restart")
	wantDelivered(t, tasks[1], "b", tasks[0], "a2", "and back")
	for _, task := range tasks {
		for _, id := range []rtc.PeerID{"a", "b", "a2"} {
			if got := task.States(site, id); strings.Contains(got, "left") || strings.Contains(got, "lost") {
				t.Errorf("got changes %q of %s, want none of a loss", got, id)
			}
		}
	}
}

// Redis does not answer for a while: what happened meanwhile is made up for.
func TestRedisFreezes(t *testing.T) {
	server := redistest.Start(t)
	tasks := connect(t, short(server.URL()), 2)
	tasks[0].Join(site, "a")
	tasks[0].Join(site, "x")
	tasks[1].Join(site, "b")
	wantMembers(t, tasks, "a", "b", "x")
	server.Freeze()
	eventually.True(t, "the outage is noticed", func() bool {
		return !tasks[0].Relay.(*relay.Relay).Up() && !tasks[1].Relay.(*relay.Relay).Up()
	})
	if err := tasks[0].Send(t.Context(), "a", "b", []byte("x")); !errors.Is(err, telemetry.ErrUnavailable) {
		t.Errorf("send: got %v, want %v", err, telemetry.ErrUnavailable)
	}
	tasks[0].Join(site, "a2")
	tasks[0].Gone(site, "x", rtc.StateLost, "")
	tasks[1].Gone(site, "b", rtc.StateLeft, "")
	tasks[1].Join(site, "b2")
	server.Thaw()
	wantMembers(t, tasks, "a", "a2", "b2", "x*")
	wantDelivered(t, tasks[0], "a2", tasks[1], "b2", "after the freeze")
	if got := tasks[1].Join(site, "last"); !slices.Equal(got, []string{"a", "a2", "b2", "x*"}) {
		t.Errorf("got others %q", got)
	}
}

// A peer that moved while its old task was cut off belongs to the new one.
func TestMoveWhileATaskIsCutOff(t *testing.T) {
	server := redistest.Start(t)
	config := short(server.URL())
	tasks := connect(t, config, 2)
	tasks[0].Join(site, "a")
	tasks[0].Join(site, "p")
	server.Kill()
	// Neither task reaches the other; the peer's socket ends and it goes to the other task.
	eventually.True(t, "the outage is noticed", func() bool { return !tasks[1].Relay.(*relay.Relay).Up() })
	tasks[1].Join(site, "b")
	tasks[1].Join(site, "p")
	server.Restart()
	wantMembers(t, tasks, "a", "b", "p")
	eventually.Equal(t, "the old task hands it over", "joined back", func() string { return tasks[0].States(site, "p") })
	tasks[0].Gone(site, "p", rtc.StateLeft, "")
	wantDelivered(t, tasks[0], "a", tasks[1], "p", "to the new task")
	if got := tasks[1].States(site, "p"); strings.Contains(got, "left") {
		t.Errorf("got changes %q on the new task, want none of leaving", got)
	}
}

func TestStartsWithoutRedis(t *testing.T) {
	server := redistest.Start(t)
	server.Kill()
	config := short(server.URL())
	var recorder relaytest.Recorder
	r, err := relay.New(relay.Config{Events: &recorder, Task: "early", Redis: &config})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Enter(t.Context(), site, hub.Peer{ID: "a", Kind: rtc.Gateway, Name: "g"}, func([]hub.Peer) {}); err != nil {
		t.Errorf("enter without redis: %v", err)
	}
	server.Restart()
	task := connect(t, config, 1)[0]
	eventually.NoError(t, "a is known to the other task", func() error {
		id := rtc.PeerID(fmt.Sprintf("n%d", time.Now().UnixNano()))
		var others []hub.Peer
		if err := task.Enter(t.Context(), site, hub.Peer{ID: id, Kind: rtc.Person}, func(o []hub.Peer) { others = o }); err != nil {
			return err
		}
		task.Gone(site, id, rtc.StateLeft, "")
		if len(others) == 0 || others[0] != (hub.Peer{ID: "a", Kind: rtc.Gateway, Name: "g"}) {
			return fmt.Errorf("got others %v", others)
		}
		return nil
	})
}

// Entries that vanish on their way are counted, and what they said is found out otherwise.
func TestLostEntriesAreNoticed(t *testing.T) {
	server := redistest.Start(t)
	config := short(server.URL())
	var slow, other relaytest.Recorder
	registry := prometheus.NewRegistry()
	block := make(chan struct{})
	slow.OnPresence = func(e relaytest.Event) {
		if e.Peer == "stop" {
			<-block
		}
	}
	reader, err := relay.New(relay.Config{Events: &slow, Task: "reader", Redis: &config, Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	writer, err := relay.New(relay.Config{Events: &other, Task: "writer", Redis: &config})
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	eventually.True(t, "connected", func() bool { return reader.Up() && writer.Up() })
	enter := func(r *relay.Relay, rec *relaytest.Recorder, room telemetry.SiteID, id rtc.PeerID) {
		t.Helper()
		if err := r.Enter(t.Context(), room, hub.Peer{ID: id, Kind: rtc.Person}, func(o []hub.Peer) { rec.Entered(room, o) }); err != nil {
			t.Error(err)
		}
	}
	enter(reader, &slow, site, "a")
	enter(reader, &slow, "plant-2", "a")
	enter(writer, &other, site, "b")
	enter(writer, &other, "plant-2", "b")
	eventually.True(t, "b is known", func() bool { return slices.Contains(slow.Members("plant-2"), "b") })
	// The reader is stopped in the other room, and what comes for this one is removed.
	enter(writer, &other, "plant-2", "stop")
	eventually.True(t, "the reader is stopped", func() bool {
		enter(writer, &other, site, "c")
		if err := writer.Send(t.Context(), "b", "a", []byte("lost")); err != nil {
			t.Error(err)
		}
		return server.Command("XTRIM", "insighthub:signaling:inbox:reader", "MAXLEN", "0") != ":0"
	})
	close(block)
	enter(writer, &other, "plant-2", "d")
	eventually.True(t, "c is known although its change was lost", func() bool { return slices.Contains(slow.Members(site), "c") })
	if err := writer.Send(t.Context(), "b", "a", []byte("next")); err != nil {
		t.Error(err)
	}
	eventually.True(t, "the next message arrived", func() bool { return slices.Contains(slow.Messages("a"), "next") })
	count := func() float64 {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			for _, m := range family.GetMetric() {
				for _, label := range m.GetLabel() {
					if family.GetName() == "insighthub_signaling_relay_lost_total" && label.GetValue() == "gap" {
						return m.GetCounter().GetValue()
					}
				}
			}
		}
		return 0
	}
	if got := count(); got == 0 && !slices.Contains(slow.Messages("a"), "lost") {
		t.Errorf("a message was lost and not counted: %v", got)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v, %v", problems, err)
	}
}

// The commands work where each key is on one of several servers.
func TestCluster(t *testing.T) {
	url, flush := redistest.Cluster(t)
	relaytest.Run(t, relaytest.Fixture{Tasks: 3, Connect: func(t *testing.T, tasks []hub.Events) []hub.Relay {
		t.Helper()
		flush()
		return overRedis(relay.Redis{URL: url, TaskTTL: time.Second, Heartbeat: 100 * time.Millisecond})(t, tasks)
	}})
}

func TestCloseIsQuick(t *testing.T) {
	tasks := connect(t, relay.Redis{URL: redistest.Start(t).URL()}, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error)
	go func() { done <- tasks[0].Close() }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-ctx.Done():
		t.Error("close did not return")
	}
}
