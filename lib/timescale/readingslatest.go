package timescale

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// seriesRow is a series and what the query of its latest reading depends on.
type seriesRow struct {
	device, metric int32
	readings.Latest
	watermark, present time.Time
	stale, found       bool
}

func scanSeries(row pgx.CollectableRow) (s seriesRow, err error) {
	err = row.Scan(&s.device, &s.metric, &s.Device, &s.Metric, &s.Unit, &s.watermark, &s.stale, &s.present)
	return s, err
}

// Latest returns the last reading of each series of a gateway by event time, until
// q.Until, in the order of the names of devices and metrics. A series that has none is left
// out. telemetry.ErrNotFound: the site has no such gateway.
func (p *Pool) Latest(ctx context.Context, q readings.LatestQuery) (latest []readings.Latest, err error) {
	for limit := q.Limit; ; {
		page, more, err := p.latestPage(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("latest readings of gateway %s: %w", q.Gateway, err)
		}
		if latest = append(latest, page...); more == (readings.Series{}) || len(latest) >= limit {
			return latest, nil
		}
		// Readings of some series are all in the future: fill the page.
		q.After, q.Limit = more, limit-len(latest)
	}
}

// latestPage returns the readings of q.Limit series, without those that have none, and the
// last of the series, or none if the gateway has no more than these.
func (p *Pool) latestPage(ctx context.Context, q readings.LatestQuery) (latest []readings.Latest, last readings.Series, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		latest, last = nil, readings.Series{}
		rows, err := conn.Query(ctx, `SELECT d.id, m.id, d.name, m.name, m.unit, (SELECT watermark FROM rollup_watermark),
				EXISTS (SELECT FROM rollup_stale r WHERE r.device_id = s.device_id AND r.metric_id = s.metric_id),
				coalesce($8::timestamptz, now())
			FROM device d JOIN series s ON s.device_id = d.id JOIN metric m ON m.id = s.metric_id
			WHERE d.gateway_id = (SELECT id FROM gateway WHERE site = $1 AND name = $2)
				AND ($3 = '' OR d.name = $3) AND ($4 = '' OR m.name = $4) AND (d.name, m.name) > ($5, $6)
			ORDER BY d.name, m.name LIMIT $7`,
			string(q.Site), string(q.Gateway), string(q.Device), string(q.Metric), string(q.After.Device), string(q.After.Metric),
			q.Limit, orNull(q.Until))
		if err != nil {
			return err
		}
		series, err := pgx.CollectRows(rows, scanSeries)
		if err != nil {
			return err
		}
		if len(series) == 0 {
			_, err := queryOne(ctx, conn, pgx.RowTo[int32], "SELECT id FROM gateway WHERE site = $1 AND name = $2",
				string(q.Site), string(q.Gateway))
			return err
		}
		if len(series) == q.Limit {
			s := &series[q.Limit-1]
			last = readings.Series{Device: s.Device, Metric: s.Metric}
		}
		search := latestSearch{conn, series}
		if err := search.all(ctx); err != nil {
			return err
		}
		for i := range series {
			if series[i].found {
				latest = append(latest, series[i].Latest)
			}
		}
		return nil
	})
	return latest, last, err
}

// latestSearch searches the latest readings of series.
type latestSearch struct {
	conn   *pgx.Conn
	series []seriesRow
}

// all fills in the latest readings. It searches the events after the watermark first, then
// the minutes and the events of stale hours, all of which are in the past.
func (l latestSearch) all(ctx context.Context) error {
	series := l.series
	missing, err := l.query(ctx, indexes(series), `SELECT time, value, quality FROM event
		WHERE event.device_id = wanted.device_id AND event.metric_id = wanted.metric_id AND time >= $3 AND time <= $4
			ORDER BY time DESC LIMIT 1`)
	if err != nil || len(missing) == 0 {
		return err
	}
	var rolledUp, stale []int
	for _, i := range missing {
		if series[i].stale {
			stale = append(stale, i)
		} else {
			rolledUp = append(rolledUp, i)
		}
	}
	if _, err := l.query(ctx, rolledUp, `SELECT last_at AS time, last AS value, quality FROM event_minute
		WHERE event_minute.device_id = wanted.device_id AND event_minute.metric_id = wanted.metric_id AND minute < $3 AND last_at <= $4
		ORDER BY minute DESC, last_at DESC LIMIT 1`); err != nil {
		return err
	}
	// The latest of the minutes that are not stale and of the events of stale hours.
	_, err = l.query(ctx, stale, `(SELECT last_at AS time, last AS value, quality FROM event_minute
			WHERE event_minute.device_id = wanted.device_id AND event_minute.metric_id = wanted.metric_id AND minute < $3 AND last_at <= $4
				AND NOT EXISTS (SELECT FROM rollup_stale r WHERE r.device_id = wanted.device_id AND r.metric_id = wanted.metric_id
					AND r.hour = date_bin('1 hour', minute, 'epoch'))
			ORDER BY minute DESC, last_at DESC LIMIT 1)
		UNION ALL
		(SELECT latest.* FROM (SELECT DISTINCT hour FROM rollup_stale r
				WHERE r.device_id = wanted.device_id AND r.metric_id = wanted.metric_id) AS hours
			CROSS JOIN LATERAL (SELECT time, value, quality FROM event
				WHERE event.device_id = wanted.device_id AND event.metric_id = wanted.metric_id
					AND time >= hour AND time < hour + interval '1 hour' AND time <= $4
				ORDER BY time DESC LIMIT 1) AS latest
			ORDER BY hour DESC LIMIT 1)
		ORDER BY time DESC LIMIT 1`)
	return err
}

func indexes(series []seriesRow) []int {
	all := make([]int, len(series))
	for i := range all {
		all[i] = i
	}
	return all
}

// query runs a subquery of the latest reading for some of the series, which are
// wanted(device_id, metric_id) there; $3 is the watermark and $4 the present. It returns the
// series for which the subquery found nothing.
func (l latestSearch) query(ctx context.Context, which []int, subquery string) (missing []int, err error) {
	if len(which) == 0 {
		return nil, nil
	}
	series := l.series
	devices, metrics := make([]int32, len(which)), make([]int32, len(which))
	for n, i := range which {
		devices[n], metrics[n] = series[i].device, series[i].metric
	}
	rows, err := l.conn.Query(ctx, `SELECT latest.time, latest.value, latest.quality
		FROM unnest($1::int4[], $2::int4[]) WITH ORDINALITY AS wanted(device_id, metric_id, n)
		LEFT JOIN LATERAL (`+subquery+`) AS latest ON true ORDER BY n`,
		customPlan, devices, metrics, series[which[0]].watermark, series[which[0]].present)
	if err != nil {
		return nil, err
	}
	var at *time.Time
	var value *float64
	var quality *int16
	n := 0
	_, err = pgx.ForEachRow(rows, []any{&at, &value, &quality}, func() error {
		i := which[n]
		n++
		if at == nil || value == nil || quality == nil {
			missing = append(missing, i)
			return nil
		}
		series[i].Time, series[i].Value, series[i].Quality = telemetry.MicrosOf(*at), *value, telemetry.Quality(*quality)
		series[i].found = true
		return nil
	})
	return missing, err
}
