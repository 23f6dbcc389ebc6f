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
// RefreshRollup advances. A write of an event before the watermark marks the hour of its
// series as stale, in the same transaction: a reader that sees the event sees the mark
// too, and reads the events of that hour until it is rebuilt. So a query returns the same
// from minutes as from events, however late the events were written. The same holds for
// event_hour, which is made of minutes: a mark is for both tables, and both are rebuilt
// in one transaction.
const (
	// RollupLag is how far the watermark stays behind the database's clock.
	RollupLag = 10 * time.Minute
	// lateAfter is the age from which an event is late: its write marks the hour. The
	// difference to RollupLag allows for clocks that differ, and for the write itself.
	lateAfter = 5 * time.Minute
	// slowWrite is how long a write may take before it marks all its hours at the end,
	// as the watermark may have passed them meanwhile.
	slowWrite = 2 * time.Minute

	// minutesStep is how far one transaction advances the watermark at most.
	minutesStep = time.Hour
	// rollupHours is how many stale hours one transaction rebuilds at most.
	rollupHours = 500
	rollupLock  = 0x726f6c6c7570 // "rollup" in ASCII
)

// Rollup is the result of RefreshRollup.
type Rollup struct {
	// Watermark is the end of the minutes, HourWatermark that of the hours.
	Watermark, HourWatermark time.Time
	// Minutes is how far the watermark advanced, Hours how many stale hours of series were
	// rebuilt, Expired how many were not since their events are past the retention.
	Minutes, Hours, Expired int
	// Incomplete is set when there is more to do: the context's deadline was near, or
	// another refresh is in progress.
	Incomplete bool
}

// errBusy is returned when another transaction holds the roll-up's lock.
var errBusy = errors.New("another refresh is in progress")

// RefreshRollup brings minutes and hours up to date, in transactions of limited size, until
// all is done or the context's deadline is near. Of two concurrent calls the second
// returns at once.
func (p *Pool) RefreshRollup(ctx context.Context) (done Rollup, err error) {
	for more := true; more; {
		more = false
		// The steps alternate, so that a backlog of one does not delay the others.
		for _, step := range []rollupStep{advanceMinutes, advanceHours, rebuildStaleHours} {
			if deadline, ok := ctx.Deadline(); ok && deadline.Sub(p.config.Now()) < p.config.StatementTimeout/2 {
				done.Incomplete = true
				return done, nil
			}
			stepMore, err := p.refreshStep(ctx, &done, step)
			if errors.Is(err, errBusy) {
				done.Incomplete = true
				return done, nil
			}
			if err != nil {
				return done, fmt.Errorf("refresh the roll-up from %v: %w", done.Watermark, err)
			}
			more = more || stepMore
		}
	}
	return done, nil
}

// rollupState is the row of rollup_watermark.
type rollupState struct {
	watermark, hourWatermark              time.Time
	eventsSince, minutesSince, hoursSince time.Time
	databaseTime                          time.Time
}

// rollupStep is the work of one transaction. It updates done, and reports whether there
// may be more to do.
type rollupStep func(ctx context.Context, tx pgx.Tx, state rollupState, done *Rollup) (more bool, err error)

func (p *Pool) refreshStep(ctx context.Context, done *Rollup, step rollupStep) (more bool, err error) {
	var next Rollup
	err = p.withRollupLock(ctx, func(ctx context.Context, tx pgx.Tx, state rollupState) error {
		next = *done
		next.Watermark, next.HourWatermark = state.watermark, state.hourWatermark
		more, err = step(ctx, tx, state, &next)
		return err
	})
	if err != nil {
		return false, err
	}
	*done = next
	return more, nil
}

// withRollupLock runs f in a transaction that holds the lock of the roll-up. It returns
// errBusy if another transaction holds it. The setting lets the trigger on rollup_stale
// reject versions of this program that would not rebuild the hours.
func (p *Pool) withRollupLock(ctx context.Context, f func(context.Context, pgx.Tx, rollupState) error) error {
	return p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			var locked bool
			err := tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1) AND set_config('insighthub.rollup', 'hours', true) <> ''",
				int64(rollupLock)).Scan(&locked)
			if err != nil {
				return err
			}
			if !locked {
				return errBusy
			}
			var s rollupState
			if err := tx.QueryRow(ctx, `SELECT watermark, hour_watermark, events_since, minutes_since, hours_since, now()
				FROM rollup_watermark`).
				Scan(&s.watermark, &s.hourWatermark, &s.eventsSince, &s.minutesSince, &s.hoursSince, &s.databaseTime); err != nil {
				return err
			}
			return f(ctx, tx, s)
		})
	})
}

// minuteRows inserts the minutes of the events of wanted(device_id, metric_id, since, until),
// without readings that have no value (NaN). All are between $1 and $2, which let the planner exclude chunks.
const minuteRows = `
	INSERT INTO event_minute (device_id, metric_id, minute, quality, count, sum, min, max, first_at, first, last_at, last)
	SELECT wanted.device_id, wanted.metric_id, made.*
	FROM wanted CROSS JOIN LATERAL (
		SELECT date_bin('1 minute', time, 'epoch') AS minute, quality,
			count(*), sum(least(greatest(value, -1e290), 1e290)), min(value), max(value),
			min(time), (array_agg(value ORDER BY time))[1], max(time), (array_agg(value ORDER BY time DESC))[1]
		FROM event
		WHERE event.device_id = wanted.device_id AND event.metric_id = wanted.metric_id
			AND time >= wanted.since AND time < wanted.until AND time >= $1 AND time < $2
			AND value <> 'NaN'
		GROUP BY 1, 2) AS made`

