// Package relaytest is the conformance suite of hub.Relay: every implementation passes it.
package relaytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/signaling/hub"
)

// Fixture makes the relays of a test.
type Fixture struct {
	// Tasks is how many tasks can be connected: 1, or more.
	Tasks int
	// Connect returns connected relays, one for each Events, and closes them with the test.
	Connect func(t *testing.T, tasks []hub.Events) []hub.Relay
}

// Task is a relay with what it reported.
type Task struct {
	hub.Relay
	*Recorder
	t *testing.T
}

const site telemetry.SiteID = "plant-1"

// Run runs the suite.
func Run(t *testing.T, f Fixture) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, *Task, *Task){
		"members are listed and reported":            testMembers,
		"a lost peer is back":                        testLost,
		"repetitions change nothing":                 testRepetitions,
		"rooms are separate":                         testRooms,
		"messages arrive in order and whole":         testMessages,
		"messages need a common room":                testStrangers,
		"entered comes before what follows from it":  testEntered,
		"many enter and leave at once":               testMany,
		"a bad change is rejected":                   testBadChange,
		"nothing is left when all have left":         testEmpty,
		"a closed relay is unavailable":              testClosed,
		"members that have not left are lost at end": testCloseLoses,
	} {
		t.Run(name, func(t *testing.T) {
			t.Run("one task", func(t *testing.T) {
				a := Connect(t, f, 1)[0]
				test(t, a, a)
			})
			if f.Tasks < 2 {
				return
			}
			t.Run("two tasks", func(t *testing.T) {
				tasks := Connect(t, f, 2)
				test(t, tasks[0], tasks[1])
			})
		})
	}
	if f.Tasks < 2 {
		return
	}
	t.Run("a peer moves to another task", func(t *testing.T) { testMove(t, Connect(t, f, 2)) })
	t.Run("all tasks see the same", func(t *testing.T) { testAgreement(t, Connect(t, f, 3)) })
}

// Connect returns n connected tasks.
func Connect(t *testing.T, f Fixture, n int) []*Task {
	t.Helper()
	tasks := make([]*Task, n)
	events := make([]hub.Events, n)
	for i := range tasks {
		tasks[i] = &Task{Recorder: &Recorder{}, t: t}
		events[i] = tasks[i].Recorder
	}
	for i, relay := range f.Connect(t, events) {
		tasks[i].Relay = relay
	}
	return tasks
}

// Join enters a room as a person and returns the ids of the others, with * for lost ones.
func (task *Task) Join(room telemetry.SiteID, id rtc.PeerID) []string {
	task.t.Helper()
	calls, others := 0, []string{}
	err := task.Enter(task.t.Context(), room, hub.Peer{ID: id, Kind: rtc.Person, Name: "name of " + string(id)}, func(peers []hub.Peer) {
		calls++
		task.Entered(room, peers)
		for _, p := range peers {
			if p.Kind != rtc.Person || p.Name != "name of "+string(p.ID) {
				task.t.Errorf("got peer %+v, want its kind and name as it entered", p)
			}
			name := string(p.ID)
			if p.Lost {
				name += "*"
			}
			others = append(others, name)
		}
	})
	if err != nil || calls != 1 {
		task.t.Errorf("enter of %s: got error %v and %d calls of entered, want none and 1", id, err, calls)
	}
	return others
}

// Gone exits.
func (task *Task) Gone(room telemetry.SiteID, id rtc.PeerID, state rtc.PresenceState, reason rtc.LeaveReason) {
	task.t.Helper()
	if err := task.Exit(task.t.Context(), room, id, hub.Change{State: state, Reason: reason}); err != nil {
		task.t.Errorf("exit of %s: %v", id, err)
	}
}

func wantJoin(t *testing.T, task *Task, id rtc.PeerID, others ...string) {
	t.Helper()
	if got := task.Join(site, id); !slices.Equal(got, others) {
		t.Errorf("%s entered: got others %q, want %q", id, got, others)
	}
}

func wantStates(t *testing.T, task *Task, id rtc.PeerID, states string) {
	t.Helper()
	eventually.NoError(t, "changes of "+string(id), func() error {
		if got := task.States(site, id); got != states {
			return fmt.Errorf("got %q, want %q", got, states)
		}
		return nil
	})
}

func testMembers(t *testing.T, a, b *Task) {
	wantJoin(t, a, "p1")
	wantJoin(t, b, "p2", "p1")
	wantStates(t, a, "p2", "joined")
	wantJoin(t, a, "p3", "p1", "p2")
	wantStates(t, b, "p3", "joined")
	b.Gone(site, "p2", rtc.StateLeft, rtc.AccessEnded)
	wantStates(t, a, "p2", "joined left(access_ended)")
	wantJoin(t, a, "p4", "p1", "p3")
}

