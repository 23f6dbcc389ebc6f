// Package verify compares the acknowledged events of a fleet with the stored ones.
package verify

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/loadtest/fleet"
)

// Key identifies a series.
type Key struct{ Gateway, Device, Metric string }

// Sums are the number of events of a series, the sum of their times in µs since the start
// and the sum of their values in thousandths.
type Sums struct{ Count, TimeSum, ValueSum int64 }

// Finding is the result of a comparison; numbers are of events unless documented otherwise.
type Finding struct {
	Acknowledged int64 `json:"acknowledged"`
	Stored       int64 `json:"stored"`
	// Lost were acknowledged and are not stored.
	Lost int64 `json:"lost"`
	// Doubled are stored more than once.
	Doubled int64 `json:"doubled"`
	// Unacknowledged are stored without a response, as after a broken connection.
	Unacknowledged int64 `json:"stored_unacknowledged"`
	// Different is the number of series with the right number of events and other times or values.
	Different int64 `json:"different_series"`
	Series    int   `json:"series"`
}

// Acknowledged returns the sums of the acknowledged events of a fleet.
func Acknowledged(gateways []*fleet.Gateway) map[Key]Sums {
	out := map[Key]Sums{}
	for _, g := range gateways {
		for _, s := range g.Acknowledged() {
			if s.Count > 0 {
				out[Key{g.ID, s.Device, s.Metric}] = Sums{s.Count, s.TimeSum, s.ValueSum}
			}
		}
	}
	return out
}

// Compare compares the acknowledged with the stored events. It leaves Doubled to [Doubled].
func Compare(acked, stored map[Key]Sums) Finding {
	f := Finding{Series: len(acked)}
	for k, a := range acked {
		s := stored[k]
		f.Acknowledged += a.Count
		switch {
		case s.Count < a.Count:
			f.Lost += a.Count - s.Count
		case s.Count == a.Count && s != a:
			f.Different++
		}
	}
	for k, s := range stored {
		f.Stored += s.Count
		f.Unacknowledged += max(0, s.Count-acked[k].Count)
	}
	return f
}

// Stored reads the sums of all gateways whose names have the prefix from a database with
// the platform's schema.
func Stored(ctx context.Context, db *pgx.Conn, prefix string, start time.Time) (map[Key]Sums, error) {
	const q = `
SELECT g.name, d.name, m.name, s.n, s.t, s.v
FROM (SELECT device_id, metric_id, count(*) AS n,
             sum((extract(epoch FROM time) * 1000000)::bigint - $2::bigint)::bigint AS t,
             sum(round(value * 1000)::bigint)::bigint AS v
      FROM event
      WHERE device_id IN (SELECT d.id FROM device d JOIN gateway g ON g.id = d.gateway_id WHERE starts_with(g.name, $1))
      GROUP BY device_id, metric_id) s
JOIN device d ON d.id = s.device_id
JOIN gateway g ON g.id = d.gateway_id
JOIN metric m ON m.id = s.metric_id`
	rows, err := db.Query(ctx, q, prefix, start.UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("sum up stored events: %w", err)
	}
	out := map[Key]Sums{}
	var k Key
	var s Sums
	_, err = pgx.ForEachRow(rows, []any{&k.Gateway, &k.Device, &k.Metric, &s.Count, &s.TimeSum, &s.ValueSum}, func() error {
		out[k] = s
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("sum up stored events: %w", err)
	}
	return out, nil
}

// Doubled counts rows with the same identity as another row. It sorts the rows instead of
// relying on the unique index.
func Doubled(ctx context.Context, db *pgx.Conn) (int64, error) {
	const q = `
SELECT count(*) FROM (
  SELECT time = lag(time) OVER (PARTITION BY device_id, metric_id ORDER BY time) AS duplicate FROM event) s
WHERE duplicate`
	var n int64
	if err := db.QueryRow(ctx, q).Scan(&n); err != nil {
		return 0, fmt.Errorf("count duplicate events: %w", err)
	}
	return n, nil
}
