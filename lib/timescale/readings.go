package timescale

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// customPlan makes PostgreSQL plan a statement for its parameters. Statements over event,
// event_minute and event_hour need that: the planner excludes chunks by the times.
const customPlan = pgx.QueryExecModeCacheDescribe

// seriesState is what a query of a range of a series depends on.
type seriesState struct {
	device, metric           int32
	unit                     string
	watermark, hourWatermark time.Time
	// Events and minutes before these times may have been dropped.
	eventsSince, minutesSince time.Time
	// stale are the hours of the range whose minutes do not agree with their events.
	stale []time.Time
}

// lookUpSeries returns the state of a series, or telemetry.ErrNotFound. It is read before
// the range itself: an hour that becomes stale in between does so with an event that was
// stored after the query began.
//
// It reads no hypertable, so that its statement can be prepared.
func lookUpSeries(ctx context.Context, conn *pgx.Conn, s readings.Series, r readings.Range) (seriesState, error) {
	return queryOne(ctx, conn, func(row pgx.CollectableRow) (st seriesState, err error) {
		err = row.Scan(&st.device, &st.metric, &st.unit, &st.watermark, &st.hourWatermark, &st.eventsSince, &st.minutesSince, &st.stale)
		return st, err
	}, `SELECT d.id, m.id, m.unit, w.watermark, w.hour_watermark, w.events_since, w.minutes_since,
			ARRAY(SELECT DISTINCT hour FROM rollup_stale WHERE device_id = d.id AND metric_id = m.id
				AND hour > $5::timestamptz - interval '1 hour' AND hour < $6::timestamptz AND hour >= w.events_since ORDER BY hour)
		FROM gateway g JOIN device d ON d.gateway_id = g.id JOIN metric m ON m.gateway_id = g.id CROSS JOIN rollup_watermark w
		WHERE g.site = $1 AND g.name = $2 AND d.name = $3 AND m.name = $4 AND d.reported AND m.reported`,
		string(s.Site), string(s.Gateway), string(s.Device), string(s.Metric), r.From.Time(), r.To.Time())
}

// minimumCount returns how many readings a range has at least, by its first minutes.
func minimumCount(ctx context.Context, conn *pgx.Conn, st seriesState, r readings.Range, q readings.Qualities) (int64, error) {
	return queryOne(ctx, conn, pgx.RowTo[int64], `SELECT coalesce(sum(count), 0)::int8 FROM (SELECT count FROM event_minute
		WHERE device_id = $1 AND metric_id = $2 AND minute >= $3 AND minute < $4::timestamptz - interval '1 minute'
			AND quality = ANY ($5::int2[]) ORDER BY minute
				LIMIT 100) AS minutes`, customPlan, st.device, st.metric, r.From.Time(), r.To.Time(), codes(q))
}

// codes are qualities as the tables store them.
func codes(q readings.Qualities) []int16 {
	out := make([]int16, len(q))
	for i, quality := range q {
		out[i] = int16(quality)
	}
	return out
}