func testLost(t *testing.T, a, b *Task) {
	wantJoin(t, a, "p1")
	wantJoin(t, b, "p2", "p1")
	b.Gone(site, "p2", rtc.StateLost, "")
	wantStates(t, a, "p2", "joined lost")
	wantJoin(t, a, "p3", "p1", "p2*")
	// Messages for a lost peer go to its task, which keeps them for the resume.
	if err := a.Send(t.Context(), "p1", "p2", []byte("meanwhile")); err != nil {
		t.Errorf("send to a lost peer: %v", err)
	}
	wantMessages(t, b, "p2", "meanwhile")
	wantJoin(t, b, "p2", "p1", "p3")
	wantStates(t, a, "p2", "joined lost back")
	wantJoin(t, a, "p4", "p1", "p2", "p3")
	b.Gone(site, "p2", rtc.StateLost, "")
	b.Gone(site, "p2", rtc.StateLeft, rtc.PeerLost)
	wantStates(t, a, "p2", "joined lost back lost left(lost)")
}

func testRepetitions(t *testing.T, a, b *Task) {
	wantJoin(t, a, "p1")
	wantJoin(t, b, "p2", "p1")
	wantJoin(t, b, "p2", "p1")
	b.Gone(site, "p2", rtc.StateLost, "")
	b.Gone(site, "p2", rtc.StateLost, "")
	b.Gone(site, "p2", rtc.StateLeft, "")
	b.Gone(site, "p2", rtc.StateLeft, "")
	b.Gone(site, "stranger", rtc.StateLeft, "")
	b.Gone("plant-9", "p2", rtc.StateLeft, "")
	wantStates(t, a, "p2", "joined lost left")
	wantStates(t, a, "stranger", "")
}

func testRooms(t *testing.T, a, b *Task) {
	a.Join("plant-1", "p1")
	b.Join("plant-2", "p2")
	b.Join("plant-1", "p3")
	b.Join("plant-2", "p3")
	if got := a.Join("plant-2", "p1"); !slices.Equal(got, []string{"p2", "p3"}) {
		t.Errorf("got %q in plant-2, want p2 and p3", got)
	}
	b.Gone("plant-1", "p3", rtc.StateLeft, "")
	eventually.Equal(t, "p3 has left plant-1", "joined left", func() string { return a.States("plant-1", "p3") })
	if got := a.States("plant-2", "p3"); strings.Contains(got, "left") {
		t.Errorf("got changes %q of p3 in plant-2, want none of leaving", got)
	}
	// The other room is still common.
	if err := a.Send(t.Context(), "p1", "p3", []byte("x")); err != nil {
		t.Errorf("send in plant-2: %v", err)
	}
	b.Gone("plant-2", "p3", rtc.StateLeft, "")
	eventually.NoError(t, "p3 is unknown", func() error {
		if err := a.Send(t.Context(), "p1", "p3", []byte("x")); !errors.Is(err, hub.ErrUnknownPeer) {
			return fmt.Errorf("got error %w, want %w", err, hub.ErrUnknownPeer)
		}
		return nil
	})
}

func wantMessages(t *testing.T, task *Task, to rtc.PeerID, want ...string) {
	t.Helper()
	eventually.NoError(t, "messages to "+string(to), func() error {
		got := task.Messages(to)
		if len(got) < len(want) {
			return fmt.Errorf("got %d messages, want %d", len(got), len(want))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("messages to %s (-want +got):\n%s", to, diff)
		}
		return nil
	})
}

func testMessages(t *testing.T, a, b *Task) {
	const senders, each = 4, 200
	big := string(bytes.Repeat([]byte{0, 255, '\r', '\n', 0x80}, rtc.MaxMessageBytes/5))
	wantJoin(t, b, "receiver")
	for i := range senders {
		a.Join(site, rtc.PeerID("s"+strconv.Itoa(i)))
	}
	var group sync.WaitGroup
	for i := range senders {
		group.Go(func() {
			from := rtc.PeerID("s" + strconv.Itoa(i))
			for n := range each {
				message := fmt.Sprintf("%s %d", from, n)
				if n%50 == 0 {
					message += " " + big
				}
				if err := a.Send(t.Context(), from, "receiver", []byte(message)); err != nil {
					t.Errorf("send: %v", err)
				}
			}
		})
	}
	group.Wait()
	eventually.Equal(t, "all messages", senders*each, func() int { return len(b.Messages("receiver")) })
	next := map[string]int{}
	for _, message := range b.Messages("receiver") {
		parts := strings.SplitN(message, " ", 3)
		if parts[1] != strconv.Itoa(next[parts[0]]) {
			t.Fatalf("got message %s of %s, want %d", parts[1], parts[0], next[parts[0]])
		}
		if next[parts[0]]++; len(parts) == 3 && parts[2] != big {
			t.Errorf("message %s %s has changed on its way", parts[0], parts[1])
		}
	}
}

