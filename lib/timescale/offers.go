package timescale

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// offers are rows in columns, as unnest takes them. Times travel as
// microseconds since 1970, for arrays of timestamps would need a time.Time each.
type offers struct {
	device, metric []int32
	time           []int64
	value          []float64
	quality        []int16
	first, last    telemetry.Micros
}

func (o *offers) reset(rows []row) {
	o.device, o.metric, o.time = o.device[:0], o.metric[:0], o.time[:0]
	o.value, o.quality = o.value[:0], o.quality[:0]
	if len(rows) > 0 {
		o.first, o.last = rows[0].time, rows[0].time
	}
	o.add(rows)
}

func (o *offers) add(rows []row) {
	for _, r := range rows {
		o.device = append(o.device, int32(r.device()))
		o.metric = append(o.metric, int32(r.metric()))
		o.time = append(o.time, int64(r.time))
		o.value = append(o.value, r.value)
		o.quality = append(o.quality, int16(r.quality))
		o.first, o.last = min(o.first, r.time), max(o.last, r.time)
	}
}

// The interval arithmetic is exact: an interval counts microseconds as an integer.
const offerRows = `
	SELECT device_id, metric_id, timestamptz 'epoch' + micros * interval '1 microsecond' AS time, value, quality
	FROM unnest($1::int4[], $2::int4[], $3::int8[], $4::float8[], $5::int2[])
		AS offer(device_id, metric_id, micros, value, quality)`

// insert stores the rows whose identity is new, in their order, and returns how
// many those were.
func (o *offers) insert(ctx context.Context, conn *pgx.Conn) (int, error) {
	tag, err := conn.Exec(ctx, `
		INSERT INTO event (device_id, metric_id, time, value, quality)`+offerRows+`
		ON CONFLICT DO NOTHING`,
		o.device, o.metric, o.time, o.value, o.quality)
	if err != nil {
		return 0, fmt.Errorf("insert %d rows: %w", len(o.time), err)
	}
	return int(tag.RowsAffected()), nil
}

// noteConflicts records the offers that contradict what is stored, each once
// however often it comes, and returns how many different ones do.
//
// The lateral subquery with its limit makes the planner look each offer up in
// the index: a join it would rather hash, reading whole chunks (0.7 s for 10,000
// offers into two chunks of a million rows, against 0.15 s). The bounds on the
// time let it leave out the chunks that can not match; for that it has to see
// their values, hence no prepared statement.
func (o *offers) noteConflicts(ctx context.Context, conn *pgx.Conn) (int, error) {
	var conflicts int
	err := conn.QueryRow(ctx, `
		WITH offer AS (`+offerRows+`),
		contradicting AS (
			SELECT DISTINCT offer.* FROM offer CROSS JOIN LATERAL (
				SELECT event.value, event.quality FROM event
				WHERE event.device_id = offer.device_id AND event.metric_id = offer.metric_id AND event.time = offer.time
				AND event.time BETWEEN $6 AND $7
				LIMIT 1) AS stored
			WHERE stored.value <> offer.value OR stored.quality <> offer.quality),
		noted AS (
			INSERT INTO conflict (device_id, metric_id, time, value, quality)
			SELECT device_id, metric_id, time, value, quality FROM contradicting
			ORDER BY device_id, metric_id, time, value, quality
			ON CONFLICT DO NOTHING)
		SELECT count(*) FROM contradicting`,
		pgx.QueryExecModeExec, o.device, o.metric, o.time, o.value, o.quality, o.first.Time(), o.last.Time()).Scan(&conflicts)
	if err != nil {
		return 0, fmt.Errorf("compare %d rows with what is stored: %w", len(o.time), err)
	}
	return conflicts, nil
}
