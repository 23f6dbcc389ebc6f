package timescale

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// The table event_minute holds the events by minute up to a watermark, which
// RefreshRollup moves. What is written for a time before it makes the hour of that
// series stale, in the same transaction: whoever sees the event sees that the hour
// is, and reads the events themselves until the hour was made again. So a range is
// answered from minutes as it would be from events, however late those came. The same
// goes for the hours, which are made of minutes: what is stale is so in both tables, and
// both are made again in one transaction.
const (
	// RollupLag is how far behind the database's clock the watermark stays.
	RollupLag = 10 * time.Minute
	// lateAfter is the age from which a write marks its hours. The difference to
	// RollupLag is for clocks that differ, and for the write itself.
	lateAfter = 5 * time.Minute
	// slowWrite is how long a write may take before it marks its hours afterwards,
	// as the watermark may have passed them meanwhile.
	slowWrite = 2 * time.Minute

	// minutesStep is the most that one transaction moves the watermark.
	minutesStep = time.Hour
	// rollupHours is how many stale hours one transaction makes again.
	rollupHours = 500
	rollupLock  = 0x726f6c6c7570 // "rollup" in ASCII
)

// Rollup says what a refresh did.
type Rollup struct {
	// Watermark is where the minutes now end, HourWatermark where the hours do.
	Watermark, HourWatermark time.Time
	// Minutes is how far the watermark moved; Hours how many stale hours of series were made
	// again; Lapsed how many were left, since their events are past the retention.
	Minutes, Hours, Lapsed int
	// Behind is set when there is more to do: the context had ended, or another refresh is at it.
	Behind bool
}

// errBusy: another refresh holds the lock.
var errBusy = errors.New("another refresh is under way")

// RefreshRollup brings minutes and hours up to date, in transactions of bounded size, until
// all is done or the context's deadline is near. Two at a time do no harm: the second
// leaves the work to the first.
func (p *Pool) RefreshRollup(ctx context.Context) (done Rollup, err error) {
	for more := true; more; {
		more = false
		// In turns, so that a lot of one does not keep the others waiting.
		for _, step := range []rollupStep{advanceMinutes, advanceHours, mend} {
			if deadline, ok := ctx.Deadline(); ok && deadline.Sub(p.config.Now()) < p.config.StatementTimeout/2 {
				done.Behind = true
				return done, nil
			}
			some, err := p.refreshStep(ctx, &done, step)
			if errors.Is(err, errBusy) {
				done.Behind = true
				return done, nil
			}
			if err != nil {
				return done, fmt.Errorf("refresh the rollup from %v: %w", done.Watermark, err)
			}
			more = more || some
		}
	}
	return done, nil
}

// rollupState is the row of rollup_watermark.
type rollupState struct {
	watermark, hourWatermark              time.Time
	eventsSince, minutesSince, hoursSince time.Time
	now                                   time.Time // of the database
}

// rollupStep is what one transaction does. It changes done, and reports whether there may
// be more to do.
type rollupStep func(ctx context.Context, tx pgx.Tx, now rollupState, done *Rollup) (more bool, err error)

func (p *Pool) refreshStep(ctx context.Context, done *Rollup, step rollupStep) (more bool, err error) {
	var next Rollup
	err = p.alone(ctx, func(ctx context.Context, tx pgx.Tx, now rollupState) error {
		next = *done
		next.Watermark, next.HourWatermark = now.watermark, now.hourWatermark
		more, err = step(ctx, tx, now, &next)
		return err
	})
	if err != nil {
		return false, err
	}
	*done = next
	return more, nil
}

// alone runs f in a transaction during which no other changes what is rolled up; errBusy
// when another does.
func (p *Pool) alone(ctx context.Context, f func(context.Context, pgx.Tx, rollupState) error) error {
	return p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			var locked bool
			if err := tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1) AND set_config('insighthub.rollup', 'hours', true) <> ''", int64(rollupLock)).Scan(&locked); err != nil {
				return err
			}
			if !locked {
				return errBusy
			}
			var s rollupState
			if err := tx.QueryRow(ctx, `SELECT watermark, hour_watermark, events_since, minutes_since, hours_since, now() FROM rollup_watermark`).
				Scan(&s.watermark, &s.hourWatermark, &s.eventsSince, &s.minutesSince, &s.hoursSince, &s.now); err != nil {
				return err
			}
			return f(ctx, tx, s)
		})
	})
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