func testStrangers(t *testing.T, a, b *Task) {
	a.Join("plant-1", "p1")
	b.Join("plant-2", "p2")
	for _, to := range []rtc.PeerID{"p2", "nobody"} {
		if err := a.Send(t.Context(), "p1", to, []byte("x")); !errors.Is(err, hub.ErrUnknownPeer) {
			t.Errorf("send to %s: got error %v, want %v", to, err, hub.ErrUnknownPeer)
		}
	}
	if err := a.Send(t.Context(), "nobody", "p1", []byte("x")); !errors.Is(err, hub.ErrUnknownPeer) {
		t.Errorf("send from nobody: got error %v, want %v", err, hub.ErrUnknownPeer)
	}
	if got := append(a.Messages("p1"), b.Messages("p2")...); len(got) > 0 {
		t.Errorf("got messages %q, want none", got)
	}
}

// Who sees a peer join answers at once: the peer has got its list by then.
func testEntered(t *testing.T, a, b *Task) {
	const rounds = 30
	joined := make(chan rtc.PeerID, 2*rounds)
	b.OnPresence = func(e Event) {
		if e.State == rtc.StateJoined && e.Peer != "old" {
			joined <- e.Peer
		}
	}
	wantJoin(t, b, "old")
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		for range rounds {
			id := <-joined
			if err := b.Send(t.Context(), "old", id, []byte("welcome")); err != nil {
				t.Errorf("answer %s: %v", id, err)
			}
		}
	}()
	for i := range rounds {
		id := rtc.PeerID("n" + strconv.Itoa(i))
		entered := false
		err := a.Enter(t.Context(), site, hub.Peer{ID: id, Kind: rtc.Gateway, Name: "x"}, func([]hub.Peer) {
			entered = true
			if got := a.Messages(id); len(got) > 0 {
				t.Errorf("%s got %q before its list", id, got)
			}
			if got := a.States(site, id); got != "" {
				t.Errorf("%s was reported as %q before it got its list", id, got)
			}
		})
		if err != nil || !entered {
			t.Errorf("enter: got %v, entered %v", err, entered)
		}
		wantMessages(t, a, id, "welcome")
	}
	<-answered
}

func testMany(t *testing.T, a, b *Task) {
	wantJoin(t, a, "a")
	wantJoin(t, b, "b", "a")
	var group sync.WaitGroup
	want := []string{"a", "b"}
	for i := range 40 {
		task, id := a, rtc.PeerID(fmt.Sprintf("p%02d", i))
		if i%2 == 1 {
			task = b
		}
		state := []rtc.PresenceState{rtc.StateJoined, rtc.StateLeft, rtc.StateLost, rtc.StateBack}[i/2%4]
		switch state {
		case rtc.StateJoined, rtc.StateBack:
			want = append(want, string(id))
		case rtc.StateLost:
			want = append(want, string(id)+"*")
		case rtc.StateLeft:
		}
		group.Go(func() {
			task.Join(site, id)
			switch state {
			case rtc.StateLeft, rtc.StateLost:
				task.Gone(site, id, state, "")
			case rtc.StateBack:
				task.Gone(site, id, rtc.StateLost, "")
				task.Join(site, id)
			case rtc.StateJoined:
			}
		})
	}
	group.Wait()
	for _, task := range []*Task{a, b} {
		eventually.NoError(t, "everybody is known", func() error {
			if got := task.Members(site); !slices.Equal(got, want) {
				return fmt.Errorf("got %q, want %q", got, want)
			}
			return nil
		})
	}
	wantJoin(t, b, "last", want...)
}

func testBadChange(t *testing.T, a, _ *Task) {
	wantJoin(t, a, "p1")
	for _, state := range []rtc.PresenceState{"", rtc.StateJoined, rtc.StateBack, "gone"} {
		if err := a.Exit(t.Context(), site, "p1", hub.Change{State: state}); !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("exit with state %q: got error %v, want %v", state, err, telemetry.ErrInvalid)
		}
	}
	wantJoin(t, a, "p2", "p1")
}

