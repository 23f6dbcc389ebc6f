package timescale

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Statements over event and event_minute are not prepared once for all parameters:
// the planner has to see the times to leave out the chunks that can not match.
const planned = pgx.QueryExecModeCacheDescribe

// seriesState is what has to be known of a series before a range of it is read.
type seriesState struct {
	device, metric           int32
	unit                     string
	watermark, hourWatermark time.Time
	// What is before may be gone.
	eventsSince, minutesSince time.Time
	// stale are the hours of the range whose minutes are not true.
	stale []time.Time
}

// state looks a series up; telemetry.ErrNotFound when the site has none such. It is
// read before the range itself: an hour that becomes stale in between does so with an
// event that was not there when the question was asked.
//
// It reads no table of chunks, so that its plan can be kept.
func state(ctx context.Context, conn *pgx.Conn, s readings.Series, r readings.Range) (seriesState, error) {
	return queryOne(ctx, conn, func(row pgx.CollectableRow) (st seriesState, err error) {
		err = row.Scan(&st.device, &st.metric, &st.unit, &st.watermark, &st.hourWatermark, &st.eventsSince, &st.minutesSince, &st.stale)
		return st, err
	}, `SELECT d.id, m.id, m.unit, w.watermark, w.hour_watermark, w.events_since, w.minutes_since,
			ARRAY(SELECT DISTINCT hour FROM rollup_stale WHERE device_id = d.id AND metric_id = m.id AND hour > $5::timestamptz - interval '1 hour' AND hour < $6::timestamptz
				AND hour >= w.events_since ORDER BY hour)
		FROM gateway g JOIN device d ON d.gateway_id = g.id JOIN metric m ON m.gateway_id = g.id CROSS JOIN rollup_watermark w
		WHERE g.site = $1 AND g.name = $2 AND d.name = $3 AND m.name = $4`,
		string(s.Site), string(s.Gateway), string(s.Device), string(s.Metric), r.From.Time(), r.To.Time())
}

// atLeast returns how many readings a range has at least, from its first minutes.
func atLeast(ctx context.Context, conn *pgx.Conn, st seriesState, r readings.Range, q readings.Qualities) (int64, error) {
	return queryOne(ctx, conn, pgx.RowTo[int64], `SELECT coalesce(sum(count), 0)::int8 FROM (SELECT count FROM event_minute
		WHERE device_id = $1 AND metric_id = $2 AND minute >= $3 AND minute < $4::timestamptz - interval '1 minute' AND quality = ANY ($5::int2[])
		ORDER BY minute LIMIT 100) AS minutes`, planned, st.device, st.metric, r.From.Time(), r.To.Time(), codes(q))
}

// codes are qualities as the tables keep them.
func codes(q readings.Qualities) []int16 {
	out := make([]int16, len(q))
	for i, quality := range q {
		out[i] = int16(quality)
	}
	return out
}

// Points returns single readings of a series; see readings.PointQuery.
// telemetry.ErrNotFound when the site has no such series.
func (p *Pool) Points(ctx context.Context, s readings.Series, q readings.PointQuery) (points readings.Points, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		st, err := state(ctx, conn, s, q.Range)
		if err != nil {
			return err
		}
		points = readings.Points{Unit: st.unit}
		if q.Whole {
			if points.StoredWidth, err = keptWidth(ctx, conn, st, q.Range); err != nil || points.StoredWidth > 0 {
				points.More = true
				return err
			}
		}
		if q.Whole && len(st.stale) == 0 {
			if some, err := atLeast(ctx, conn, st, q.Range, q.Qualities); err != nil || some > int64(q.Limit) {
				points.More = true
				return err
			}
		}
		// The limit hides in a query of its own from the planner, who then expects to need
		// a part of the range and follows the index. Else it gathers pages and sorts, at
		// twice the cost: the index is in the order asked for, and so are the pages.
		rows, err := conn.Query(ctx, `SELECT time, value, quality FROM event
			WHERE device_id = $1 AND metric_id = $2 AND time >= $3 AND time < $4 AND quality = ANY ($5::int2[]) ORDER BY time LIMIT (SELECT $6::int8)`,
			planned, st.device, st.metric, q.Range.From.Time(), q.Range.To.Time(), codes(q.Qualities), q.Limit+1)
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

var errFormat = errors.New("the driver did not deliver binary values")

// appendPoints reads rows of time, value, quality.
func appendPoints(points *readings.Points, rows pgx.Rows) error {
	defer rows.Close()
	for _, f := range rows.FieldDescriptions() {
		if f.Format != pgx.BinaryFormatCode {
			return errFormat
		}
	}
	for rows.Next() {
		v := rows.RawValues()
		if len(v) != 3 || len(v[0]) != 8 || len(v[1]) != 8 || len(v[2]) != 2 {
			return errFormat
		}
		points.Times = append(points.Times, microsOf(v[0]))
		points.Values = append(points.Values, math.Float64frombits(binary.BigEndian.Uint64(v[1])))
		points.Quality = append(points.Quality, telemetry.Quality(binary.BigEndian.Uint16(v[2])))
	}
	return rows.Err()
}

// microsOf decodes a timestamptz.
func microsOf(raw []byte) telemetry.Micros {
	return telemetry.Micros(binary.BigEndian.Uint64(raw)) + postgresEpoch
}

// Buckets returns a series in buckets, of minutes where there are any and of events for
// the rest; see readings.BucketQuery. telemetry.ErrNotFound when the site has no such series.
func (p *Pool) Buckets(ctx context.Context, s readings.Series, q readings.BucketQuery) (buckets readings.Buckets, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		st, err := state(ctx, conn, s, q.Range)
		if err != nil {
			return err
		}
		statement, arguments, err := bucketStatement(st, q)
		if err != nil {
			return err
		}
		rows, err := conn.Query(ctx, statement, append([]any{planned}, arguments...)...)
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

// appendBuckets reads rows of a time and as many values as there are columns.
func appendBuckets(buckets *readings.Buckets, rows pgx.Rows) error {
	defer rows.Close()
	for _, f := range rows.FieldDescriptions() {
		if f.Format != pgx.BinaryFormatCode {
			return errFormat
		}
	}
	for rows.Next() {
		v := rows.RawValues()
		if len(v) != 1+len(buckets.Columns) || len(v[0]) != 8 {
			return errFormat
		}
		buckets.Times = append(buckets.Times, microsOf(v[0]))
		for i, raw := range v[1:] {
			if len(raw) != 8 {
				return errFormat
			}
			buckets.Columns[i] = append(buckets.Columns[i], math.Float64frombits(binary.BigEndian.Uint64(raw)))
		}
	}
	return rows.Err()
}
