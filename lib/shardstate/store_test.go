package shardstate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/shardstate/shardstatetest"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// raw is a codec whose states are bytes; it counts the states that it decodes.
type raw struct{ decoded int }

func (*raw) Append(dst, state []byte) ([]byte, error) { return append(dst, state...), nil }

func (r *raw) Decode(encoded []byte) ([]byte, error) {
	r.decoded++
	return encoded, nil
}

func (*raw) Inherit(shard shardstate.Shard, parents []shardstate.Parent[[]byte]) ([]byte, error) {
	out := []byte(shard.ID)
	for _, p := range parents {
		out = fmt.Appendf(out, "(%s@%s=%s)", p.Shard, p.Watermark, p.State)
	}
	return out, nil
}

// tree is a lineage: parents by shard. A shard that is not in it has expired.
type tree map[string][]string

func (l tree) Shard(_ context.Context, id string) (parents []string, first, last string, err error) {
	parents, ok := l[id]
	if !ok {
		return nil, "", "", fmt.Errorf("%s: %w", id, telemetry.ErrNotFound)
	}
	return parents, "0", "9", nil
}

// counted counts the responses to reads, with a body and without one.
type counted struct {
	shardstate.Objects

	bodies, heads int
}

func (c *counted) GetTagged(ctx context.Context, key, known string) (body []byte, etag string, err error) {
	body, etag, err = c.Objects.GetTagged(ctx, key, known)
	if body != nil {
		c.bodies++
	} else if err == nil {
		c.heads++
	}
	return body, etag, err
}

func config(objects shardstate.Objects, lineage shardstate.Lineage) shardstate.Config[[]byte] {
	return shardstate.Config[[]byte]{Objects: objects, Lineage: lineage, Codec: &raw{}, Consumer: "bridge", Stream: "telemetry"}
}

