package shardstatetest

import (
	"context"
	"encoding/binary"
	"errors"
	"iter"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/shardstate"
	consumers "github.com/insighthub/insighthub/lib/stream"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// stage is the next step of an invocation.
type stage int

const (
	toLoad stage = iota
	toFold
	toConfirm
	toEffect
	toSave
	ended
)

// process is an execution environment of the consumer.
type process struct {
	world *world
	store *shardstate.Store[*sums]
	// idle are the workers that can run the next invocation. Lambda runs one invocation
	// of a process at a time; here one that has timed out may continue while the next
	// runs, and both share the cached states.
	idle []*worker
}

// worker is the consumer under a lib/stream.Runner, which pauses before each step.
type worker struct {
	process *process
	runner  *consumers.Runner[*sums]
	pause   func(stage) error // of the invocation
	late    []effect          // performed after the state was saved, in mode saveFirst
}

var (
	_ consumers.Consumer[*sums] = (*worker)(nil)
	_ consumers.States[*sums]   = (*worker)(nil)
)

func (p *process) worker() (*worker, error) {
	if n := len(p.idle); n > 0 {
		w := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return w, nil
	}
	w := &worker{process: p}
	var err error
	w.runner, err = consumers.NewRunner(consumers.RunnerConfig[*sums]{
		Name: "sums", Done: "summed", Consumer: w, Source: source{p.world.stream}, Decoder: source{p.world.stream},
		States: w, Recall: p.world.recall,
		Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	return w, err
}

// Load implements stream.States.
func (w *worker) Load(ctx context.Context, shard shardstate.ShardID) (*shardstate.Lease[*sums], error) {
	if err := w.pause(toLoad); err != nil {
		return nil, err
	}
	return w.process.store.Load(ctx, shard)
}

// Recall implements stream.States.
func (w *worker) Recall(ctx context.Context, shard shardstate.ShardID) (*shardstate.Lease[*sums], error) {
	if err := w.pause(toLoad); err != nil {
		return nil, err
	}
	return w.process.store.Recall(ctx, shard)
}

// Begin implements stream.Consumer.
func (w *worker) Begin(context.Context, shardstate.ShardID) { w.late = nil }

// Fold implements stream.Consumer.
func (w *worker) Fold(ctx context.Context, a *consumers.Attempt[*sums]) error {
	if err := w.pause(toFold); err != nil {
		return err
	}
	var effects []effect
	err := a.Each(ctx, func(b *telemetry.Batch, arrival telemetry.Micros) {
		effects = append(effects, a.State.fold(recordOf(b, arrival))...)
	}, func(*telemetry.Record) error {
		if !w.process.world.streaming {
			return nil
		}
		defer func() { effects = nil }()
		return w.perform(ctx, a, effects)
	})
	if err != nil {
		return err
	}
	if err := w.perform(ctx, a, effects); err != nil {
		return err
	}
	return w.pause(toSave)
}

func (w *worker) perform(ctx context.Context, a *consumers.Attempt[*sums], effects []effect) error {
	if len(effects) == 0 {
		return nil
	}
	if w.process.world.saveFirst {
		w.late = append(w.late, effects...)
		return nil
	}
	if err := w.pause(toConfirm); err != nil {
		return err
	}
	if w.process.world.unconfirmed {
		return w.apply(effects)
	}
	return a.Perform(ctx, func(context.Context) error { return w.apply(effects) })
}

func (w *worker) apply(effects []effect) error {
	for _, e := range effects {
		if err := w.pause(toEffect); err != nil {
			return err
		}
		w.process.world.sink.apply(e)
	}
	return nil
}

// Report implements stream.Consumer.
func (w *worker) Report(attrs []slog.Attr, _ *consumers.Attempt[*sums], err error) []slog.Attr {
	if err == nil {
		_ = w.apply(w.late)
	}
	return attrs
}

// invocation is one delivery of records of a shard to a process.
type invocation struct {
	world *world
	shard int
	end   int // the delivery's, in the shard's records

	stage stage
	ctx   context.Context // of the first step
	// next runs the invocation to its next pause, and reports false when it has
	// returned; err is then its error.
	next func() (stage, bool)
	kill func()
	err  error
}

var errKilled = errors.New("the invocation was killed")

// deliver starts an invocation; a running one of the shard becomes a zombie.
func (w *world) deliver(p *process, shard, from, count int) *invocation {
	end := min(from+count, len(w.stream.shards[shard].records))
	inv := &invocation{world: w, shard: shard, end: end}
	inv.next, inv.kill = iter.Pull(func(yield func(stage) bool) {
		worker, err := p.worker()
		if err != nil {
			inv.err = err
			return
		}
		worker.pause = func(s stage) error {
			if !yield(s) {
				return errKilled
			}
			return nil
		}
		_, inv.err = worker.runner.Invoke(inv.ctx, encodeNumbers(shard, from, end))
		p.idle = append(p.idle, worker)
	})
	w.begun = append(w.begun, inv)
	w.current[shard] = inv
	return inv
}

// step continues the invocation up to its next stage, with a fault of the objects.
// An error means that the invocation has failed.
func (inv *invocation) step(ctx context.Context, f fault) error {
	objects := inv.world.objects
	if inv.ctx == nil {
		inv.ctx = ctx
		if _, running := inv.next(); !running {
			return inv.ended() // there was nothing to load
		}
	}
	switch inv.stage {
	case toLoad, toConfirm:
		objects.unreadable = f == notApplied
	case toSave:
		objects.next = f
	case toFold, toEffect, ended:
	}
	s, running := inv.next()
	objects.next, objects.unreadable = noFault, false
	if !running {
		return inv.ended()
	}
	inv.stage = s
	return nil
}

// ended reports the invocation's outcome to the mapping, which ignores that of a zombie.
func (inv *invocation) ended() error {
	inv.stage = ended
	if inv.err == nil && inv.world.current[inv.shard] == inv {
		inv.world.progress[inv.shard] = max(inv.world.progress[inv.shard], inv.end)
		delete(inv.world.current, inv.shard)
	}
	return inv.err
}

// until continues an invocation up to a stage, without faults.
func (inv *invocation) until(ctx context.Context, s stage) error {
	for inv.stage < s {
		if err := inv.step(ctx, noFault); err != nil {
			return err
		}
	}
	return nil
}

// recordOf returns the record from which a batch was decoded.
func recordOf(b *telemetry.Batch, arrival telemetry.Micros) record {
	return record{key: string(b.Gateway), value: int64(b.Value[0]), at: int64(b.Time[0] / 1000), arrival: int64(arrival / 1000)}
}

// source decodes payloads of a shard and the range of its records, and messages of a
// shard and one record.
type source struct{ *stream }

var (
	_ consumers.Source  = source{}
	_ consumers.Decoder = source{}
)

func encodeNumbers(numbers ...int) (encoded []byte) {
	for _, n := range numbers {
		encoded = binary.BigEndian.AppendUint32(encoded, uint32(n))
	}
	return encoded
}

func numberAt(encoded []byte, i int) int { return int(binary.BigEndian.Uint32(encoded[4*i:])) }

func (s source) Records(dst []telemetry.Record, payload []byte) ([]telemetry.Record, error) {
	shard := numberAt(payload, 0)
	for i := numberAt(payload, 1); i < numberAt(payload, 2); i++ {
		r := &s.shards[shard].records[i]
		dst = append(dst, telemetry.Record{
			Shard: s.shards[shard].id, SequenceNumber: r.sequence, Arrival: time.UnixMilli(r.arrival), Data: encodeNumbers(shard, i),
		})
	}
	return dst, nil
}

func (source) Messages(dst [][]byte, data []byte) ([][]byte, error) { return append(dst, data), nil }

func (source) Response(telemetry.Sequence) []byte { return nil }

func (s source) Decode(message []byte, into *telemetry.Batch) error {
	r := &s.shards[numberAt(message, 0)].records[numberAt(message, 1)]
	into.Reset()
	into.Gateway = telemetry.GatewayID(r.key)
	into.Append(telemetry.Event{Device: "d", Metric: "m", Time: telemetry.Micros(r.at) * 1000, Value: float64(r.value)})
	return nil
}
