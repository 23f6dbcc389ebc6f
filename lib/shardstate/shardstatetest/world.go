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

// world is a stream, a mapping that reads it, the processes that consume it and
// what they write to. Everything happens in one goroutine, one step at a time.
type world struct {
	stream    *stream
	objects   *faulty
	sink      *sink
	compress  bool
	saveFirst bool // the wrong order, to see it found
	// recall: states come from memory unasked, and are confirmed before the first effect.
	recall   bool
	hasty    bool // and are not, to see it found
	warm     []*shardstate.Store[*sums]
	progress map[int]int         // the mapping's: records done, by shard
	current  map[int]*invocation // whose success the mapping hears of
}

const processes = 3

func newWorld(objects shardstate.Objects) (*world, error) {
	w := &world{
		stream: newStream(), objects: &faulty{Objects: objects}, sink: &sink{values: make(map[place]int64)},
		progress: make(map[int]int), current: make(map[int]*invocation),
	}
	for range processes {
		store, err := w.cold()
		if err != nil {
			return nil, err
		}
		w.warm = append(w.warm, store)
	}
	return w, nil
}

// cold starts a process.
func (w *world) cold() (*shardstate.Store[*sums], error) {
	return shardstate.New(shardstate.Config[*sums]{
		Objects: w.objects, Lineage: w.stream, Codec: codec{}, Consumer: "sums", Stream: "telemetry", Compress: w.compress, CacheShards: 2,
	})
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

// stage is how far an invocation has come.
type stage int

const (
	toLoad stage = iota
	toFold
	toConfirm
	toEffect
	toSave
	ended
)

// invocation is one delivery of records of a shard to a process.
type invocation struct {
	world   *world
	store   *shardstate.Store[*sums]
	shard   int
	end     int // the delivery's, in the shard's records
	records []record

	stage   stage
	again   bool // from what is stored, after what was remembered was an old state
	lease   *shardstate.Lease[*sums]
	fresh   []record
	effects []effect
}

// deliver starts an invocation; whoever was at work on the shard is a zombie now.
func (w *world) deliver(store *shardstate.Store[*sums], shard, from, count int) *invocation {
	records := w.stream.shards[shard].records
	end := min(from+count, len(records))
	inv := &invocation{world: w, store: store, shard: shard, end: end, records: records[from:end]}
	w.current[shard] = inv
	return inv
}

// step does the next of what an invocation does. After an error it has ended and failed.
func (inv *invocation) step(ctx context.Context, f fault) (err error) {
	defer func() {
		inv.world.objects.next, inv.world.objects.deaf = noFault, false
		if errors.Is(err, shardstate.ErrStale) && !inv.again {
			inv.again, inv.stage, inv.effects, err = true, toLoad, nil, nil
		}
		if err != nil {
			inv.stage = ended
		}
	}()
	switch inv.stage {
	case toLoad:
		inv.world.objects.deaf = f == refused
		load := inv.store.Load
		if inv.world.recall && !inv.again {
			load = inv.store.Recall
		}
		inv.lease, err = load(ctx, inv.world.stream.shards[inv.shard].id)
		inv.stage = toFold
	case toFold:
		err = inv.fold()
	case toConfirm:
		inv.world.objects.deaf = f == refused
		inv.stage = toEffect
		if !inv.world.hasty {
			err = inv.lease.Confirm(ctx)
		}
	case toEffect:
		inv.world.sink.apply(inv.effects[0])
		if inv.effects = inv.effects[1:]; len(inv.effects) > 0 {
			return nil
		}
		inv.stage = toSave
		if inv.world.saveFirst {
			inv.finish()
		}
	case toSave:
		inv.world.objects.next = f
		if err = inv.lease.Save(ctx, inv.fresh[len(inv.fresh)-1].sequence); err != nil {
			return err
		}
		if inv.world.saveFirst && len(inv.effects) > 0 {
			inv.stage = toEffect
			return nil
		}
		inv.finish()
	case ended:
	}
	return err
}

func (inv *invocation) fold() error {
	var err error
	if inv.fresh, err = shardstate.Fresh(inv.lease.Watermark(), inv.records, sequenceOf); err != nil {
		return err
	}
	if len(inv.fresh) == 0 {
		inv.lease.Release()
		inv.finish()
		return nil
	}
	for _, r := range inv.fresh {
		inv.effects = append(inv.effects, inv.lease.State.fold(r)...)
	}
	inv.stage = toSave
	if len(inv.effects) > 0 && !inv.world.saveFirst {
		inv.stage = toConfirm
	}
	return nil
}

// finish reports success, which counts unless the mapping has given up waiting.
func (inv *invocation) finish() {
	inv.stage = ended
	if inv.world.current[inv.shard] == inv {
		inv.world.progress[inv.shard] = max(inv.world.progress[inv.shard], inv.end)
		delete(inv.world.current, inv.shard)
	}
}

// until steps an invocation up to a stage, without faults.
func (inv *invocation) until(ctx context.Context, s stage) error {
	for inv.stage < s {
		if err := inv.step(ctx, noFault); err != nil {
			return err
		}
	}
	return nil
}

// drain delivers what is left, size records at a time. A delivery may fail for
// what a zombie did, but not for ever.
func (w *world) drain(ctx context.Context, store *shardstate.Store[*sums], size int) error {
	for i := range w.stream.shards {
		failures := 0
		for w.ready(i) {
			err := w.deliver(store, i, w.progress[i], size).until(ctx, ended)
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
	store, err := w.cold()
	if err != nil {
		return nil, err
	}
	out := make(map[shardstate.ShardID]*sums)
	for _, i := range w.stream.openShards() {
		id := w.stream.shards[i].id
		lease, err := store.Load(ctx, id)
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
	store, err := w.cold()
	if err != nil {
		return err
	}
	if err := w.drain(ctx, store, 3); err != nil {
		return err
	}
	if w.sink.contradiction != nil {
		return w.sink.contradiction
	}
	got, err := w.finals(ctx)
	if err != nil {
		return err
	}
	straight, err := newWorld(&Memory{})
	if err != nil {
		return err
	}
	straight.stream = w.stream
	if store, err = straight.cold(); err != nil {
		return err
	}
	if err := straight.drain(ctx, store, 1); err != nil {
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
