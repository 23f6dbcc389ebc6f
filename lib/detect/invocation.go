package detect

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"strconv"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// ID names an anomaly by its identity, the same whenever and wherever it is found.
func ID(a *directory.Anomaly) string {
	sum := sha256.New()
	for _, part := range []string{
		string(a.Gateway), string(a.Device), string(a.Metric), strconv.FormatInt(int64(a.Time), 10), string(a.Kind), string(a.Rule),
	} {
		sum.Write(strconv.AppendInt(nil, int64(len(part)), 10))
		sum.Write([]byte{':'})
		sum.Write([]byte(part))
	}
	const size = 16
	return hex.EncodeToString(sum.Sum(nil)[:size])
}

// telling is of how many anomalies somebody was told, of how many not, and how many
// were left out.
type telling struct{ told, failed, left int }

// invocation is what became of one invocation's records.
type invocation struct {
	shard     shardstate.ShardID
	watermark shardstate.Sequence

	records, skipped, poison int
	events                   int
	report                   Report
	limited                  telemetry.GatewayID
	begun, dropped           int // series
	found                    []directory.Anomaly
	kept                     Kept
	told, drawn              telling

	series, size           int
	load, fold, keep, save time.Duration
}

func (v *invocation) count(b *telemetry.Batch, r Report) {
	v.events += b.Len()
	v.report.add(r)
	if r.Refused > 0 {
		v.limited = b.Gateway
	}
}

// attrs is the invocation's line.
func (v *invocation) attrs() []slog.Attr {
	return []slog.Attr{
		slog.String("shard", string(v.shard)),
		slog.Int("records", v.records),
		slog.Int("skipped", v.skipped),
		slog.Int("poison", v.poison),
		slog.Int("events", v.events),
		slog.Int("scored", v.report.Scored),
		slog.Int("late", v.report.Late),
		slog.Int("bad", v.report.Bad),
		slog.Int("refused", v.report.Refused),
		slog.Int("anomalies", len(v.found)),
		slog.Int("added", v.kept.Added),
		slog.Int("anomalies_refused", v.kept.Refused),
		slog.Int("told", v.told.told),
		slog.Int("drawn", v.drawn.told),
		slog.Int("series", v.series),
		slog.Int("state_bytes", v.size),
		slog.Int64("load_us", v.load.Microseconds()),
		slog.Int64("fold_us", v.fold.Microseconds()),
		slog.Int64("keep_us", v.keep.Microseconds()),
		slog.Int64("save_us", v.save.Microseconds()),
		slog.String("watermark", string(v.watermark)),
	}
}
