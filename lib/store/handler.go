package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
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
	Names       Names // Unpublished by default
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
	published  map[telemetry.GatewayID]time.Time // when the names of a gateway were published
}

// New returns a handler. The error is that of registering its metrics.
func New(config Config) (*Handler, error) {
	config.Retention = cmp.Or(config.Retention, defaultRetention)
	config.MaxFuture = cmp.Or(config.MaxFuture, defaultMaxFuture)
	config.Names = cmp.Or[Names](config.Names, Unpublished{})
	m, err := newMetrics(config.Metrics)
	if err != nil {
		return nil, err
	}
	return &Handler{config: config, metrics: m, published: make(map[telemetry.GatewayID]time.Time)}, nil
}

// Invoke stores the payload's records. The response names the first record to
// deliver again, if any. An error means that the payload itself could not be read.
func (h *Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	run := &h.invocation
	run.reset()
	run.taken = h.config.Now()
	ctx, cancel := deadline.WithMargin(ctx, run.taken, 0)
	defer cancel()

	var err error
	if run.records, err = stream.Records(h.config.Source, run.records, payload); err != nil {
		return nil, err
	}
	run.failed = len(run.records)
	for i := range run.records {
		h.decode(run, i)
	}
	outcome := h.write(ctx, run)
	h.publishNames(ctx, run, outcome)
	h.deadLetter(ctx, run)
	h.metrics.add(outcome, run)
	h.metrics.stages.observe(run, outcome.Committed)
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
		if len(run.messages) == 1 {
			part = noPart
		}
		p := piece{record: i, part: part, data: message}
		if err != nil {
			run.poison = append(run.poison, poison{piece: p, reason: err})
			continue
		}
		var bad []telemetry.RejectedEvent
		if d, ok := h.config.Decoder.(rejecter); ok {
			bad = d.Rejected()
		}
		p.gateway, p.events = b.Gateway, b.Len()+len(bad)
		if h.checkEvents(r, b, &p, bad); b.Len() == 0 {
			run.poison = append(run.poison, poison{p, p.rejection()})
			continue
		}
		run.addBatch(p)
	}
}

// rejecter is a Decoder that leaves out events of a record that are not valid.
type rejecter interface {
	Rejected() []telemetry.RejectedEvent
}

var _ rejecter = (*telemetry.Decoder)(nil)

// checkEvents takes events that cannot be stored out of the batch: their time is out of
// range, or their value is not finite. Only a bad reading may have NaN, which is no value.
// bad are the events that the decoder has left out.
func (h *Handler) checkEvents(r *telemetry.Record, b *telemetry.Batch, p *piece, bad []telemetry.RejectedEvent) {
	arrival := r.Arrival
	if arrival.IsZero() {
		arrival = h.config.Now()
	}
	oldest := telemetry.MicrosOf(arrival.Add(-h.config.Retention))
	newest := telemetry.MicrosOf(arrival.Add(h.config.MaxFuture))
	n := 0
	rejectBad := func(kept int) { // those before the next event, of which kept and p.rejected come first
		for len(bad) > 0 && bad[0].Event == kept+len(p.rejected) {
			p.rejected = append(p.rejected, rejectedEvent{bad[0].Event, bad[0].Reason})
			bad = bad[1:]
		}
	}
	for i, t := range b.Time {
		value := b.Value[i]
		if len(bad) > 0 {
			rejectBad(n)
		}
		// The difference of two equal numbers is 0 unless they are infinite or NaN.
		if t < oldest || t > newest || value-value != 0 {
			if reason := reasonOf(t, oldest, newest, value, b.Quality[i]); reason != "" {
				p.rejected = append(p.rejected, rejectedEvent{n + len(p.rejected), reason})
				continue
			}
		}
		if n != i {
			b.Device[n], b.Metric[n] = b.Device[i], b.Metric[i]
			b.Time[n], b.Value[n], b.Quality[n] = t, value, b.Quality[i]
		}
		n++
	}
	rejectBad(n)
	b.Device, b.Metric = b.Device[:n], b.Metric[:n]
	b.Time, b.Value, b.Quality = b.Time[:n], b.Value[:n], b.Quality[:n]
}

