package detect

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/stream"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Config configures a Handler. Fields without a default are required, but for Scores.
type Config struct {
	Source    stream.Source
	Decoder   stream.Decoder
	States    stream.States[*State]
	Anomalies Anomalies
	Notifier  Notifier
	// Ends publishes the ends of alarms and of the anomalies of machines, within the same limits.
	Ends Notifier
	// Lineage returns the range of a shard, which decides for which series that never
	// reported it is responsible.
	Lineage  shardstate.Lineage
	Settings *Settings
	Metrics  prometheus.Registerer
	Log      *slog.Logger
	Now      func() time.Time
	// NotifyTimeout limits the notifications of one invocation: default 2 s. Anomalies not
	// sent by then are in the database only.
	NotifyTimeout time.Duration
	// MaxNotified limits the notifications of one invocation, the most severe anomalies
	// first: default 200. A plant that starts up has thousands, and nobody reads them.
	MaxNotified int
	// Scores exports the scores for dashboards; nil disables that. ScoresTimeout limits
	// the export of one invocation: default 1 s. MaxScores limits the number of scores,
	// the most severe anomalies first: default 1,000.
	Scores        Notifier
	ScoresTimeout time.Duration
	MaxScores     int
}

// Handler handles the detector's invocations.
type Handler = stream.Runner[*State]

// consumer folds records into the state, and stores and publishes the anomalies.
type consumer struct {
	config  Config
	metrics *metrics
	folder  folder
	ended   []directory.Anomaly // of this attempt
	counts  counts              // of this attempt
}

var _ stream.Consumer[*State] = (*consumer)(nil)

// New returns a handler. The error is that of registering its metrics.
func New(config Config) (*Handler, error) {
	config.NotifyTimeout = cmp.Or(config.NotifyTimeout, 2*time.Second)
	config.MaxNotified = cmp.Or(config.MaxNotified, 200)
	config.ScoresTimeout = cmp.Or(config.ScoresTimeout, time.Second)
	config.MaxScores = cmp.Or(config.MaxScores, 1000)
	m, err := newMetrics(config.Metrics)
	if err != nil {
		return nil, err
	}
	return stream.NewRunner(stream.RunnerConfig[*State]{
		Name: "detect", Done: "scored", Consumer: &consumer{config: config, metrics: m},
		Source: config.Source, Decoder: config.Decoder, States: config.States,
		Metrics: config.Metrics, Log: config.Log, Now: config.Now,
	})
}

// Begin implements stream.Consumer.
func (c *consumer) Begin(ctx context.Context, _ shardstate.ShardID) {
	c.config.Settings.Refresh(ctx)
	c.counts = counts{}
	c.folder.found, c.ended = c.folder.found[:0], c.ended[:0]
}

// Fold implements stream.Consumer.
func (c *consumer) Fold(ctx context.Context, a *stream.Attempt[*State]) error {
	f, state := &c.folder, a.State
	f.state = state
	if state.ended == nil {
		state.ended = c.ended // its memory
	}
	state.configure(c.config.Settings.current)
	c.expect(ctx, a)
	c.counts.resets, c.counts.dropped = state.resets, state.dropped
	state.resets, state.dropped = 0, 0
	err := a.Each(ctx, func(b *telemetry.Batch, arrival telemetry.Micros) {
		c.counts.add(b, f.observe(b, arrival))
	}, func(r *telemetry.Record) error {
		if !r.Arrival.IsZero() {
			f.end(telemetry.MicrosOf(r.Arrival))
		}
		return nil
	})
	f.state = nil
	// Late anomalies that are found and extended in one invocation are in both.
	c.ended, state.ended = state.ended, nil
	if err != nil {
		return err
	}
	if n := &c.counts; n.report.Refused+n.dropped+n.resets > 0 {
		c.config.Log.LogAttrs(ctx, slog.LevelWarn, "not all series are scored", slog.String("shard", string(a.Shard)),
			slog.String("gateway", string(n.limited)), slog.Int("refused", n.report.Refused), slog.Int("dropped", n.dropped),
			slog.Int("detectors_reset", n.resets))
	}
	if len(f.found)+len(c.ended) == 0 {
		return nil
	}
	return a.Perform(ctx, func(ctx context.Context) error { return c.storeAndNotify(ctx, a.Shard) })
}

// expect adds the series that never reported and are watched.
func (c *consumer) expect(ctx context.Context, a *stream.Attempt[*State]) {
	s := a.State
	if !s.hashesKnown && len(s.config.expected) > 0 {
		_, first, last, err := c.config.Lineage.Shard(ctx, string(a.Shard))
		if err == nil {
			s.hashes, err = shardstate.ParseHashRange(first, last)
		}
		if s.hashesKnown = err == nil; err != nil {
			// The next invocation tries again; the time of an alarm does not depend on it.
			c.config.Log.LogAttrs(ctx, slog.LevelWarn, "silence of series that never reported is not checked",
				slog.String("shard", string(a.Shard)), slog.String("error", err.Error()))
		}
	}
	s.expect()
}

// storeAndNotify stores the anomalies and ends, then notifies of them and exports the scores.
func (c *consumer) storeAndNotify(ctx context.Context, shard shardstate.ShardID) error {
	found, ended, config := c.folder.found, c.ended, &c.config
	if len(found) > 0 {
		added, err := config.Anomalies.Add(ctx, found)
		c.counts.stored = added
		if err != nil {
			return err
		}
	}
	if len(ended) > 0 {
		if err := config.Anomalies.End(ctx, ended); err != nil {
			return err
		}
	}
	d := c.notify(ctx, shard, found, "anomaly notifications failed", config.Notifier, config.NotifyTimeout, config.MaxNotified)
	c.counts.notified = d
	// That of a late anomaly is in its own notification, and that of a value only says that
	// another value has followed.
	ended = slices.DeleteFunc(slices.Clone(ended), func(a directory.Anomaly) bool { return a.Late || a.Kind == directory.ByScore })
	d = c.notify(ctx, shard, ended, "notifications of ends failed", config.Ends, config.NotifyTimeout, config.MaxNotified)
	c.counts.notified.add(d)
	if config.Scores != nil {
		d = c.notify(ctx, shard, found, "anomaly scores not exported", config.Scores, config.ScoresTimeout, config.MaxScores)
		c.counts.exported = d
	}
	return nil
}

// notify sends the most severe anomalies, at most limit, within timeout. The others are
// in the database only. The text failure is logged for those that could not be sent.
func (c *consumer) notify(
	ctx context.Context, shard shardstate.ShardID, all []directory.Anomaly,
	failure string, to Notifier, timeout time.Duration, limit int,
) delivery {
	if len(all) == 0 {
		return delivery{}
	}
	found := all
	if len(found) > limit {
		found = slices.Clone(found)
		slices.SortStableFunc(found, func(a, b directory.Anomaly) int { return rank(a.Severity) - rank(b.Severity) })
		found = found[:limit]
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	sent, err := to.Notify(ctx, found)
	d := delivery{sent: sent, failed: len(found) - sent, leftOut: len(all) - len(found)}
	if err != nil {
		c.config.Log.LogAttrs(ctx, slog.LevelWarn, failure, slog.String("shard", string(shard)),
			slog.Int("anomalies", d.failed), slog.String("error", err.Error()))
	}
	return d
}

// rank is the sort order of a severity, 0 for the most severe.
func rank(s directory.Severity) int {
	switch s {
	case directory.Critical:
		return 0
	case directory.Warning:
		return 1
	default:
		return 2
	}
}
