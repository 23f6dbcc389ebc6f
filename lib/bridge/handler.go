package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/stream"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Config is what a Handler is made of. Every field is needed.
type Config struct {
	Source   stream.Source
	Decoder  stream.Decoder
	States   States
	Receiver Receiver
	// Machines is the same as the states' codec has.
	Machines *Machines
	Metrics  prometheus.Registerer
	Log      *slog.Logger
	Now      func() time.Time
}

// Handler handles the invocations of one execution environment, one at a time;
// it keeps its memory between them.
type Handler struct {
	config  Config
	metrics *metrics

	mu     sync.Mutex
	reader stream.Reader
	writer writer
	// settled is, for shards whose last invocation here failed, the end of the
	// last window that the receiver has taken.
	settled map[shardstate.ShardID]telemetry.Micros
}

// New returns a handler. Its error wraps telemetry.ErrInvalid and names what is missing.
func New(config Config) (*Handler, error) {
	var missing []error
	for name, absent := range map[string]bool{
		"Source": config.Source == nil, "Decoder": config.Decoder == nil, "States": config.States == nil,
		"Receiver": config.Receiver == nil, "Machines": config.Machines == nil, "Metrics": config.Metrics == nil,
		"Log": config.Log == nil, "Now": config.Now == nil,
	} {
		if absent {
			missing = append(missing, fmt.Errorf("%w: bridge handler without %s", telemetry.ErrInvalid, name))
		}
	}
	if err := errors.Join(missing...); err != nil {
		return nil, err
	}
	m, err := newMetrics(config.Metrics)
	if err != nil {
		return nil, err
	}
	h := &Handler{
		config: config, metrics: m, settled: make(map[shardstate.ShardID]telemetry.Micros),
		reader: stream.Reader{Source: config.Source, Decoder: config.Decoder, Log: config.Log},
	}
	h.writer.handler = h
	return h, nil
}

// Invoke folds the payload's records into their shard's state and writes what
// they close. After an error all of them are to be delivered again.
func (h *Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	records, err := h.reader.Records(payload)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return h.reader.Done(), nil
	}
	run := invocation{shard: records[0].Shard, records: len(records)}
	h.config.Machines.Refresh(ctx)
	err = h.bridge(ctx, &run, records)
	h.metrics.add(&run, &h.writer, records, h.config.Now(), err)
	if err != nil {
		h.config.Log.LogAttrs(ctx, stream.LevelOf(err), "not bridged", append(run.attrs(&h.writer), slog.String("error", err.Error()))...)
		return nil, fmt.Errorf("bridge %d records of shard %s: %w", run.records, run.shard, err)
	}
	h.config.Log.LogAttrs(ctx, slog.LevelInfo, "bridged", run.attrs(&h.writer)...)
	return h.reader.Done(), nil
}

// bridge is the invocation. Most close no window and so have no effects: they
// begin with what this process remembers of the shard, and begin again with what
// is stored where that was an old state.
func (h *Handler) bridge(ctx context.Context, run *invocation, records []telemetry.Record) error {
	inTime, cancel := stream.WithMargin(ctx, h.config.Now)
	defer cancel()
	err := h.attempt(ctx, inTime, run, records, h.config.States.Recall)
	if errors.Is(err, shardstate.ErrStale) {
		*run = invocation{shard: run.shard, records: run.records, stale: true}
		err = h.attempt(ctx, inTime, run, records, h.config.States.Load)
	}
	return err
}

type loadFunc func(context.Context, shardstate.ShardID) (*shardstate.Lease[*State], error)

// attempt loads, folds and writes, and saves.
func (h *Handler) attempt(ctx, inTime context.Context, run *invocation, records []telemetry.Record, load loadFunc) error {
	now := h.config.Now
	start := now()
	lease, err := load(ctx, run.shard)
	run.load = now().Sub(start)
	if err != nil {
		h.writer.reset(inTime, nil, h.settled[run.shard])
		return err
	}
	h.writer.reset(inTime, lease, h.settled[run.shard])
	run.watermark = lease.Watermark()
	fresh, err := shardstate.Fresh(lease.Watermark(), records, func(r *telemetry.Record) telemetry.Sequence { return r.SequenceNumber })
	if err != nil || len(fresh) == 0 {
		return h.idle(ctx, run, lease, err)
	}
	run.skipped = run.records - len(fresh)

	start = now()
	err = h.fold(inTime, run, lease.State, fresh)
	run.observe = now().Sub(start) - h.writer.spent - h.writer.confirming
	run.load += h.writer.confirming
	if err != nil {
		h.settled[run.shard] = h.writer.settled
		return err
	}

	start = now()
	last := fresh[len(fresh)-1].SequenceNumber
	state := lease.State
	err = lease.Save(ctx, last)
	run.save, run.size, run.series = now().Sub(start), state.size, state.shard.Series()
	if err != nil {
		h.settled[run.shard] = h.writer.settled
		return err
	}
	run.watermark = last
	delete(h.settled, run.shard)
	return nil
}

// idle ends an invocation none of whose records is to be folded.
func (h *Handler) idle(ctx context.Context, run *invocation, lease *shardstate.Lease[*State], err error) error {
	if stale := lease.Confirm(ctx); stale != nil {
		return errors.Join(stale, err)
	}
	run.series, run.skipped = lease.State.shard.Series(), run.records
	lease.Release()
	return err
}

// fold takes the records into the state and writes the windows that they close.
// Windows are closed after each record, so that what is emitted does not depend
// on where the batch ends.
func (h *Handler) fold(ctx context.Context, run *invocation, state *State, records []telemetry.Record) error {
	w := &h.writer
	for i := range state.inherited {
		w.take(&state.inherited[i])
	}
	state.inherited = nil
	for i := range records {
		if w.err != nil {
			break
		}
		h.record(ctx, run, state.shard, &records[i])
		state.shard.EmitClosed(w.take)
	}
	if run.atLimit > 0 {
		h.config.Log.LogAttrs(ctx, slog.LevelWarn, "at a limit of the state",
			slog.String("shard", string(run.shard)), slog.String("gateway", string(run.limited)), slog.Int("events", run.atLimit))
	}
	return w.finish()
}

// record takes one record.
func (h *Handler) record(ctx context.Context, run *invocation, shard *kpi.Shard, r *telemetry.Record) {
	run.poison += h.reader.Batches(ctx, r, func(b *telemetry.Batch, arrival telemetry.Micros) {
		run.count(b, shard.Observe(b, arrival))
	})
	if !r.Arrival.IsZero() {
		shard.Advance(telemetry.MicrosOf(r.Arrival))
	}
}