// advanceMinutes makes the minutes from one watermark to the next.
func advanceMinutes(ctx context.Context, tx pgx.Tx, now rollupState, done *Rollup) (bool, error) {
	from, target := now.watermark, now.now.Add(-RollupLag).Truncate(time.Minute)
	if !target.After(from) {
		return false, nil
	}
	to := from.Add(min(target.Sub(from), minutesStep))
	if _, err := tx.Exec(ctx, `WITH wanted AS MATERIALIZED (SELECT device_id, metric_id, $1::timestamptz AS since, $2::timestamptz AS until FROM series)`+minuteRows,
		pgx.QueryExecModeCacheDescribe, from, to); err != nil {
		return false, fmt.Errorf("minutes from %v: %w", from, err)
	}
	done.Watermark, done.Minutes = to, done.Minutes+int(to.Sub(from)/time.Minute)
	_, err := tx.Exec(ctx, "UPDATE rollup_watermark SET watermark = $1", to)
	return true, err
}

// staleHours are hours of series, in columns of the same length.
type staleHours struct {
	devices, metrics []int32
	hours            []time.Time
	lapsed           int // left out: their events may be gone
}

// between is from the first of them to the end of the last, but not past the limit.
func (s *staleHours) between(limit time.Time) (since, until time.Time) {
	since, until = slices.MinFunc(s.hours, time.Time.Compare), slices.MaxFunc(s.hours, time.Time.Compare).Add(time.Hour)
	if until.After(limit) {
		until = limit
	}
	return since, until
}

// mend makes stale hours again. An event that is stored after the first statement comes
// with a stale row of its own, which stays for the next time.
func mend(ctx context.Context, tx pgx.Tx, now rollupState, done *Rollup) (bool, error) {
	stale, err := takeStale(ctx, tx, now.eventsSince)
	if err != nil {
		return false, fmt.Errorf("take stale hours: %w", err)
	}
	n := len(stale.hours)
	done.Hours, done.Lapsed = done.Hours+n, done.Lapsed+stale.lapsed
	if n == 0 {
		return stale.lapsed > 0, nil
	}
	since, until := stale.between(now.watermark)
	if err := stale.again(ctx, tx, "event_minute", "minute", minuteRows, since, until); err != nil {
		return false, fmt.Errorf("make the minutes of %d stale hours again: %w", n, err)
	}
	if since, until = stale.between(now.hourWatermark); since.Before(until) {
		if err := stale.again(ctx, tx, "event_hour", "hour", hourRows, since, until); err != nil {
			return false, fmt.Errorf("make %d stale hours again: %w", n, err)
		}
	}
	return true, nil
}

// takeStale takes some stale hours away.
func takeStale(ctx context.Context, tx pgx.Tx, eventsSince time.Time) (stale staleHours, err error) {
	rows, err := tx.Query(ctx, `
		WITH picked AS (SELECT device_id, metric_id, hour FROM rollup_stale GROUP BY 1, 2, 3 LIMIT $1),
		taken AS (DELETE FROM rollup_stale USING picked WHERE rollup_stale.device_id = picked.device_id
			AND rollup_stale.metric_id = picked.metric_id AND rollup_stale.hour = picked.hour)
		SELECT device_id, metric_id, hour FROM picked`, rollupHours)
	if err != nil {
		return stale, err
	}
	var device, metric int32
	var hour time.Time
	_, err = pgx.ForEachRow(rows, []any{&device, &metric, &hour}, func() error {
		if hour.Before(eventsSince) {
			stale.lapsed++
			return nil
		}
		stale.devices, stale.metrics, stale.hours = append(stale.devices, device), append(stale.metrics, metric), append(stale.hours, hour)
		return nil
	})
	return stale, err
}

// again replaces the rows of a table that are of the stale hours, from since to until.
// make inserts those of wanted. All texts are of this package.
func (s *staleHours) again(ctx context.Context, tx pgx.Tx, table, column, insert string, since, until time.Time) error {
	const wanted = `SELECT device_id, metric_id, hour AS since, hour + interval '1 hour' AS until FROM unnest($3::int4[], $4::int4[], $5::timestamptz[]) AS stale(device_id, metric_id, hour)`
	for _, statement := range []string{
		`DELETE FROM ` + table + ` USING (` + wanted + `) AS wanted
			WHERE ` + table + `.device_id = wanted.device_id AND ` + table + `.metric_id = wanted.metric_id
				AND ` + column + ` >= wanted.since AND ` + column + ` < wanted.until AND ` + column + ` >= $1 AND ` + column + ` < $2`,
		`WITH wanted AS MATERIALIZED (` + wanted + `)` + insert,
	} {
		if _, err := tx.Exec(ctx, statement, pgx.QueryExecModeCacheDescribe, since, until, s.devices, s.metrics, s.hours); err != nil {
			return err
		}
	}
	return nil
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