// Points returns single readings of a series; see readings.PointQuery.
// telemetry.ErrNotFound: the site has no such series.
func (p *Pool) Points(ctx context.Context, s readings.Series, q readings.PointQuery) (points readings.Points, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		st, err := lookUpSeries(ctx, conn, s, q.Range)
		if err != nil {
			return err
		}
		points = readings.Points{Unit: st.unit}
		if q.Whole {
			if points.StoredWidth, err = coarserWidth(ctx, conn, st, q.Range); err != nil || points.StoredWidth > 0 {
				points.More = true
				return err
			}
		}
		if q.Whole && len(st.stale) == 0 {
			if n, err := minimumCount(ctx, conn, st, q.Range, q.Qualities); err != nil || n > int64(q.Limit) {
				points.More = true
				return err
			}
		}
		// The subquery hides the limit from the planner, which then expects to read a part
		// of the range and uses an index scan. With a visible limit it chooses a bitmap scan
		// and a sort, at twice the cost: index and pages are in the requested order anyway.
		rows, err := conn.Query(ctx, `SELECT time, value, quality FROM event
			WHERE device_id = $1 AND metric_id = $2 AND time >= $3 AND time < $4 AND quality = ANY ($5::int2[])
				ORDER BY time LIMIT (SELECT $6::int8)`,
			customPlan, st.device, st.metric, q.Range.From.Time(), q.Range.To.Time(), codes(q.Qualities), q.Limit+1)
		if err != nil {
			return err
		}
		if err := appendPoints(&points, rows); err != nil {
			return err
		}
		if points.More = len(points.Times) > q.Limit; points.More {
			points.Times, points.Values, points.Quality = points.Times[:q.Limit], points.Values[:q.Limit], points.Quality[:q.Limit]
		}
		return nil
	})
	if err != nil {
		return readings.Points{}, fmt.Errorf("readings of %s/%s/%s: %w", s.Gateway, s.Device, s.Metric, err)
	}
	return points, nil
}

var errFormat = errors.New("the driver did not return values in binary format")

// appendPoints reads rows of time, value, quality.
func appendPoints(points *readings.Points, rows pgx.Rows) error {
	return readBinary(rows, []int{8, 8, 2}, func(v [][]byte) {
		points.Times = append(points.Times, microsOf(v[0]))
		points.Values = append(points.Values, float64Of(v[1]))
		points.Quality = append(points.Quality, telemetry.Quality(binary.BigEndian.Uint16(v[2])))
	})
}

// readBinary passes the values of each row to add, without the driver's conversions.
// Their lengths must be those of sizes.
func readBinary(rows pgx.Rows, sizes []int, add func(v [][]byte)) error {
	defer rows.Close()
	for _, f := range rows.FieldDescriptions() {
		if f.Format != pgx.BinaryFormatCode {
			return errFormat
		}
	}
	for rows.Next() {
		v := rows.RawValues()
		if len(v) != len(sizes) {
			return errFormat
		}
		for i, size := range sizes {
			if len(v[i]) != size {
				return errFormat
			}
		}
		add(v)
	}
	return rows.Err()
}

// microsOf decodes a timestamptz.
func microsOf(raw []byte) telemetry.Micros {
	return telemetry.Micros(binary.BigEndian.Uint64(raw)) + postgresEpoch
}

// float64Of decodes a float8.
func float64Of(raw []byte) float64 { return math.Float64frombits(binary.BigEndian.Uint64(raw)) }

// Buckets returns a series in buckets, from hours and minutes as far as they are rolled
// up, and from events for the rest; see readings.BucketQuery. telemetry.ErrNotFound: the site has no such series.
func (p *Pool) Buckets(ctx context.Context, s readings.Series, q readings.BucketQuery) (buckets readings.Buckets, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		st, err := lookUpSeries(ctx, conn, s, q.Range)
		if err != nil {
			return err
		}
		statement, arguments, err := bucketStatement(st, q)
		if err != nil {
			return err
		}
		rows, err := conn.Query(ctx, statement, append([]any{customPlan}, arguments...)...)
		if err != nil {
			return err
		}
		buckets = readings.Buckets{Unit: st.unit, Columns: make([][]float64, len(q.Aggregates))}
		return appendBuckets(&buckets, rows)
	})
	if err != nil {
		return readings.Buckets{}, fmt.Errorf("buckets of %s/%s/%s: %w", s.Gateway, s.Device, s.Metric, err)
	}
	return buckets, nil
}

// appendBuckets reads rows of a time and a value for each column.
func appendBuckets(buckets *readings.Buckets, rows pgx.Rows) error {
	return readBinary(rows, slices.Repeat([]int{8}, 1+len(buckets.Columns)), func(v [][]byte) {
		buckets.Times = append(buckets.Times, microsOf(v[0]))
		for i, raw := range v[1:] {
			buckets.Columns[i] = append(buckets.Columns[i], float64Of(raw))
		}
	})
}
