package store

import (
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

	// Retention and MaxFuture bound an event's time, seen from its record's
	// arrival. They keep a gateway with a broken clock that writes to the stream
	// directly from filling the database with chunks of days that never were.
	// The API's own bounds are tighter. Zero means ten years and a day, and a day.
	Retention time.Duration
	MaxFuture time.Duration
}

const (
	day              = 24 * time.Hour
	defaultRetention = 3654 * day
	defaultMaxFuture = day
)

// Handler handles the invocations of one execution environment, one at a time;
// it keeps its memory between them.
type Handler struct {
	config  Config
	metrics *metrics

	mu         sync.Mutex
	invocation invocation
}

// New returns a handler. Its error wraps telemetry.ErrInvalid and names what is missing.
func New(config Config) (*Handler, error) {
	var missing []error
	for name, absent := range map[string]bool{
		"Source": config.Source == nil, "Decoder": config.Decoder == nil, "Writer": config.Writer == nil,
		"DeadLetters": config.DeadLetters == nil, "Metrics": config.Metrics == nil, "Log": config.Log == nil, "Now": config.Now == nil,
	} {
		if absent {
			missing = append(missing, fmt.Errorf("%w: store handler without %s", telemetry.ErrInvalid, name))
		}
	}
	if err := errors.Join(missing...); err != nil {
		return nil, err
	}
	if config.Retention == 0 {
		config.Retention = defaultRetention
	}
	if config.MaxFuture == 0 {
		config.MaxFuture = defaultMaxFuture
	}
	m, err := newMetrics(config.Metrics)
	if err != nil {
		return nil, err
	}
	return &Handler{config: config, metrics: m}, nil
}

// Invoke stores the payload's records and answers with the first that is to be
// delivered again, if any. An error means that the payload itself could not be
// read.
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
	h.bury(ctx, run)
	h.metrics.add(outcome, run.buried)
	h.report(ctx, run, outcome)
	if run.failed == len(run.records) {
		return h.config.Source.Answer(""), nil
	}
	return h.config.Source.Answer(run.records[run.failed].SequenceNumber), nil
}

// decode turns record i into batches, or into poison.
func (h *Handler) decode(run *invocation, i int) {
	r := &run.records[i]
	var err error
	if run.messages, err = h.config.Source.Messages(run.messages[:0], r.Data); err != nil {
		run.poison = append(run.poison, poison{record: i, part: noPart, data: r.Data, reason: err})
		return
	}
	for part, message := range run.messages {
		b := run.next()
		err := h.config.Decoder.Decode(message, b)
		if err == nil {
			err = h.checkTimes(r, b)
		}
		if len(run.messages) == 1 {
			part = noPart
		}
		p := piece{record: i, part: part, data: message}
		if err != nil {
			run.poison = append(run.poison, poison{record: i, part: part, data: message, reason: err})
			continue
		}
		run.keep(p)
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
			return fmt.Errorf("%w: event %d: time %d is before the retention, which began at %d", telemetry.ErrInvalid, i, t, oldest)
		}
		if t > newest {
			return fmt.Errorf("%w: event %d: time %d is too far in the future, the bound was %d", telemetry.ErrInvalid, i, t, newest)
		}
	}
	return nil
}

// write stores all batches together, and one by one when one of them can not be
// stored, which then becomes poison.
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
			run.poison = append(run.poison, poison{record: p.record, part: p.part, data: p.data, reason: err})
		default:
			// Delivery starts again here, so the rest need not be tried now.
			run.retry(p.record, err)
			return total
		}
	}
	return total
}

// bury puts the poison among the dead letters.
func (h *Handler) bury(ctx context.Context, run *invocation) {
	for _, p := range run.poison {
		if p.record >= run.failed {
			continue // delivered again, and buried then
		}
		r := &run.records[p.record]
		if err := h.config.DeadLetters.Put(ctx, p.key(r), p.letter(r), "application/json"); err != nil {
			run.retry(p.record, fmt.Errorf("dead letter: %w", err))
			continue
		}
		run.buried++
		h.config.Log.LogAttrs(ctx, slog.LevelWarn, "poison", slog.String("sequence", string(r.SequenceNumber)), slog.String("shard", string(r.Shard)),
			slog.String("key", p.key(r)), slog.String("reason", p.reason.Error()))
	}
}

// report writes the invocation's line.
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
		h.config.Log.LogAttrs(ctx, slog.LevelInfo, "stored", attrs...)
		return
	}
	level := slog.LevelError
	if errors.Is(run.reason, telemetry.ErrUnavailable) {
		level = slog.LevelWarn
	}
	attrs = append(attrs, slog.String("retry_from", string(run.records[run.failed].SequenceNumber)), slog.String("error", run.reason.Error()))
	h.config.Log.LogAttrs(ctx, level, "stored in part", attrs...)
}
