package shardstatetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/insighthub/insighthub/lib/shardstate"
)

// Choose returns a number from 0 to n-1; label names the choice.
type Choose func(label string, n int) int

// Random runs the reference consumer over objects, which must be empty, with faults that
// choose selects: invocations overlap, end at any step, are redelivered in other batches,
// their saves fail in every way, shards split and merge. The error says how the outcome
// differs from that of an uninterrupted run.
func Random(ctx context.Context, objects shardstate.Objects, steps int, choose Choose) error {
	m := mode{compress: choose("compress", 2) == 1, recall: choose("recall", 2) == 1, streaming: choose("streaming", 2) == 1}
	return random(ctx, objects, m, steps, choose)
}

const maxShards = 12

func random(ctx context.Context, objects shardstate.Objects, how mode, steps int, choose Choose) error {
	w, err := newWorld(objects, how)
	if err != nil {
		return err
	}
	defer w.close()
	m := chaos{world: w, choose: choose}
	for range steps {
		if err := m.act(ctx); err != nil {
			return err
		}
	}
	// Some zombies continue after the last record was processed.
	p, err := w.cold()
	if err != nil {
		return err
	}
	if err := w.drain(ctx, p, 5); err != nil {
		return err
	}
	for _, inv := range m.running {
		_ = inv.until(ctx, ended)
	}
	for len(w.objects.pending) > 0 {
		w.objects.apply(ctx, 0)
	}
	return w.check(ctx)
}

// chaos performs random actions and faults.
type chaos struct {
	world   *world
	choose  Choose
	running []*invocation
}

func (m *chaos) act(ctx context.Context) error {
	w := m.world
	switch action := m.choose("action", 16); {
	case action < 3:
		for range 1 + m.choose("records", 6) {
			key := fmt.Sprintf("gw-%d", m.choose("key", 6))
			w.stream.put(key, 1+int64(m.choose("value", 50)), int64(m.choose("after", 400)), int64(m.choose("late", 2000)))
		}
	case action < 6:
		return m.deliver()
	case action < 12:
		m.step(ctx)
	case action < 13:
		if len(m.running) > 0 { // killed
			i := m.choose("victim", len(m.running))
			m.running[i].kill()
			m.running = slices.Delete(m.running, i, i+1)
		}
	case action < 14:
		if n := len(w.objects.pending); n > 0 {
			w.objects.apply(ctx, m.choose("pending", n))
		}
	case action < 15:
		m.reshard()
	default:
		p, err := w.cold()
		if err != nil {
			return err
		}
		w.warm[m.choose("process", len(w.warm))] = p
	}
	return nil
}

// deliver starts an invocation of a shard that is ready, perhaps with records that are done.
func (m *chaos) deliver() error {
	w := m.world
	var ready []int
	for i := range w.stream.shards {
		if w.ready(i) {
			ready = append(ready, i)
		}
	}
	if len(ready) == 0 {
		return nil
	}
	shard := ready[m.choose("shard", len(ready))]
	from := max(0, w.progress[shard]-max(0, m.choose("redelivered", 12)-6))
	p := w.warm[m.choose("process", len(w.warm))]
	m.running = append(m.running, w.deliver(p, shard, from, 1+m.choose("size", 12)))
	return nil
}

// step continues an invocation, which may fail.
func (m *chaos) step(ctx context.Context) {
	if len(m.running) == 0 {
		return
	}
	i := m.choose("invocation", len(m.running))
	inv := m.running[i]
	for range 1 + m.choose("steps", 5) {
		f := noFault
		if inv.stage == toSave || inv.stage == toLoad || inv.stage == toConfirm {
			f = fault(max(0, m.choose("fault", 2*int(faults))-int(faults)))
		}
		if err := inv.step(ctx, f); err != nil || inv.stage == ended {
			m.running = slices.Delete(m.running, i, i+1)
			return
		}
	}
}

func (m *chaos) reshard() {
	w := m.world
	if len(w.stream.shards) >= maxShards {
		return
	}
	open := w.stream.openShards()
	shard := open[m.choose("reshard", len(open))]
	if m.choose("merge", 2) == 0 || !w.stream.merge(shard) {
		w.stream.split(shard)
	}
}

// Seeded returns a Choose that is deterministic for a seed.
func Seeded(seed uint64) Choose {
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's schedule
	return func(_ string, n int) int { return r.IntN(n) }
}
