package bridge

import (
	"log/slog"
	"time"

	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// invocation is what became of one invocation's records.
type invocation struct {
	shard     shardstate.ShardID
	watermark shardstate.Sequence

	records, skipped, poison int
	stale                    bool // what was remembered of the shard was an old state
	events                   int
	report                   kpi.Report // of all batches
	atLimit                  int        // events
	limited                  telemetry.GatewayID

	series, size        int
	load, observe, save time.Duration
}

func (v *invocation) count(b *telemetry.Batch, r kpi.Report) {
	v.events += b.Len()
	sum := &v.report
	sum.Accepted += r.Accepted
	sum.Duplicates += r.Duplicates
	sum.Late += r.Late
	sum.Early += r.Early
	sum.Refused += r.Refused
	sum.Unverified += r.Unverified
	sum.Crowded += r.Crowded
	if r.AtLimit() {
		v.atLimit += r.Refused + r.Unverified + r.Crowded
		v.limited = b.Gateway
	}
}

// attrs is the invocation's line.
func (v *invocation) attrs(w *writer) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("shard", string(v.shard)),
		slog.Int("records", v.records),
		slog.Int("skipped", v.skipped),
		slog.Int("poison", v.poison),
		slog.Int("events", v.events),
		slog.Int("duplicates", v.report.Duplicates),
		slog.Int("late", v.report.Late),
		slog.Int("early", v.report.Early),
		slog.Int("refused", v.report.Refused),
		slog.Int("samples", w.written),
		slog.Int("rejected", w.rejected),
		slog.Int("known", w.known),
		slog.Int("requests", w.requests),
		slog.Int("series", v.series),
		slog.Int("state_bytes", v.size),
		slog.Bool("stale", v.stale),
		slog.Int64("load_us", v.load.Microseconds()),
		slog.Int64("observe_us", v.observe.Microseconds()),
		slog.Int64("write_us", w.spent.Microseconds()),
		slog.Int64("save_us", v.save.Microseconds()),
		slog.String("watermark", string(v.watermark)),
	}
	return attrs
}
