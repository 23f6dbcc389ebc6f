package shardstatetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// mode is how the consumers of a world go about their work.
type mode struct {
	compress bool
	// recall: invocations begin with the state that the process remembers.
	recall bool
	// streaming: effects are performed record by record, not after the last one.
	streaming bool
	// Wrong on purpose, to see it found: the state is saved before the effects are
	// performed; effects are performed though nobody has confirmed the state.
	saveFirst, unconfirmed bool
}

// world is a stream, a mapping that reads it, the processes that consume it and
// what they write to. Everything happens one step at a time.
type world struct {
	mode
	stream   *stream
	objects  *faulty
	sink     *sink
	warm     []*process
	progress map[int]int         // the mapping's: records done, by shard
	current  map[int]*invocation // whose success the mapping hears of
	begun    []*invocation
}

const processes = 3

func newWorld(objects shardstate.Objects, m mode) (*world, error) {
	w := &world{
		mode: m, stream: newStream(), objects: &faulty{Objects: objects}, sink: &sink{values: make(map[place]int64)},
		progress: make(map[int]int), current: make(map[int]*invocation),
	}
	for range processes {
		p, err := w.cold()
		if err != nil {
			return nil, err
		}
		w.warm = append(w.warm, p)
	}
	return w, nil
}

// cold starts a process.
func (w *world) cold() (*process, error) {
	store, err := shardstate.New(shardstate.Config[*sums]{
		Objects: w.objects, Lineage: w.stream, Codec: codec{}, Consumer: "sums", Stream: "telemetry", Compress: w.compress, CacheShards: 2,
	})
	return &process{world: w, store: store}, err
}

// close ends the invocations that are still running.
func (w *world) close() {
	for _, inv := range w.begun {
		inv.kill()
	}
}

// ready reports whether the mapping reads a shard: its parents are exhausted and it is not.
func (w *world) ready(i int) bool {
	for _, p := range w.stream.shards[i].parents {
		if !w.exhausted(p) {
			return false
		}
	}
	return w.progress[i] < len(w.stream.shards[i].records)
}

// exhausted reports whether a shard and its ancestors are done.
func (w *world) exhausted(i int) bool {
	sh := w.stream.shards[i]
	for _, p := range sh.parents {
		if !w.exhausted(p) {
			return false
		}
	}
	return sh.closed && w.progress[i] == len(sh.records)
}

// drain delivers what is left, size records at a time. A delivery may fail for
// what a zombie did, but not for ever.
func (w *world) drain(ctx context.Context, p *process, size int) error {
	for i := range w.stream.shards {
		failures := 0
		for w.ready(i) {
			err := w.deliver(p, i, w.progress[i], size).until(ctx, ended)
			if err != nil && (!errors.Is(err, telemetry.ErrConflict) || failures == 3) {
				return fmt.Errorf("drain: %w", err)
			}
			if err != nil {
				failures++
			}
		}
		if w.progress[i] != len(w.stream.shards[i].records) {
			return fmt.Errorf("shard %d is not read to its end", i)
		}
	}
	return nil
}

// finals returns the encoded states of the open shards, as their next invocation would find them.
func (w *world) finals(ctx context.Context) (map[shardstate.ShardID]*sums, error) {
	p, err := w.cold()
	if err != nil {
		return nil, err
	}
	out := make(map[shardstate.ShardID]*sums)
	for _, i := range w.stream.openShards() {
		id := w.stream.shards[i].id
		lease, err := p.store.Load(ctx, id)
		if err != nil {
			return nil, err
		}
		out[id] = lease.State
	}
	return out, nil
}

// check drains the stream and compares sink and states with those of a straight
// run, and both with what the records say.
func (w *world) check(ctx context.Context) error {
	p, err := w.cold()
	if err != nil {
		return err
	}
	if err := w.drain(ctx, p, 3); err != nil {
		return err
	}
	if w.sink.contradiction != nil {
		return w.sink.contradiction
	}
	got, err := w.finals(ctx)
	if err != nil {
		return err
	}
	straight, err := newWorld(&Memory{}, mode{})
	if err != nil {
		return err
	}
	defer straight.close()
	straight.stream = w.stream
	if p, err = straight.cold(); err != nil {
		return err
	}
	if err := straight.drain(ctx, p, 1); err != nil {
		return fmt.Errorf("straight run: %w", err)
	}
	want, err := straight.finals(ctx)
	if err != nil {
		return err
	}
	if a, b := mustJSON(got), mustJSON(want); a != b {
		return fmt.Errorf("the states are\n%s\nthose of the straight run\n%s", a, b)
	}
	if !maps.Equal(w.sink.values, straight.sink.values) {
		return fmt.Errorf("the sink holds\n%v\nthat of the straight run\n%v", w.sink.values, straight.sink.values)
	}
	return w.account(got)
}

// account finds each record once in the final states and each value in one window, open window or among the late.
func (w *world) account(finals map[shardstate.ShardID]*sums) error {
	want := make(map[string]*keySums)
	for _, r := range w.stream.all {
		if want[r.key] == nil {
			want[r.key] = &keySums{}
		}
		want[r.key].add(r.value)
	}
	for _, id := range slices.Sorted(maps.Keys(finals)) {
		for key, k := range finals[id].Keys {
			all := want[key]
			if all == nil || all.Count != k.Count || all.Total != k.Total || all.Chain != k.Chain {
				return fmt.Errorf("%s of %s is %+v, its records are %+v", key, id, k, all)
			}
			delete(want, key)
			placed := k.Late
			for _, sum := range k.Open {
				placed += sum
			}
			for p, sum := range w.sink.values {
				if p.key == key {
					placed += sum
				}
			}
			if placed != all.Total {
				return fmt.Errorf("%s: windows hold %d of %d", key, placed, all.Total)
			}
		}
	}
	if len(want) > 0 {
		return fmt.Errorf("%v are in no state", slices.Sorted(maps.Keys(want)))
	}
	return nil
}

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps and numbers
	}
	return string(b)
}
