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
	Settings  *Settings
	Metrics   prometheus.Registerer
	Log       *slog.Logger
	Now       func() time.Time
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
	counts  counts // of this attempt
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
	c.folder.found = c.folder.found[:0]
}

// Fold implements stream.Consumer.
func (c *consumer) Fold(ctx context.Context, a *stream.Attempt[*State]) error {
	f, state := &c.folder, a.State
	f.state = state
	state.configure(c.config.Settings.current)
	c.counts.resets, c.counts.dropped = state.resets, state.dropped
	state.resets, state.dropped = 0, 0
	err := a.Each(ctx, func(b *telemetry.Batch, arrival telemetry.Micros) {
		c.counts.add(b, f.observe(b, arrival))
	}, func(r *telemetry.Record) error {
		if !r.Arrival.IsZero() {
			f.advance(telemetry.MicrosOf(r.Arrival))
		}
		return nil
	})
	f.state = nil
	if err != nil {
		return err
	}
	if n := &c.counts; n.report.Refused+n.dropped+n.resets > 0 {
		c.config.Log.LogAttrs(ctx, slog.LevelWarn, "not all series are scored", slog.String("shard", string(a.Shard)),
			slog.String("gateway", string(n.limited)), slog.Int("refused", n.report.Refused), slog.Int("dropped", n.dropped),
			slog.Int("detectors_reset", n.resets))
	}
	if len(f.found) == 0 {
		return nil
	}
	return a.Perform(ctx, func(ctx context.Context) error { return c.storeAndNotify(ctx, a.Shard) })
}

// storeAndNotify stores the anomalies, then notifies and exports their scores.
func (c *consumer) storeAndNotify(ctx context.Context, shard shardstate.ShardID) error {
	added, err := c.config.Anomalies.Add(ctx, c.folder.found)
	c.counts.stored = added
	if err != nil {
		return err
	}
	config := &c.config
	c.counts.notified = c.notify(ctx, shard, "anomaly notifications failed", config.Notifier, config.NotifyTimeout, config.MaxNotified)
	if config.Scores != nil {
		c.counts.exported = c.notify(ctx, shard, "anomaly scores not exported", config.Scores, config.ScoresTimeout, config.MaxScores)
	}
	return nil
}

// notify sends the most severe anomalies, at most limit, within timeout. The others are
// in the database only. The text failure is logged for those that could not be sent.
func (c *consumer) notify(
	ctx context.Context, shard shardstate.ShardID, failure string, to Notifier, timeout time.Duration, limit int,
) delivery {
	found := c.folder.found
	if len(found) > limit {
		found = slices.Clone(found)
		slices.SortStableFunc(found, func(a, b directory.Anomaly) int { return rank(a.Severity) - rank(b.Severity) })
		found = found[:limit]
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	sent, err := to.Notify(ctx, found)
	d := delivery{sent: sent, failed: len(found) - sent, leftOut: len(c.folder.found) - len(found)}
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
