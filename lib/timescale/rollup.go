package timescale

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// The table event_minute holds the events by minute up to a watermark, which
// RefreshRollup moves. What is written for a time before it makes the hour of that
// series stale, in the same transaction: whoever sees the event sees that the hour
// is, and reads the events themselves until the hour was made again. So a range is
// answered from minutes as it would be from events, however late those came.
const (
	// RollupLag is how far behind the database's clock the watermark stays.
	RollupLag = 10 * time.Minute
	// lateAfter is the age from which a write marks its hours. The difference to
	// RollupLag is for clocks that differ, and for the write itself.
	lateAfter = 5 * time.Minute
	// slowWrite is how long a write may take before it marks its hours afterwards,
	// as the watermark may have passed them meanwhile.
	slowWrite = 2 * time.Minute

	// rollupStep is the most that one transaction moves the watermark.
	rollupStep = time.Hour
	// rollupHours is how many stale hours one transaction makes again.
	rollupHours = 500
	rollupLock  = 0x726f6c6c7570 // "rollup" in ASCII
)

// Rollup says what a refresh did.
type Rollup struct {
	// Watermark is where the minutes now end.
	Watermark time.Time
	// Minutes is how far the watermark moved; Hours how many stale hours of series were made again.
	Minutes, Hours int
	// Behind is set when there is more to do: the context had ended, or another refresh is at it.
	Behind bool
}

// errBusy: another refresh holds the lock.
var errBusy = errors.New("another refresh is under way")

// RefreshRollup brings the minutes up to date, in transactions of bounded size, until
// all is done or the context's deadline is near. Two at a time do no harm: the second
// leaves the work to the first.
func (p *Pool) RefreshRollup(ctx context.Context) (done Rollup, err error) {
	more := true
	for more {
		if deadline, ok := ctx.Deadline(); ok && deadline.Sub(p.config.Now()) < p.config.StatementTimeout/2 {
			done.Behind = true
			return done, nil
		}
		more, err = p.refreshStep(ctx, &done)
		if errors.Is(err, errBusy) {
			done.Behind = true
			return done, nil
		}
		if err != nil {
			return done, fmt.Errorf("refresh the rollup from %v: %w", done.Watermark, err)
		}
	}
	return done, nil
}

// refreshStep is one transaction: the watermark first, then what is stale.
func (p *Pool) refreshStep(ctx context.Context, done *Rollup) (more bool, err error) {
	var watermark time.Time
	var minutes, hours int
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			var locked bool
			if err := tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1)", int64(rollupLock)).Scan(&locked); err != nil {
				return err
			}
			if !locked {
				return errBusy
			}
			var from, target time.Time
			if err := tx.QueryRow(ctx, `SELECT watermark, date_bin('1 minute', now() - $1::interval, 'epoch') FROM rollup_watermark`, RollupLag).Scan(&from, &target); err != nil {
				return err
			}
			watermark, minutes, hours = from, 0, 0
			if target.After(from) {
				watermark = from.Add(min(target.Sub(from), rollupStep))
				minutes = int(watermark.Sub(from) / time.Minute)
				more = true
				return advance(ctx, tx, from, watermark)
			}
			hours, err = mend(ctx, tx, watermark)
			more = hours > 0
			return err
		})
	})
	if err != nil {
		return false, err
	}
	done.Watermark, done.Minutes, done.Hours = watermark, done.Minutes+minutes, done.Hours+hours
	return more, nil
}

// minuteRows makes the minutes of the events of wanted(device_id, metric_id, since, until).
// $1 and $2 bound them all, for the planner to leave out chunks.
const minuteRows = `
	INSERT INTO event_minute (device_id, metric_id, minute, quality, count, sum, min, max, first_at, first, last_at, last)
	SELECT wanted.device_id, wanted.metric_id, made.*
	FROM wanted CROSS JOIN LATERAL (
		SELECT date_bin('1 minute', time, 'epoch') AS minute, quality, count(*), sum(least(greatest(value, -1e290), 1e290)), min(value), max(value),
			min(time), (array_agg(value ORDER BY time))[1], max(time), (array_agg(value ORDER BY time DESC))[1]
		FROM event
		WHERE event.device_id = wanted.device_id AND event.metric_id = wanted.metric_id
			AND time >= wanted.since AND time < wanted.until AND time >= $1 AND time < $2
		GROUP BY 1, 2) AS made`