func open(t *testing.T, cfg shardstate.Config[[]byte]) *shardstate.Store[[]byte] {
	t.Helper()
	s, err := shardstate.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func load(t *testing.T, s *shardstate.Store[[]byte], shard shardstate.ShardID) *shardstate.Lease[[]byte] {
	t.Helper()
	l, err := s.Load(t.Context(), shard)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func save(t *testing.T, s *shardstate.Store[[]byte], shard shardstate.ShardID, watermark shardstate.Sequence, state string) {
	t.Helper()
	l := load(t, s, shard)
	l.State = []byte(state)
	if err := l.Save(t.Context(), watermark); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, l *shardstate.Lease[[]byte], watermark shardstate.Sequence, state string) {
	t.Helper()
	if l.Watermark() != watermark || string(l.State) != state {
		t.Errorf("got %q at %q, want %q at %q", l.State, l.Watermark(), state, watermark)
	}
}

func recall(t *testing.T, s *shardstate.Store[[]byte]) *shardstate.Lease[[]byte] {
	t.Helper()
	l, err := s.Recall(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestRecallMakesNoRequest(t *testing.T) {
	objects := &counted{Objects: &shardstatetest.Memory{}}
	a, b := open(t, config(objects, tree{"s": nil})), open(t, config(objects, tree{"s": nil}))
	save(t, a, "s", "1", "one")
	l := recall(t, a)
	want(t, l, "1", "one")
	if objects.bodies+objects.heads != 0 {
		t.Errorf("got %d requests, want 0", objects.bodies+objects.heads)
	}
	for range 2 {
		if err := l.Confirm(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if objects.heads != 1 {
		t.Errorf("got %d requests, want 1", objects.heads)
	}
	l.Release()

	// Confirm detects a stale state, and the next calls of Recall load.
	save(t, b, "s", "2", "two")
	l = recall(t, a)
	want(t, l, "1", "one")
	if err := l.Confirm(t.Context()); !errors.Is(err, shardstate.ErrStale) || !errors.Is(err, telemetry.ErrConflict) {
		t.Errorf("confirm: got %v, want ErrStale", err)
	}
	if err := l.Save(t.Context(), "2"); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("save of an ended lease: got %v, want telemetry.ErrInvalid", err)
	}
	recall(t, a).Release()
	objects.heads = 0
	const loads = 30
	for range loads + 5 {
		l := recall(t, a)
		want(t, l, "2", "two")
		l.Release()
	}
	if objects.heads != loads {
		t.Errorf("got %d requests, want %d", objects.heads, loads)
	}

	// Save detects it, too, and writes nothing.
	save(t, b, "s", "3", "three")
	l = recall(t, a)
	l.State = []byte("lost")
	if err := l.Save(t.Context(), "4"); !errors.Is(err, shardstate.ErrStale) {
		t.Errorf("save: got %v, want ErrStale", err)
	}
	want(t, load(t, b, "s"), "3", "three")
	want(t, recall(t, a), "3", "three")
}

func TestLoadUsesTheCachedState(t *testing.T) {
	objects := &counted{Objects: &shardstatetest.Memory{}}
	a, b := open(t, config(objects, tree{"s": nil})), open(t, config(objects, tree{"s": nil}))
	save(t, a, "s", "1", "one")
	l := load(t, a, "s")
	want(t, l, "1", "one")
	l.Release()
	want(t, load(t, a, "s"), "1", "one")
	if objects.bodies != 0 || objects.heads != 2 {
		t.Errorf("got %d responses with a body and %d without, want 0 and 2", objects.bodies, objects.heads)
	}
	// That lease was dropped and may have been changed: the stored state is read.
	want(t, load(t, a, "s"), "1", "one")
	if objects.bodies != 1 {
		t.Errorf("got %d bodies, want 1", objects.bodies)
	}
	save(t, b, "s", "2", "two")
	want(t, load(t, a, "s"), "2", "two")
}

func TestCacheIsLimited(t *testing.T) {
	objects := &counted{Objects: &shardstatetest.Memory{}}
	cfg := config(objects, tree{"a": nil, "b": nil, "c": nil})
	cfg.CacheShards = 2
	s := open(t, cfg)
	for i, shard := range []shardstate.ShardID{"a", "b", "a", "c"} { // b is dropped
		save(t, s, shard, shardstate.Sequence(fmt.Sprint(i)), string(shard))
	}
	for _, shard := range []shardstate.ShardID{"a", "c"} {
		load(t, s, shard).Release()
	}
	if objects.bodies != 0 {
		t.Errorf("got %d bodies of cached states, want 0", objects.bodies)
	}
	load(t, s, "b").Release()
	if objects.bodies != 1 {
		t.Errorf("got %d bodies, want 1, of the dropped state", objects.bodies)
	}
}

func TestInherit(t *testing.T) {
	objects := &shardstatetest.Memory{}
	lineage := tree{"a": nil, "b": {"a"}, "c": {"a"}, "d": {"b", "c"}, "e": {"gone"}, "f": {"stored"}, "g": {"e"}}
	s := open(t, config(objects, lineage))
	l := load(t, s, "a")
	want(t, l, "", "a")
	l.Release()
	want(t, load(t, s, "d"), "", "d") // no ancestor has a state
	save(t, s, "a", "5", "A")
	want(t, load(t, s, "b"), "", "b(a@5=A)")
	save(t, s, "b", "7", "B")
	want(t, load(t, s, "d"), "", "d(b@7=B)(c@=c(a@5=A))")
	want(t, load(t, s, "e"), "", "e")
	want(t, load(t, s, "g"), "", "g")
	lineage["stored"] = nil
	save(t, s, "stored", "3", "S")
	delete(lineage, "stored") // expired from the stream, but its state is stored
	want(t, load(t, s, "f"), "", "f(stored@3=S)")
	if _, err := s.Load(t.Context(), "unknown"); !errors.Is(err, telemetry.ErrNotFound) {
		t.Errorf("unknown shard: got %v, want telemetry.ErrNotFound", err)
	}
	lineage["x"], lineage["y"] = []string{"y"}, []string{"x"}
	if _, err := s.Load(t.Context(), "x"); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("shard that is its own ancestor: got %v, want telemetry.ErrInvalid", err)
	}
}

func TestSaveRejects(t *testing.T) {
	cfg := config(&shardstatetest.Memory{}, tree{"s": nil})
	cfg.MaxStateBytes = 10
	s := open(t, cfg)
	save(t, s, "s", "9", "nine")
	l := load(t, s, "s")
	for _, watermark := range []shardstate.Sequence{"", "x", "8", "9"} {
		if err := l.Save(t.Context(), watermark); !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("at %q: got %v, want telemetry.ErrInvalid", watermark, err)
		}
	}
	if err := l.Save(t.Context(), "10"); err != nil {
		t.Fatal(err)
	}
	if err := l.Save(t.Context(), "11"); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("ended lease: got %v, want telemetry.ErrInvalid", err)
	}
	l = load(t, s, "s")
	l.State = bytes.Repeat([]byte("x"), 11)
	if err := l.Save(t.Context(), "12"); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("state too large: got %v, want telemetry.ErrInvalid", err)
	}
	l = load(t, s, "s")
	want(t, l, "10", "nine")
	cfg.Rand = strings.NewReader("")
	save(t, s, "s", "13", "ok")
	if err := load(t, open(t, cfg), "s").Save(t.Context(), "14"); err == nil {
		t.Error("saved without a nonce, want an error")
	}
}

func TestLoadRejects(t *testing.T) {
	objects := &shardstatetest.Memory{}
	s := open(t, config(objects, tree{"s": nil}))
	if _, err := objects.PutIf(t.Context(), s.Key("s"), []byte("not a state, but as long as one"), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(t.Context(), "s"); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("damaged object: got %v, want telemetry.ErrInvalid", err)
	}
	for _, shard := range []shardstate.ShardID{"", "a/b"} {
		if _, err := s.Load(t.Context(), shard); !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("shard %q: got %v, want telemetry.ErrInvalid", shard, err)
		}
	}
}

