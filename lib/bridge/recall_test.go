package bridge

import (
	"context"
	"strings"
	"testing"

	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/shardstate/shardstatetest"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// countedObjects counts the requests to an object store.
type countedObjects struct {
	shardstate.Objects
	gets, puts int
	err        error // of gets
}

func (o *countedObjects) GetTagged(ctx context.Context, key, known string) (body []byte, etag string, err error) {
	if o.gets++; o.err != nil {
		return nil, "", o.err
	}
	return o.Objects.GetTagged(ctx, key, known)
}

func (o *countedObjects) PutIf(ctx context.Context, key string, body []byte, etag string) (string, error) {
	o.puts++
	return o.Objects.PutIf(ctx, key, body, etag)
}

// newTwo returns a fixture over counted objects, and two processes that share them.
func newTwo(t *testing.T) (f *fixture, counts *countedObjects, first, second *Handler) {
	t.Helper()
	counts = &countedObjects{Objects: &shardstatetest.Memory{}}
	f = &fixture{t: t, receiver: &recorder{}, objects: counts}
	f.restart(nil)
	first = f.Handler
	f.restart(nil)
	return f, counts, first, f.Handler
}

func TestOnlyEffectsConfirmTheState(t *testing.T) {
	f, counts, _, _ := newTwo(t)
	f.invoke("s 1 102 a:101:1")
	for _, test := range []struct {
		payload string
		want    []string
		gets    int
		puts    int
	}{
		{"s 2 103 a:102:2", nil, 0, 1},
		{"s 3 107 a:106:3", []string{"a@105=2"}, 1, 1},
		{"s 4 108 a:107:4", nil, 0, 1},
		{"s 5 118 a:117:5", []string{"a@110=4"}, 1, 1}, // two windows, one of them empty
		{"s 5 118 a:117:5", nil, 1, 0},                 // skipping all records depends on the state, too
	} {
		counts.gets, counts.puts = 0, 0
		f.invoke(test.payload, test.want...)
		if counts.gets != test.gets || counts.puts != test.puts {
			t.Errorf("%s: got %d gets and %d puts, want %d and %d", test.payload, counts.gets, counts.puts, test.gets, test.puts)
		}
	}
}

// TestShardAlternatesBetweenProcesses runs the invocations of a shard in two processes
// in turn, so that the state in memory is stale at the start of each turn.
func TestShardAlternatesBetweenProcesses(t *testing.T) {
	f, _, first, second := newTwo(t)
	for _, turn := range []struct {
		by      *Handler
		payload string
		want    []string
	}{
		{first, "s 1 101 a:101:1", nil},
		{second, "s 2 102 a:102:2", nil},
		{first, "s 3 103 a:103:3", nil},                                  // detected by Save
		{second, "s 4 107 a:106:4", []string{"a@105=3"}},                 // detected by Confirm, before the write
		{first, "s 3 103 a:103:3\ns 4 107 a:106:4", nil},                 // already done by the other process
		{second, "s 5 108 a:107:5", nil},                                 // its state in memory is the stored one
		{first, "s 5 108 a:107:5\ns 6 112 a:111:6", []string{"a@110=5"}}, // one of two done by the other process
		{second, "s 7 118 a:117:7\ns 8 122 a:121:8", []string{"a@115=6", "a@120=7"}},
	} {
		f.Handler = turn.by
		f.invoke(turn.payload, turn.want...)
	}
	log := f.log.String()
	if n := strings.Count(log, "stale=true"); n != 2 {
		t.Errorf("got %d invocations with a stale state, want 2: each process loads after its first", n)
	}
	if n := strings.Count(log, "level=INFO msg=bridged"); n != 8 {
		t.Errorf("got %d invocations logged as bridged, want 8", n)
	}
}

func TestNothingIsWrittenWithoutConfirmation(t *testing.T) {
	f, counts, _, _ := newTwo(t)
	f.invoke("s 1 101 a:101:1")
	counts.err = telemetry.ErrUnavailable
	f.receiver.got = nil
	f.fail("s 2 107 a:106:2", telemetry.ErrUnavailable)
	f.fail("s 1 101 a:101:1", telemetry.ErrUnavailable) // nor are records skipped
	if len(f.receiver.got) > 0 {
		t.Errorf("got written %v, want nothing", f.receiver.got)
	}
	counts.err = nil
	f.invoke("s 2 107 a:106:2", "a@105=1")
}
