package detect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/stream"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Config is what a Handler is made of. Every field without a default is needed.
type Config struct {
	Source    stream.Source
	Decoder   stream.Decoder
	States    States
	Anomalies Anomalies
	Notifier  Notifier
	Settings  *Settings
	Metrics   prometheus.Registerer
	Log       *slog.Logger
	Now       func() time.Time
	// NotifyTimeout bounds the telling of one invocation: default 2 s. What is not told
	// by then is in the database only.
	NotifyTimeout time.Duration
	// MaxNotified bounds how many anomalies of one invocation others are told of, the
	// most severe first: default 200. A plant that starts up has thousands, and nobody reads them.
	MaxNotified int
	// Figures takes the scores to where they are drawn; nil: nowhere. FiguresTimeout bounds
	// it for one invocation: default 1 s. MaxFigures bounds how many anomalies of one
	// invocation it takes, the most severe first: default 1,000.
	Figures        Notifier
	FiguresTimeout time.Duration
	MaxFigures     int
}

// Handler handles the invocations of one execution environment, one at a time;
// it keeps its memory between them.
type Handler struct {
	config  Config
	metrics *metrics

	mu     sync.Mutex
	reader stream.Reader
	folder folder
}

// New returns a handler. Its error wraps telemetry.ErrInvalid and names what is missing.
func New(config Config) (*Handler, error) {
	var missing []error
	for name, absent := range map[string]bool{
		"Source": config.Source == nil, "Decoder": config.Decoder == nil, "States": config.States == nil,
		"Anomalies": config.Anomalies == nil, "Notifier": config.Notifier == nil, "Settings": config.Settings == nil,
		"Metrics": config.Metrics == nil, "Log": config.Log == nil, "Now": config.Now == nil,
	} {
		if absent {
			missing = append(missing, fmt.Errorf("%w: detect handler without %s", telemetry.ErrInvalid, name))
		}
	}
	if err := errors.Join(missing...); err != nil {
		return nil, err
	}
	config.NotifyTimeout = cmp.Or(config.NotifyTimeout, 2*time.Second)
	config.MaxNotified = cmp.Or(config.MaxNotified, 200)
	config.FiguresTimeout = cmp.Or(config.FiguresTimeout, time.Second)
	config.MaxFigures = cmp.Or(config.MaxFigures, 1000)
	m, err := newMetrics(config.Metrics)
	if err != nil {
		return nil, err
	}
	reader := stream.Reader{Source: config.Source, Decoder: config.Decoder, Log: config.Log}
	return &Handler{config: config, metrics: m, reader: reader}, nil
}

// Invoke folds the payload's records into their shard's state, and keeps and tells
// what they show. After an error all of them are to be delivered again.
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
	h.config.Settings.Refresh(ctx)
	err = h.detect(ctx, &run, records)
	h.metrics.add(&run, records, h.config.Now(), err)
	if err != nil {
		h.config.Log.LogAttrs(ctx, stream.LevelOf(err), "not scored", append(run.attrs(), slog.String("error", err.Error()))...)
		return nil, fmt.Errorf("score %d records of shard %s: %w", run.records, run.shard, err)
	}
	h.config.Log.LogAttrs(ctx, slog.LevelInfo, "scored", run.attrs()...)
	return h.reader.Done(), nil
}

// detect is the invocation: load, fold, keep, tell, save.
func (h *Handler) detect(ctx context.Context, run *invocation, records []telemetry.Record) error {
	now := h.config.Now
	start := now()
	lease, err := h.config.States.Load(ctx, run.shard)
	run.load = now().Sub(start)
	if err != nil {
		return err
	}
	run.watermark = lease.Watermark()
	fresh, err := shardstate.Fresh(lease.Watermark(), records, func(r *telemetry.Record) telemetry.Sequence { return r.SequenceNumber })
	if err != nil || len(fresh) == 0 {
		run.series, run.skipped = lease.State.series, run.records
		lease.Release()
		return err
	}
	run.skipped = run.records - len(fresh)

	start = now()
	h.fold(ctx, run, lease.State, fresh)
	run.fold = now().Sub(start)

	start = now()
	err = h.perform(ctx, run)
	run.keep = now().Sub(start)
	if err != nil {
		return err
	}

	start = now()
	last := fresh[len(fresh)-1].SequenceNumber
	state := lease.State
	err = lease.Save(ctx, last)
	run.save, run.size, run.series = now().Sub(start), state.size, state.series
	if err != nil {
		return err
	}
	run.watermark = last
	return nil
}

// fold takes the records into the state.
func (h *Handler) fold(ctx context.Context, run *invocation, state *State, records []telemetry.Record) {
	f := &h.folder
	f.state, f.found = state, f.found[:0]
	state.describe(h.config.Settings.now)
	run.begun, run.dropped = state.begun, state.dropped
	state.begun, state.dropped = 0, 0
	for i := range records {
		h.record(ctx, run, &records[i])
	}
	f.state, run.found = nil, f.found
	if run.report.Refused+run.dropped+run.begun > 0 {
		h.config.Log.LogAttrs(ctx, slog.LevelWarn, "not all series are scored", slog.String("shard", string(run.shard)),
			slog.String("gateway", string(run.limited)), slog.Int("refused", run.report.Refused), slog.Int("dropped", run.dropped),
			slog.Int("begun_anew", run.begun))
	}
}

// record takes one record.
func (h *Handler) record(ctx context.Context, run *invocation, r *telemetry.Record) {
	run.poison += h.reader.Batches(ctx, r, func(b *telemetry.Batch, arrival telemetry.Micros) {
		run.count(b, h.folder.observe(b, arrival))
	})
	if !r.Arrival.IsZero() {
		h.folder.advance(telemetry.MicrosOf(r.Arrival))
	}
}

// perform keeps what was found, and then tells of it.
func (h *Handler) perform(ctx context.Context, run *invocation) error {
	if len(run.found) == 0 {
		return nil
	}
	inTime, cancel := stream.WithMargin(ctx, h.config.Now)
	defer cancel()
	kept, err := h.config.Anomalies.Add(inTime, run.found)
	run.kept = kept
	if err != nil {
		return err
	}
	run.told = h.tell(inTime, run, "anomalies that others were not told of", h.config.Notifier, h.config.NotifyTimeout, h.config.MaxNotified)
	if h.config.Figures != nil {
		run.drawn = h.tell(inTime, run, "anomalies that are not drawn", h.config.Figures, h.config.FiguresTimeout, h.config.MaxFigures)
	}
	return nil
}

// tell tells one of those who want to know, of what is most severe and in its time. The
// rest is in the database only.
func (h *Handler) tell(ctx context.Context, run *invocation, otherwise string, who Notifier, timeout time.Duration, most int) (t telling) {
	found := run.found
	if len(found) > most {
		found = slices.Clone(found)
		slices.SortStableFunc(found, func(a, b directory.Anomaly) int { return rank(a.Severity) - rank(b.Severity) })
		found = found[:most]
	}
	t.left = len(run.found) - len(found)
	soon, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	var err error
	t.told, err = who.Notify(soon, found)
	t.failed = len(found) - t.told
	if err != nil {
		h.config.Log.LogAttrs(ctx, slog.LevelWarn, otherwise, slog.String("shard", string(run.shard)),
			slog.Int("anomalies", t.failed), slog.String("error", err.Error()))
	}
	return t
}

// rank is 0 for the most severe.
func rank(s directory.Severity) int {
	switch s {
	case directory.Critical:
		return 0
	case directory.Warning:
		return 1
	case directory.Info:
	}
	return 2
}
