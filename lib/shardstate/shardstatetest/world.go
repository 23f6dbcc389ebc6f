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

// mode selects how the consumers of a world run.
type mode struct {
	compress bool
	// recall: invocations begin with the cached state.
	recall bool
	// streaming: effects are performed after each record, not after the last one.
	streaming bool
	// Deliberate faults, which the suite must detect: the state is saved before the
	// effects are performed; effects are performed without confirming the state.
	saveFirst, unconfirmed bool
}

// world is a stream, an event source mapping that reads it, the processes that consume
// it, and the object store and sink that they write to. It runs one step at a time.
type world struct {
	mode
	stream   *stream
	objects  *faulty
	sink     *sink
	warm     []*process
	progress map[int]int         // records that the mapping has seen done, by shard
	current  map[int]*invocation // whose outcome the mapping waits for, by shard
	begun    []*invocation
}

const processes = 3

func newWorld(objects shardstate.Objects, m mode) (*world, error) {
	w := &world{
		mode: m, stream: newStream(), objects: &faulty{Objects: objects}, sink: &sink{values: make(map[target]int64)},
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

// ready reports whether the mapping reads a shard: its parents are exhausted, and it is not.
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

// drain delivers the remaining records, size at a time. A delivery may fail because a
// zombie has saved, but not repeatedly.
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
			return fmt.Errorf("shard %d is not exhausted", i)
		}
	}
	return nil
}

// finals returns the states of the open shards, as their next invocation would load them.
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

// check drains the stream and compares sink and states with those of an uninterrupted
// run, and both with the records.
func (w *world) check(ctx context.Context) error {
	p, err := w.cold()
	if err != nil {
		return err
	}
	if err := w.drain(ctx, p, 3); err != nil {
		return err
	}
	if w.sink.conflict != nil {
		return w.sink.conflict
	}
	got, err := w.finals(ctx)
	if err != nil {
		return err
	}
	reference, err := newWorld(&Memory{}, mode{})
	if err != nil {
		return err
	}
	defer reference.close()
	reference.stream = w.stream
	if p, err = reference.cold(); err != nil {
		return err
	}
	if err := reference.drain(ctx, p, 1); err != nil {
		return fmt.Errorf("uninterrupted run: %w", err)
	}
	want, err := reference.finals(ctx)
	if err != nil {
		return err
	}
	if a, b := mustJSON(got), mustJSON(want); a != b {
		return fmt.Errorf("got states\n%s\nwant those of the uninterrupted run\n%s", a, b)
	}
	if !maps.Equal(w.sink.values, reference.sink.values) {
		return fmt.Errorf("got sink\n%v\nwant that of the uninterrupted run\n%v", w.sink.values, reference.sink.values)
	}
	return w.account(got)
}

// account checks that each record is in the final states once, and each value in one
// closed window, one open window or the late values.
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
				return fmt.Errorf("%s of %s: got %+v, want %+v as its records", key, id, k, all)
			}
			delete(want, key)
			sum := k.Late
			for _, value := range k.Open {
				sum += value
			}
			for t, value := range w.sink.values {
				if t.key == key {
					sum += value
				}
			}
			if sum != all.Total {
				return fmt.Errorf("%s: got a sum of %d in all windows, want %d", key, sum, all.Total)
			}
		}
	}
	if len(want) > 0 {
		return fmt.Errorf("keys %v are in no state", slices.Sorted(maps.Keys(want)))
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