// advance makes the minutes from one watermark to the next.
func advance(ctx context.Context, tx pgx.Tx, from, to time.Time) error {
	if _, err := tx.Exec(ctx, `WITH wanted AS MATERIALIZED (SELECT device_id, metric_id, $1::timestamptz AS since, $2::timestamptz AS until FROM series)`+minuteRows,
		pgx.QueryExecModeCacheDescribe, from, to); err != nil {
		return fmt.Errorf("minutes from %v: %w", from, err)
	}
	_, err := tx.Exec(ctx, "UPDATE rollup_watermark SET watermark = $1", to)
	return err
}

// mend makes stale hours again and returns how many. An event that is stored after the
// first statement comes with a stale row of its own, which stays for the next time.
func mend(ctx context.Context, tx pgx.Tx, watermark time.Time) (int, error) {
	rows, err := tx.Query(ctx, `
		WITH picked AS (SELECT device_id, metric_id, hour FROM rollup_stale GROUP BY 1, 2, 3 LIMIT $1),
		taken AS (DELETE FROM rollup_stale USING picked WHERE rollup_stale.device_id = picked.device_id
			AND rollup_stale.metric_id = picked.metric_id AND rollup_stale.hour = picked.hour)
		SELECT device_id, metric_id, hour FROM picked`, rollupHours)
	if err != nil {
		return 0, err
	}
	var devices, metrics []int32
	var hours []time.Time
	var first, last time.Time
	var device, metric int32
	var hour time.Time
	_, err = pgx.ForEachRow(rows, []any{&device, &metric, &hour}, func() error {
		if len(hours) == 0 || hour.Before(first) {
			first = hour
		}
		if len(hours) == 0 || hour.After(last) {
			last = hour
		}
		devices, metrics, hours = append(devices, device), append(metrics, metric), append(hours, hour)
		return nil
	})
	if err != nil || len(hours) == 0 {
		return 0, err
	}
	until := last.Add(time.Hour)
	if until.After(watermark) {
		until = watermark
	}
	const wanted = `SELECT device_id, metric_id, hour AS since, hour + interval '1 hour' AS until FROM unnest($3::int4[], $4::int4[], $5::timestamptz[]) AS stale(device_id, metric_id, hour)`
	if _, err := tx.Exec(ctx, `DELETE FROM event_minute USING (`+wanted+`) AS wanted
		WHERE event_minute.device_id = wanted.device_id AND event_minute.metric_id = wanted.metric_id
			AND minute >= wanted.since AND minute < wanted.until AND minute >= $1 AND minute < $2`,
		pgx.QueryExecModeCacheDescribe, first, until, devices, metrics, hours); err != nil {
		return 0, fmt.Errorf("take away the minutes of %d stale hours: %w", len(hours), err)
	}
	if _, err := tx.Exec(ctx, `WITH wanted AS MATERIALIZED (`+wanted+`)`+minuteRows,
		pgx.QueryExecModeCacheDescribe, first, until, devices, metrics, hours); err != nil {
		return 0, fmt.Errorf("make %d stale hours again: %w", len(hours), err)
	}
	return len(hours), nil
}

// hourOf is the start of the hour of a time.
func hourOf(at telemetry.Micros) telemetry.Micros {
	return floorTo(at, telemetry.Micros(time.Hour/time.Microsecond))
}

// floorTo is the greatest multiple of step that is not after at.
func floorTo(at, step telemetry.Micros) telemetry.Micros {
	r := at % step
	if r < 0 {
		r += step
	}
	return at - r
}