// allSeries is wanted for every series, from $1 to $2.
const allSeries = `WITH wanted AS MATERIALIZED
	(SELECT device_id, metric_id, $1::timestamptz AS since, $2::timestamptz AS until FROM series)`

// advanceMinutes inserts the minutes from one watermark to the next.
func advanceMinutes(ctx context.Context, tx pgx.Tx, state rollupState, done *Rollup) (bool, error) {
	from, target := state.watermark, state.databaseTime.Add(-RollupLag).Truncate(time.Minute)
	if !target.After(from) {
		return false, nil
	}
	to := from.Add(min(target.Sub(from), minutesStep))
	if _, err := tx.Exec(ctx, allSeries+minuteRows, customPlan, from, to); err != nil {
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
	expired          int // left out: their events may have been dropped
}

// between returns the start of the first hour and the end of the last, at most limit.
func (s *staleHours) between(limit time.Time) (since, until time.Time) {
	since, until = slices.MinFunc(s.hours, time.Time.Compare), slices.MaxFunc(s.hours, time.Time.Compare).Add(time.Hour)
	if until.After(limit) {
		until = limit
	}
	return since, until
}

// rebuildStaleHours rebuilds the minutes and hours of stale hours. An event that is stored
// after its first statement has a stale mark of its own, which stays for the next call.
func rebuildStaleHours(ctx context.Context, tx pgx.Tx, state rollupState, done *Rollup) (bool, error) {
	stale, err := dequeueStaleHours(ctx, tx, state.eventsSince)
	if err != nil {
		return false, fmt.Errorf("delete stale hours: %w", err)
	}
	n := len(stale.hours)
	done.Hours, done.Expired = done.Hours+n, done.Expired+stale.expired
	if n == 0 {
		return stale.expired > 0, nil
	}
	since, until := stale.between(state.watermark)
	if err := stale.rebuild(ctx, tx, "event_minute", "minute", minuteRows, since, until); err != nil {
		return false, fmt.Errorf("rebuild the minutes of %d stale hours: %w", n, err)
	}
	if since, until = stale.between(state.hourWatermark); since.Before(until) {
		if err := stale.rebuild(ctx, tx, "event_hour", "hour", hourRows, since, until); err != nil {
			return false, fmt.Errorf("rebuild %d stale hours: %w", n, err)
		}
	}
	return true, nil
}

// dequeueStaleHours deletes some stale marks and returns their hours.
func dequeueStaleHours(ctx context.Context, tx pgx.Tx, eventsSince time.Time) (stale staleHours, err error) {
	rows, err := tx.Query(ctx, `
		WITH picked AS (SELECT device_id, metric_id, hour FROM rollup_stale GROUP BY 1, 2, 3 LIMIT $1),
		deleted AS (DELETE FROM rollup_stale USING picked WHERE rollup_stale.device_id = picked.device_id
			AND rollup_stale.metric_id = picked.metric_id AND rollup_stale.hour = picked.hour)
		SELECT device_id, metric_id, hour FROM picked`, rollupHours)
	if err != nil {
		return stale, err
	}
	var device, metric int32
	var hour time.Time
	_, err = pgx.ForEachRow(rows, []any{&device, &metric, &hour}, func() error {
		if hour.Before(eventsSince) {
			stale.expired++
			return nil
		}
		stale.devices, stale.metrics = append(stale.devices, device), append(stale.metrics, metric)
		stale.hours = append(stale.hours, hour)
		return nil
	})
	return stale, err
}

// rebuild replaces a table's rows of the stale hours, from since to until; insert is the
// INSERT for wanted. All SQL is constant in this package.
func (s *staleHours) rebuild(ctx context.Context, tx pgx.Tx, table, column, insert string, since, until time.Time) error {
	const wanted = `SELECT device_id, metric_id, hour AS since, hour + interval '1 hour' AS until
		FROM unnest($3::int4[], $4::int4[], $5::timestamptz[]) AS stale(device_id, metric_id, hour)`
	for _, statement := range []string{
		`DELETE FROM ` + table + ` USING (` + wanted + `) AS wanted
			WHERE ` + table + `.device_id = wanted.device_id AND ` + table + `.metric_id = wanted.metric_id
				AND ` + column + ` >= wanted.since AND ` + column + ` < wanted.until AND ` + column + ` >= $1 AND ` + column + ` < $2`,
		`WITH wanted AS MATERIALIZED (` + wanted + `)` + insert,
	} {
		if _, err := tx.Exec(ctx, statement, customPlan, since, until, s.devices, s.metrics, s.hours); err != nil {
			return err
		}
	}
	return nil
}

// hourOf is the start of the hour of a time.
func hourOf(at telemetry.Micros) telemetry.Micros {
	return floorTo(at, hourMicros)
}

// floorTo is the greatest multiple of step that is not after at.
func floorTo(at, step telemetry.Micros) telemetry.Micros {
	r := at % step
	if r < 0 {
		r += step
	}
	return at - r
}