func TestConfig(t *testing.T) {
	_, err := shardstate.New(shardstate.Config[[]byte]{Consumer: "a/b", CacheShards: -1, MaxStateBytes: -1})
	want := `shardstate: invalid: consumer "a/b"
stream ""
state bytes: want 1 to 2 GiB, got -1
cached shards: want at least 1, got -1`
	if !errors.Is(err, telemetry.ErrInvalid) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestHashRange(t *testing.T) {
	// MD5 of "gw-1" is 0xc3ff…; the ends are included.
	whole := shardstate.WholeRange()
	for _, key := range []string{"", "gw-1", "gw-2"} {
		if !whole.Contains(key) {
			t.Errorf("%q is not in the whole range", key)
		}
	}
	const half = "170141183460469231731687303715884105728"
	low, err := shardstate.ParseHashRange("0", "170141183460469231731687303715884105727")
	if err != nil {
		t.Fatal(err)
	}
	high, err := shardstate.ParseHashRange(half, "340282366920938463463374607431768211455")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if key := fmt.Sprint("gw-", i); low.Contains(key) == high.Contains(key) {
			t.Errorf("%q is in both halves or in neither", key)
		}
	}
	// The empty key's MD5 is d41d8cd98f00b204e9800998ecf8427e, in decimal:
	const (
		previous = "281949768489412648962353822266799178365"
		empty    = "281949768489412648962353822266799178366"
		next     = "281949768489412648962353822266799178367"
	)
	for _, tc := range []struct {
		first, last string
		want        bool
	}{{empty, empty, true}, {"0", empty, true}, {"0", previous, false}, {empty, next, true}, {next, next, false}} {
		r, err := shardstate.ParseHashRange(tc.first, tc.last)
		if err != nil || r.Contains("") != tc.want {
			t.Errorf("%s to %s: got error %v, or not %t", tc.first, tc.last, err, tc.want)
		}
	}
	for _, bad := range [][2]string{
		{"", "1"},
		{"-1", "1"},
		{"2", "1"},
		{"0", "340282366920938463463374607431768211456"},
		{"0", strings.Repeat("9", 1000)},
		{"0x1", "5"},
	} {
		if _, err := shardstate.ParseHashRange(bad[0], bad[1]); !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("%q: got %v, want telemetry.ErrInvalid", bad, err)
		}
	}
}

// free is objects of one body that accept every put and copy nothing.
type free struct{ body []byte }

func (o *free) GetTagged(_ context.Context, _, known string) (body []byte, etag string, err error) {
	if known == "e" {
		return nil, "e", nil
	}
	return o.body, "e", nil
}

func (o *free) PutIf(_ context.Context, _ string, body []byte, _ string) (string, error) {
	o.body = body
	return "e", nil
}

// series returns a state of 4 MB that compresses about as well as floating-point numbers.
func series() []byte {
	r := rand.New(rand.NewPCG(1, 2))
	state := make([]byte, 4<<20)
	for i := 0; i < len(state); i += 8 {
		copy(state[i:], []byte{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), 0, 0, 0, 0x40, 0x50})
	}
	return state
}

func BenchmarkState(b *testing.B) {
	state := series()
	for _, compress := range []bool{false, true} {
		cfg := config(&free{}, tree{"s": nil})
		cfg.Compress = compress
		var watermark uint64 = 1e18
		cycle := func(b *testing.B, s *shardstate.Store[[]byte]) {
			b.Helper()
			l, err := s.Load(b.Context(), "s")
			if err != nil {
				b.Fatal(err)
			}
			watermark++
			l.State = state
			if err := l.Save(b.Context(), shardstate.Sequence(fmt.Sprint(watermark))); err != nil {
				b.Fatal(err)
			}
		}
		var size int
		prepare := func(b *testing.B) *shardstate.Store[[]byte] {
			b.Helper()
			cfg.Objects = &free{body: nil}
			first := config(&shardstatetest.Memory{}, tree{"s": nil})
			first.Compress = compress
			s, err := shardstate.New(first)
			if err != nil {
				b.Fatal(err)
			}
			cycle(b, s)
			body, _, err := first.Objects.GetTagged(b.Context(), s.Key("s"), "")
			if err != nil {
				b.Fatal(err)
			}
			cfg.Objects = &free{body: body}
			if s, err = shardstate.New(cfg); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(state)))
			b.ReportAllocs()
			size = len(body)
			return s
		}
		b.Run(fmt.Sprintf("warm load and save/zstd=%t", compress), func(b *testing.B) {
			s := prepare(b)
			for b.Loop() {
				cycle(b, s)
			}
			b.ReportMetric(float64(size), "object-B")
		})
		b.Run(fmt.Sprintf("cold load/zstd=%t", compress), func(b *testing.B) {
			s := prepare(b)
			for b.Loop() {
				if _, err := s.Load(b.Context(), "s"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