func testEmpty(t *testing.T, a, b *Task) {
	for round := range 3 {
		wantJoin(t, a, "p1")
		wantJoin(t, b, "p2", "p1")
		eventually.Equal(t, "p2 is known", round+1, func() int { return strings.Count(a.States(site, "p2"), "joined") })
		a.Gone(site, "p1", rtc.StateLeft, "")
		eventually.Equal(t, "p1 has left", round+1, func() int { return strings.Count(b.States(site, "p1"), "left") })
		b.Gone(site, "p2", rtc.StateLeft, "")
	}
}

func testClosed(t *testing.T, a, _ *Task) {
	wantJoin(t, a, "p1")
	wantJoin(t, a, "p2", "p1")
	for range 2 {
		if err := a.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	ctx := context.Background()
	entered := func([]hub.Peer) { t.Error("entered was called") }
	for what, err := range map[string]error{
		"enter": a.Enter(ctx, site, hub.Peer{ID: "p3", Kind: rtc.Person}, entered),
		"exit":  a.Exit(ctx, site, "p1", hub.Change{State: rtc.StateLeft}),
		"send":  a.Send(ctx, "p1", "p2", []byte("x")),
	} {
		if !errors.Is(err, telemetry.ErrUnavailable) {
			t.Errorf("%s: got error %v, want %v", what, err, telemetry.ErrUnavailable)
		}
	}
}

func testCloseLoses(t *testing.T, a, b *Task) {
	if a == b {
		t.Skip("nobody is left to see it")
	}
	wantJoin(t, a, "p1")
	wantJoin(t, b, "p2", "p1")
	wantStates(t, a, "p2", "joined")
	if err := b.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	wantStates(t, a, "p2", "joined lost")
	if err := a.Send(t.Context(), "p1", "p2", []byte("x")); !errors.Is(err, telemetry.ErrUnavailable) {
		t.Errorf("send to a peer of a task that has ended: got error %v, want %v", err, telemetry.ErrUnavailable)
	}
}

func testMove(t *testing.T, tasks []*Task) {
	a, b := tasks[0], tasks[1]
	wantJoin(t, a, "old")
	wantJoin(t, a, "p1", "old")
	wantJoin(t, b, "p2", "old", "p1")
	wantStates(t, a, "p2", "joined")
	// p1 comes to the other task while the first still has it.
	wantJoin(t, b, "p1", "old", "p2")
	wantStates(t, a, "p1", "joined back")
	wantStates(t, b, "p1", "back")
	if err := a.Send(t.Context(), "old", "p1", []byte("there")); err != nil {
		t.Errorf("send: %v", err)
	}
	wantMessages(t, b, "p1", "there")
	// The first task's session ends late; that changes nothing.
	a.Gone(site, "p1", rtc.StateLost, "")
	a.Gone(site, "p1", rtc.StateLeft, "")
	wantJoin(t, a, "p3", "old", "p1", "p2")
	wantStates(t, b, "p3", "joined")
	wantStates(t, b, "p1", "back")
	if got := a.Messages("p1"); len(got) > 0 {
		t.Errorf("the first task got %q for p1", got)
	}
}

func testAgreement(t *testing.T, tasks []*Task) {
	random := rand.New(rand.NewPCG(1, 2))
	for i, task := range tasks {
		task.Join(site, rtc.PeerID("watcher"+strconv.Itoa(i)))
	}
	// Each peer moves between the tasks, as after drains and kills.
	var group sync.WaitGroup
	last := map[rtc.PeerID]string{}
	for i := range 12 {
		id := rtc.PeerID(fmt.Sprintf("p%02d", i))
		steps := make([]int, 15)
		for s := range steps {
			steps[s] = random.IntN(len(tasks))
		}
		end := random.IntN(3)
		last[id] = []string{"", string(id), string(id) + "*"}[end]
		group.Go(func() {
			for _, at := range steps {
				tasks[at].Join(site, id)
			}
			at := tasks[steps[len(steps)-1]]
			switch end {
			case 0:
				at.Gone(site, id, rtc.StateLeft, "")
			case 2:
				at.Gone(site, id, rtc.StateLost, "")
			}
		})
	}
	group.Wait()
	want := []string{}
	for i := range 12 {
		if name := last[rtc.PeerID(fmt.Sprintf("p%02d", i))]; name != "" {
			want = append(want, name)
		}
	}
	for i := range tasks {
		want = append(want, "watcher"+strconv.Itoa(i))
	}
	for i, task := range tasks {
		eventually.NoError(t, fmt.Sprintf("task %d knows everybody", i), func() error {
			if got := task.Members(site); !slices.Equal(got, want) {
				return fmt.Errorf("got %q, want %q", got, want)
			}
			return nil
		})
	}
}
