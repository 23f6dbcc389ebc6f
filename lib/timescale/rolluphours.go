package timescale

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// hourRows inserts the hours of the minutes of wanted(device_id, metric_id, since, until),
// which are whole hours. All are between $1 and $2.
const hourRows = `
	INSERT INTO event_hour (device_id, metric_id, hour, quality, count, sum, min, max, first_at, first, last_at, last)
	SELECT wanted.device_id, wanted.metric_id, made.*
	FROM wanted CROSS JOIN LATERAL (
		SELECT date_bin('1 hour', minute, 'epoch') AS hour, quality, sum(count)::int, sum(sum), min(min), max(max),
			min(first_at), (array_agg(first ORDER BY first_at))[1],
			max(last_at), (array_agg(last ORDER BY last_at DESC))[1]
		FROM event_minute
		WHERE event_minute.device_id = wanted.device_id AND event_minute.metric_id = wanted.metric_id
			AND minute >= wanted.since AND minute < wanted.until AND minute >= $1 AND minute < $2
		GROUP BY 1, 2) AS made`

// advanceHours inserts the next hour before the watermark. A stale hour is made of the
// minutes that exist, and rebuilt later with them. After the migration that creates the
// table there is a backlog of hours; spans without minutes are skipped.
func advanceHours(ctx context.Context, tx pgx.Tx, state rollupState, done *Rollup) (bool, error) {
	from, target := state.hourWatermark, state.watermark.Truncate(time.Hour)
	if !target.After(from) {
		return false, nil
	}
	if target.Sub(from) > time.Hour {
		if err := tx.QueryRow(ctx, `SELECT date_bin('1 hour', coalesce(min(next.minute), $2), 'epoch') FROM series CROSS JOIN LATERAL (
			SELECT minute FROM event_minute WHERE event_minute.device_id = series.device_id AND event_minute.metric_id = series.metric_id
				AND minute >= $1 AND minute < $2 ORDER BY minute LIMIT 1) AS next`, customPlan, from, target).Scan(&from); err != nil {
			return false, fmt.Errorf("the first minute from %v: %w", state.hourWatermark, err)
		}
	}
	to := from
	if from.Before(target) {
		to = from.Add(time.Hour)
		if _, err := tx.Exec(ctx, allSeries+hourRows, customPlan, from, to); err != nil {
			return false, fmt.Errorf("the hour from %v: %w", from, err)
		}
	}
	done.HourWatermark = to
	_, err := tx.Exec(ctx, "UPDATE rollup_watermark SET hour_watermark = $1", to)
	return true, err
}
