package bridge

import (
	"context"
	"strings"
	"testing"

	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/shardstate/shardstatetest"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// asked counts what is asked of a store of objects.
type asked struct {
	shardstate.Objects
	gets, puts int
	err        error // of gets
}

func (a *asked) GetTagged(ctx context.Context, key, known string) (body []byte, etag string, err error) {
	if a.gets++; a.err != nil {
		return nil, "", a.err
	}
	return a.Objects.GetTagged(ctx, key, known)
}

func (a *asked) PutIf(ctx context.Context, key string, body []byte, etag string) (string, error) {
	a.puts++
	return a.Objects.PutIf(ctx, key, body, etag)
}

// newTwo returns a bench over counted objects and a second process over the same.
func newTwo(t *testing.T) (b *bench, counts *asked, first, second *Handler) {
	t.Helper()
	counts = &asked{Objects: &shardstatetest.Memory{}}
	b = &bench{t: t, receiver: &notes{}, objects: counts}
	b.cold(nil)
	first = b.Handler
	b.cold(nil)
	return b, counts, first, b.Handler
}

func TestOnlyEffectsAskForTheState(t *testing.T) {
	b, counts, _, _ := newTwo(t)
	b.invoke("s 1 102 a:101:1")
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
		{"s 5 118 a:117:5", nil, 1, 0},                 // that there is nothing to do follows from the state, too
	} {
		counts.gets, counts.puts = 0, 0
		b.invoke(test.payload, test.want...)
		if counts.gets != test.gets || counts.puts != test.puts {
			t.Errorf("%s: %d gets and %d puts, want %d and %d", test.payload, counts.gets, counts.puts, test.gets, test.puts)
		}
	}
}

// TestShardsComeBack lets two processes have a shard in turns: the memory of each
// is an old state whenever its turn comes.
func TestShardsComeBack(t *testing.T) {
	b, _, first, second := newTwo(t)
	for _, turn := range []struct {
		by      *Handler
		payload string
		want    []string
	}{
		{first, "s 1 101 a:101:1", nil},
		{second, "s 2 102 a:102:2", nil},
		{first, "s 3 103 a:103:3", nil},                                  // found out when it is saved
		{second, "s 4 107 a:106:4", []string{"a@105=3"}},                 // found out before it is written
		{first, "s 3 103 a:103:3\ns 4 107 a:106:4", nil},                 // done by the other
		{second, "s 5 108 a:107:5", nil},                                 // its own memory is right
		{first, "s 5 108 a:107:5\ns 6 112 a:111:6", []string{"a@110=5"}}, // half of it done by the other
		{second, "s 7 118 a:117:7\ns 8 122 a:121:8", []string{"a@115=6", "a@120=7"}},
	} {
		b.Handler = turn.by
		b.invoke(turn.payload, turn.want...)
	}
	log := b.log.String()
	if n := strings.Count(log, "stale=true"); n != 2 {
		t.Errorf("%d invocations began with an old state, want 2: each process asks after its first", n)
	}
	if n := strings.Count(log, "level=INFO msg=bridged"); n != 8 {
		t.Errorf("%d of 8 invocations went well", n)
	}
}

func TestNothingIsWrittenUnconfirmed(t *testing.T) {
	b, counts, _, _ := newTwo(t)
	b.invoke("s 1 101 a:101:1")
	counts.err = telemetry.ErrUnavailable
	b.receiver.got = nil
	b.fail("s 2 107 a:106:2", telemetry.ErrUnavailable)
	b.fail("s 1 101 a:101:1", telemetry.ErrUnavailable) // nor skipped
	if len(b.receiver.got) > 0 {
		t.Errorf("wrote %v", b.receiver.got)
	}
	counts.err = nil
	b.invoke("s 2 107 a:106:2", "a@105=1")
}
