package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/lambda/deadline"
	"github.com/insighthub/insighthub/lib/stream"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Config is what a Handler is made of. Every field is needed unless it says
// otherwise.
type Config struct {
	Source      stream.Source
	Decoder     stream.Decoder
	Writer      Writer
	DeadLetters DeadLetters
	Metrics     prometheus.Registerer
	Log         *slog.Logger
	Now         func() time.Time

	// Retention and MaxFuture limit how far an event's time may be before and after
	// its record's arrival, so that a gateway with a broken clock that writes to the
	// stream directly cannot fill the database with chunks far in the past or future.
	// The API's own limits are tighter. Zero means ten years and a day, and a day.
	Retention time.Duration
	MaxFuture time.Duration
}

const (
	day              = 24 * time.Hour
	defaultRetention = 3654 * day
	defaultMaxFuture = day
)

// Handler handles the invocations of one execution environment, one at a time, and
// reuses its memory for the next one.
type Handler struct {
	config  Config
	metrics *metrics

	mu         sync.Mutex
	invocation invocation
}

// New returns a handler. The error is that of registering its metrics.
func New(config Config) (*Handler, error) {
	config.Retention = cmp.Or(config.Retention, defaultRetention)
	config.MaxFuture = cmp.Or(config.MaxFuture, defaultMaxFuture)
	m, err := newMetrics(config.Metrics)
	if err != nil {
		return nil, err
	}
	return &Handler{config: config, metrics: m}, nil
}

// Invoke stores the payload's records. The response names the first record to
// deliver again, if any. An error means that the payload itself could not be read.
func (h *Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ctx, cancel := deadline.WithMargin(ctx, h.config.Now(), 0)
	defer cancel()

	run := &h.invocation
	run.reset()
	var err error
	if run.records, err = stream.Records(h.config.Source, run.records, payload); err != nil {
		return nil, err
	}
	run.failed = len(run.records)
	for i := range run.records {
		h.decode(run, i)
	}
	outcome := h.write(ctx, run)
	h.deadLetter(ctx, run)
	h.metrics.add(outcome, run.deadLettered)
	h.report(ctx, run, outcome)
	if run.failed == len(run.records) {
		return h.config.Source.Response(""), nil
	}
	return h.config.Source.Response(run.records[run.failed].SequenceNumber), nil
}

// decode decodes record i; what cannot be decoded, or has times out of range, is poison.
func (h *Handler) decode(run *invocation, i int) {
	r := &run.records[i]
	var err error
	if run.messages, err = h.config.Source.Messages(run.messages[:0], r.Data); err != nil {
		run.poison = append(run.poison, poison{piece: piece{record: i, part: noPart, data: r.Data}, reason: err})
		return
	}
	for part, message := range run.messages {
		if telemetry.IsTick(message) {
			continue // there is nothing to store
		}
		b := run.nextBatch()
		err := h.config.Decoder.Decode(message, b)
		if err == nil {
			err = h.checkTimes(r, b)
		}
		if len(run.messages) == 1 {
			part = noPart
		}
		p := piece{record: i, part: part, data: message}
		if err != nil {
			run.poison = append(run.poison, poison{piece: p, reason: err})
			continue
		}
		run.addBatch(p)
	}
}

func (h *Handler) checkTimes(r *telemetry.Record, b *telemetry.Batch) error {
	arrival := r.Arrival
	if arrival.IsZero() {
		arrival = h.config.Now()
	}
	oldest := telemetry.MicrosOf(arrival.Add(-h.config.Retention))
	newest := telemetry.MicrosOf(arrival.Add(h.config.MaxFuture))
	for i, t := range b.Time {
		if t < oldest {
			return fmt.Errorf("%w: event %d: time %d is too old, the earliest is %d", telemetry.ErrInvalid, i, t, oldest)
		}
		if t > newest {
			return fmt.Errorf("%w: event %d: time %d is too far in the future, the latest is %d", telemetry.ErrInvalid, i, t, newest)
		}
	}
	return nil
}

// write stores all batches together. If one of them cannot be stored, it stores them
// one by one, and those that cannot be stored are poison.
func (h *Handler) write(ctx context.Context, run *invocation) Outcome {
	if len(run.pieces) == 0 {
		return Outcome{}
	}
	outcome, err := h.config.Writer.Write(ctx, run.batches)
	switch {
	case err == nil:
		return outcome
	case !errors.Is(err, telemetry.ErrInvalid):
		run.retry(run.pieces[0].record, err)
		return Outcome{}
	}
	var total Outcome
	for i, p := range run.pieces {
		outcome, err := h.config.Writer.Write(ctx, run.batches[i:i+1])
		switch {
		case err == nil:
			total.Stored += outcome.Stored
			total.Duplicates += outcome.Duplicates
			total.Conflicts += outcome.Conflicts
			total.Committed = outcome.Committed
		case errors.Is(err, telemetry.ErrInvalid):
			run.poison = append(run.poison, poison{piece: p, reason: err})
		default:
			// The record and all after it are delivered again.
			run.retry(p.record, err)
			return total
		}
	}
	return total
}

// deadLetter saves the poison as dead letters.
func (h *Handler) deadLetter(ctx context.Context, run *invocation) {
	for _, p := range run.poison {
		if p.record >= run.failed {
			continue // delivered again, and dead-lettered then
		}
		r := &run.records[p.record]
		if err := h.config.DeadLetters.Put(ctx, p.key(r), p.body(r), "application/json"); err != nil {
			run.retry(p.record, fmt.Errorf("dead letter: %w", err))
			continue
		}
		run.deadLettered++
		h.config.Log.LogAttrs(ctx, slog.LevelWarn, "record dead-lettered", slog.String("shard", string(r.Shard)),
			slog.String("sequence", string(r.SequenceNumber)), slog.String("key", p.key(r)), slog.String("reason", p.reason.Error()))
	}
}

// report writes the invocation's log line.
func (h *Handler) report(ctx context.Context, run *invocation, o Outcome) {
	received, oldest := run.ages()
	attrs := []slog.Attr{
		slog.Int("records", len(run.records)),
		slog.Int("bytes", run.bytes()),
		slog.Int("events", o.Stored+o.Duplicates+o.Conflicts),
		slog.Int("duplicates", o.Duplicates),
		slog.Int("conflicts", o.Conflicts),
		slog.Int("poison", len(run.poison)),
		slog.Int64("oldest", int64(oldest)),
		slog.Int64("received", int64(received)),
		slog.Int64("committed", int64(o.Committed)),
	}
	if run.failed == len(run.records) {
		level := slog.LevelInfo
		if len(run.pieces)+len(run.poison) == 0 {
			level = slog.LevelDebug // nothing but ticks
		}
		h.config.Log.LogAttrs(ctx, level, "stored", attrs...)
		return
	}
	attrs = append(attrs,
		slog.String("retry_from", string(run.records[run.failed].SequenceNumber)), slog.String("error", run.reason.Error()))
	h.config.Log.LogAttrs(ctx, stream.LevelOf(run.reason), "stored in part", attrs...)
}