// reasonOf says why an event cannot be stored; it is empty for a reading without a value.
func reasonOf(t, oldest, newest telemetry.Micros, value float64, q telemetry.Quality) string {
	var reason string
	switch {
	case t < oldest:
		reason = fmt.Sprintf("time %d is too old, the earliest is %d", t, oldest)
	case t > newest:
		reason = fmt.Sprintf("time %d is too far in the future, the latest is %d", t, newest)
	case math.IsNaN(value) && q == telemetry.Bad:
		return ""
	default:
		return fmt.Sprintf("value %v is not finite; only a bad reading may be NaN, which is no value", value)
	}
	if unit, at := telemetry.GuessUnit(int64(t), oldest, newest); unit != "" {
		reason += fmt.Sprintf("; it looks like %s: microseconds would be %d", unit, at)
	}
	return reason
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
		run.reject(outcome.Rejected, 0)
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
			total.Crowded = append(total.Crowded, outcome.Crowded...)
			run.reject(outcome.Rejected, i)
		case errors.Is(err, telemetry.ErrInvalid):
			p.rejected, run.pieces[i].rejected = nil, nil // all are
			run.poison = append(run.poison, poison{piece: p, reason: err})
		default:
			// The record and all after it are delivered again.
			run.retry(p.record, err)
			return total
		}
	}
	return total
}

// republishAfter is the time between two publications of the names of a gateway of which
// events are rejected.
const republishAfter = 10 * time.Second

// publishNames publishes the names of gateways that got new ones and have little room left,
// and of gateways of which the database rejected events: ingest did not know.
func (h *Handler) publishNames(ctx context.Context, run *invocation, o Outcome) {
	for i := range run.pieces {
		if p := &run.pieces[i]; p.refused && h.config.Now().Sub(h.published[p.gateway]) >= republishAfter {
			o.Crowded = append(o.Crowded, p.gateway)
		}
	}
	slices.Sort(o.Crowded)
	for _, gateway := range slices.Compact(o.Crowded) {
		if len(h.published) > maxPublished {
			clear(h.published)
		}
		h.published[gateway] = h.config.Now()
		if err := h.config.Names.Publish(ctx, gateway); err != nil {
			h.config.Log.LogAttrs(ctx, slog.LevelWarn, "names of a crowded gateway not published",
				slog.String("gateway", string(gateway)), slog.String("error", err.Error()))
		}
	}
}

// maxPublished bounds the gateways whose publication is remembered.
const maxPublished = 10_000

// deadLetter saves the poison as dead letters, and the records of which events were rejected.
func (h *Handler) deadLetter(ctx context.Context, run *invocation) {
	for _, p := range run.pieces {
		if len(p.rejected) > 0 {
			run.poison = append(run.poison, poison{p, p.rejection()})
		}
	}
	for _, p := range run.poison {
		if p.record >= run.failed {
			continue // delivered again, and dead-lettered then
		}
		r := &run.records[p.record]
		if err := h.config.DeadLetters.Put(ctx, p.key(r), p.body(r), "application/json"); err != nil {
			run.retry(p.record, fmt.Errorf("dead letter: %w", err))
			continue
		}
		run.deadLettered = append(run.deadLettered, p)
		message := "record dead-lettered"
		if len(p.rejected) > 0 {
			message = "events dead-lettered"
		}
		h.config.Log.LogAttrs(ctx, slog.LevelWarn, message, slog.String("gateway", string(p.gateway)),
			slog.String("shard", string(r.Shard)),
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
		slog.Int("rejected", run.rejected()),
		slog.Int64("oldest", int64(oldest)),
		slog.Int64("received", int64(received)),
		slog.Int64("arrived", int64(run.arrived())),
		slog.Int64("taken", int64(telemetry.MicrosOf(run.taken))),
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
