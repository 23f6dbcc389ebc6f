package detect

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"strconv"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/stream"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// ID returns a hash of the anomaly's identity, which is the same after each redelivery.
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

// delivery counts the anomalies that were sent, that failed, and that were left out
// above the limit of an invocation.
type delivery struct{ sent, failed, leftOut int }

func (d *delivery) add(o delivery) {
	d.sent += o.sent
	d.failed += o.failed
	d.leftOut += o.leftOut
}

// counts are the outcomes of an attempt's events and anomalies.
type counts struct {
	report             Report
	limited            telemetry.GatewayID
	resets, dropped    int // series
	stored             AddResult
	notified, exported delivery
}

func (c *counts) add(b *telemetry.Batch, r Report) {
	c.report.add(r)
	if r.Refused > 0 {
		c.limited = b.Gateway
	}
}

// Report implements stream.Consumer.
func (c *consumer) Report(attrs []slog.Attr, a *stream.Attempt[*State], err error) []slog.Attr {
	series := 0
	if a.State != nil {
		series = a.State.series
	}
	c.metrics.add(string(a.Shard), &c.counts, c.folder.found, series, err)
	n := &c.counts
	return append(attrs,
		slog.Int("scored", n.report.Scored),
		slog.Int("late", n.report.Late),
		slog.Int("held", n.report.Held),
		slog.Int("bad", n.report.Bad),
		slog.Int("refused", n.report.Refused),
		slog.Int("anomalies", len(c.folder.found)),
		slog.Int("added", n.stored.Added),
		slog.Int("ended", len(c.ended)),
		slog.Int("anomalies_rejected", n.stored.Rejected),
		slog.Int("notified", n.notified.sent),
		slog.Int("exported", n.exported.sent),
		slog.Int("series", series),
	)
}
