package bridge

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/stream"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Config configures a Handler. Every field is required.
type Config struct {
	Source   stream.Source
	Decoder  stream.Decoder
	States   stream.States[*State]
	Receiver Receiver
	// Machines is the value that the states' codec uses, too.
	Machines *Machines
	Metrics  prometheus.Registerer
	Log      *slog.Logger
	Now      func() time.Time
}

// Handler handles the bridge's invocations.
type Handler = stream.Runner[*State]

// consumer implements the bridge's fold, and its effects: samples of closed windows.
type consumer struct {
	machines *Machines
	log      *slog.Logger
	metrics  *metrics
	writer   writer
	counts   counts // of the current attempt
	// settled is, for shards whose last invocation here failed, what the receiver has settled.
	settled map[shardstate.ShardID]progress
}

var _ stream.Consumer[*State] = (*consumer)(nil)

// New returns a handler. The error is that of registering its metrics.
func New(config Config) (*Handler, error) {
	m, err := newMetrics(config.Metrics)
	if err != nil {
		return nil, err
	}
	c := &consumer{
		machines: config.Machines, log: config.Log, metrics: m,
		writer:  writer{receiver: config.Receiver, log: config.Log},
		settled: make(map[shardstate.ShardID]progress),
	}
	return stream.NewRunner(stream.RunnerConfig[*State]{
		Name: "bridge", Done: "bridged", Consumer: c,
		Source: config.Source, Decoder: config.Decoder, States: config.States,
		Recall:  true, // most invocations close no window
		Metrics: config.Metrics, Log: config.Log, Now: config.Now,
	})
}

// Begin implements stream.Consumer.
func (c *consumer) Begin(ctx context.Context, shard shardstate.ShardID) {
	c.machines.Refresh(ctx)
	c.counts = counts{}
	c.writer.reset(c.settled[shard])
}

// Fold folds the records into the state and writes the windows that they close.
// Windows are closed after each record, so that what is emitted does not depend
// on where the batch ends.
func (c *consumer) Fold(ctx context.Context, a *stream.Attempt[*State]) error {
	w, state := &c.writer, a.State
	w.begin(ctx, a)
	for i := range state.inherited {
		w.add(&state.inherited[i])
	}
	state.inherited = nil
	if w.err != nil {
		return w.err
	}
	add := w.add // evaluated once: as an argument it would be allocated for each record
	err := a.Each(ctx, func(b *telemetry.Batch, arrival telemetry.Micros) {
		c.counts.add(b, state.shard.Observe(b, arrival))
	}, func(r *telemetry.Record) error {
		if !r.Arrival.IsZero() {
			state.shard.Advance(telemetry.MicrosOf(r.Arrival))
		}
		state.shard.EmitClosed(add)
		return w.err
	})
	if c.counts.atLimit > 0 {
		c.log.LogAttrs(ctx, slog.LevelWarn, "at a limit of the state", slog.String("shard", string(a.Shard)),
			slog.String("gateway", string(c.counts.limited)), slog.Int("events", c.counts.atLimit))
	}
	if err != nil {
		return err
	}
	return w.finish()
}

// Report implements stream.Consumer.
func (c *consumer) Report(attrs []slog.Attr, a *stream.Attempt[*State], err error) []slog.Attr {
	if c.writer.attempt != nil { // Fold was called
		delete(c.settled, a.Shard)
		if err != nil { // the next attempt omits the windows that are written
			c.settled[a.Shard] = c.writer.settled.clone()
		}
	}
	c.metrics.add(&c.counts, &c.writer, c.machines.Invalid())
	series := 0
	if a.State != nil {
		series = a.State.shard.Series()
	}
	return append(attrs,
		slog.Int("duplicates", c.counts.report.Duplicates),
		slog.Int("late", c.counts.report.Late),
		slog.Int("early", c.counts.report.Early),
		slog.Int("refused", c.counts.report.Refused),
		slog.Int("samples", c.writer.written),
		slog.Int("rejected", c.writer.rejected),
		slog.Int("duplicate_samples", c.writer.duplicates),
		slog.Int("samples_not_sent", c.writer.notSent),
		slog.Int("requests", c.writer.requests),
		slog.Int("series", series),
	)
}

// counts counts an attempt's events by their outcome.
type counts struct {
	report  kpi.Report // of all batches
	atLimit int        // events
	limited telemetry.GatewayID
}

func (c *counts) add(b *telemetry.Batch, r kpi.Report) {
	sum := &c.report
	sum.Accepted += r.Accepted
	sum.Duplicates += r.Duplicates
	sum.Late += r.Late
	sum.Early += r.Early
	sum.Refused += r.Refused
	sum.Unverified += r.Unverified
	sum.Crowded += r.Crowded
	if r.AtLimit() {
		c.atLimit += r.Refused + r.Unverified + r.Crowded
		c.limited = b.Gateway
	}
}
