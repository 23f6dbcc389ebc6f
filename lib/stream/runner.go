package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/lambda/deadline"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// States loads the states of shards. Recall may return a stale one, which Confirm or
// Save of the lease detects.
type States[S any] interface {
	Recall(ctx context.Context, shard shardstate.ShardID) (*shardstate.Lease[S], error)
	Load(ctx context.Context, shard shardstate.ShardID) (*shardstate.Lease[S], error)
}

// Consumer processes the records of a shard: a fold over its state, and the effects that
// follow. The Runner calls it for one invocation at a time. See lib/shardstate for what
// a consumer must guarantee.
type Consumer[S any] interface {
	// Begin is called before an attempt's state is loaded; it discards what the
	// previous attempt has left.
	Begin(ctx context.Context, shard shardstate.ShardID)
	// Fold folds the attempt's records into its state (Attempt.Each) and performs
	// the effects (Attempt.Perform); when it returns nil, all effects are durable. Its
	// ctx ends early enough to save the state. It is not called if all records are in
	// the state already.
	Fold(ctx context.Context, a *Attempt[S]) error
	// Report counts the outcome of the invocation's last attempt, which failed with err
	// unless that is nil, and appends it to the attributes of the invocation's log line.
	Report(attrs []slog.Attr, a *Attempt[S], err error) []slog.Attr
}

// RunnerConfig configures a Runner. Every field is required.
type RunnerConfig[S any] struct {
	// Name is the consumer's, as in insighthub_<name>_invocations_total. Done is the log
	// message of an invocation: "bridged", and "not bridged" if it failed.
	Name, Done string
	Consumer   Consumer[S]
	Source     Source
	Decoder    Decoder
	States     States[S]
	// Recall lets invocations begin with the cached state, without a request, for a
	// consumer most of whose invocations have no effects. Otherwise each invocation
	// checks first that it is the stored one.
	Recall  bool
	Metrics prometheus.Registerer
	Log     *slog.Logger
	Now     func() time.Time
}

// Runner runs the invocations of a consumer that keeps state for each shard, as the
// package comment of lib/shardstate describes: load the state, skip the records
// that it contains, fold the rest, perform the effects, save the state. Invocations
// run one at a time, and reuse the memory for their records.
type Runner[S any] struct {
	config  RunnerConfig[S]
	metrics *metrics

	mu      sync.Mutex
	reader  Reader
	attempt Attempt[S]
	attrs   []slog.Attr // memory for the next log line: handlers copy the attributes
}

// NewRunner returns a runner. The error is that of registering its metrics.
func NewRunner[S any](config RunnerConfig[S]) (*Runner[S], error) {
	m, err := newMetrics(config.Name, config.Metrics)
	if err != nil {
		return nil, err
	}
	return &Runner[S]{
		config: config, metrics: m,
		reader: Reader{Source: config.Source, Decoder: config.Decoder, Log: config.Log},
	}, nil
}

// Invoke runs one invocation. When it returns nil, the payload's records are part of
// their shard's state and their effects are durable. After an error all of them must be
// delivered again.
func (r *Runner[S]) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	records, err := r.reader.Records(payload)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return r.reader.Done(), nil
	}
	err = r.run(ctx, records)
	a := &r.attempt
	r.metrics.add(&a.progress, records, r.config.Now(), err)
	r.attrs = r.config.Consumer.Report(a.appendAttrs(r.attrs[:0]), a, err)
	*a = Attempt[S]{} // do not retain the state
	if err != nil {
		r.config.Log.LogAttrs(ctx, LevelOf(err), "not "+r.config.Done, append(r.attrs, slog.String("error", err.Error()))...)
		return nil, fmt.Errorf("%s: %d records of shard %s: %w", r.config.Name, len(records), records[0].Shard, err)
	}
	r.config.Log.LogAttrs(ctx, slog.LevelInfo, r.config.Done, r.attrs...)
	return r.reader.Done(), nil
}

// run makes an attempt, and another one with the stored state if the state of the first
// was stale.
func (r *Runner[S]) run(ctx context.Context, records []telemetry.Record) error {
	inTime, cancel := deadline.WithMargin(ctx, r.config.Now(), 0)
	defer cancel()
	load := r.config.States.Load
	if r.config.Recall {
		load = r.config.States.Recall
	}
	err := r.try(ctx, inTime, records, false, load)
	if errors.Is(err, shardstate.ErrStale) {
		err = r.try(ctx, inTime, records, true, r.config.States.Load)
	}
	return err
}

type loadFunc[S any] func(context.Context, shardstate.ShardID) (*shardstate.Lease[S], error)

// try makes one attempt: load, skip, fold and perform, save.
func (r *Runner[S]) try(ctx, inTime context.Context, records []telemetry.Record, stale bool, load loadFunc[S]) error {
	now := r.config.Now
	r.attempt = Attempt[S]{runner: r, Shard: records[0].Shard, progress: progress{records: len(records), stale: stale}}
	a := &r.attempt
	r.config.Consumer.Begin(ctx, a.Shard)

	start := now()
	lease, err := load(ctx, a.Shard)
	a.load = now().Sub(start)
	if err != nil {
		return err
	}
	a.lease, a.State, a.watermark = lease, lease.State, lease.Watermark()
	a.fresh, err = shardstate.Fresh(a.watermark, records, func(r *telemetry.Record) telemetry.Sequence { return r.SequenceNumber })
	if err != nil || len(a.fresh) == 0 {
		// Skipping all records, or rejecting them, depends on the state, too.
		if stale := lease.Confirm(ctx); stale != nil {
			return errors.Join(stale, err)
		}
		a.skipped = len(records)
		lease.Release()
		return err
	}
	a.skipped = len(records) - len(a.fresh)

	start = now()
	err = r.config.Consumer.Fold(inTime, a)
	a.fold = now().Sub(start) - a.write - a.confirm
	if err != nil {
		return err
	}

	start = now()
	last := a.fresh[len(a.fresh)-1].SequenceNumber
	lease.State = a.State
	err = lease.Save(ctx, last)
	a.save, a.stateBytes = now().Sub(start), lease.StateBytes()
	if err != nil {
		return err
	}
	a.watermark = last
	return nil
}
