package stream

import (
	"context"
	"log/slog"
	"time"

	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Attempt is one attempt to process an invocation's records. It is valid until
// Consumer.Report returns.
type Attempt[S any] struct {
	Shard shardstate.ShardID
	// State is the shard's state, which Fold changes; the zero value if it could not be
	// loaded.
	State S

	runner *Runner[S]
	lease  *shardstate.Lease[S]
	fresh  []telemetry.Record
	progress
}

// progress counts what an attempt has processed, and the time of each phase.
type progress struct {
	watermark                        shardstate.Sequence
	records, skipped, poison, events int
	stale                            bool // the previous attempt had a stale state
	stateBytes                       int
	load, confirm, fold, write, save time.Duration
}

// Each calls fold for each batch of the attempt's records, in order, with the time of
// its arrival (see Reader.Batches), and end after each record, including poison
// records. It stops at the first error of end and returns it.
func (a *Attempt[S]) Each(
	ctx context.Context, fold func(b *telemetry.Batch, arrival telemetry.Micros), end func(*telemetry.Record) error,
) error {
	count := func(b *telemetry.Batch, arrival telemetry.Micros) {
		a.events += b.Len()
		fold(b, arrival)
	}
	for i := range a.fresh {
		a.poison += a.runner.reader.Batches(ctx, &a.fresh[i], count)
		if err := end(&a.fresh[i]); err != nil {
			return err
		}
	}
	return nil
}

// Perform confirms that the attempt's state is the stored one and then calls effect: no
// effect follows from a stale state. An attempt may perform several effects; their time
// is not counted as that of the fold.
func (a *Attempt[S]) Perform(ctx context.Context, effect func(context.Context) error) error {
	now := a.runner.config.Now
	start := now()
	err := a.lease.Confirm(ctx)
	confirmed := now()
	a.confirm += confirmed.Sub(start)
	if err != nil {
		return err
	}
	err = effect(ctx)
	a.write += now().Sub(confirmed)
	return err
}

// appendAttrs appends the attributes that the log lines of all consumers have.
func (a *Attempt[S]) appendAttrs(dst []slog.Attr) []slog.Attr {
	return append(dst,
		slog.String("shard", string(a.Shard)),
		slog.Int("records", a.records),
		slog.Int("skipped", a.skipped),
		slog.Int("poison", a.poison),
		slog.Int("events", a.events),
		slog.Bool("stale", a.stale),
		slog.Int("state_bytes", a.stateBytes),
		slog.Int64("load_us", (a.load+a.confirm).Microseconds()),
		slog.Int64("fold_us", a.fold.Microseconds()),
		slog.Int64("write_us", a.write.Microseconds()),
		slog.Int64("save_us", a.save.Microseconds()),
		slog.String("watermark", string(a.watermark)),
	)
}
