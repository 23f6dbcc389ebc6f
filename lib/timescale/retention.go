package timescale

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Retention is for how many days events, minutes and hours are stored; 0 is for ever.
type Retention struct{ EventDays, MinuteDays, HourDays int }

// Validate returns telemetry.ErrInvalid if minutes are stored for a shorter time than
// events, or hours than minutes: a long range would then be read from events.
func (r Retention) Validate() error {
	shorter := func(coarse, fine int) bool { return coarse != 0 && (fine == 0 || coarse < fine) }
	switch {
	case r.EventDays < 0 || r.MinuteDays < 0 || r.HourDays < 0:
		return fmt.Errorf("%w: retention %+v: want numbers of days, or 0 for ever", telemetry.ErrInvalid, r)
	case shorter(r.MinuteDays, r.EventDays), shorter(r.HourDays, r.MinuteDays):
		return fmt.Errorf("%w: retention %+v: want minutes stored at least as long as events, and hours as minutes",
			telemetry.ErrInvalid, r)
	}
	return nil
}

// Retained is the result of ApplyRetention: the start of each table, and what was dropped.
type Retained struct {
	EventsSince, MinutesSince, HoursSince time.Time
	// Dropped is the number of dropped chunks, or of deleted rows without the extension.
	// With the Timescale licence it is 0: retention policies drop the chunks.
	Dropped int
	// Incomplete is set when a refresh was in progress or the context's deadline was near.
	Incomplete bool
}

// retainedTable is a table with a retention.
type retainedTable struct {
	name, timeColumn string
	days             int
	since            time.Time // the table's start
	delayed          bool      // the start is later than the retention allows
}

// ApplyRetention drops data past its retention, in two steps. First it moves the start of
// each table, under the lock of the roll-up, and no further than events are rolled up.
// From then on hours before the start are never rebuilt, so that a late event cannot
// replace the minutes of a day whose events are dropped. Then it drops the chunks before
// the start.
func (p *Pool) ApplyRetention(ctx context.Context, r Retention) (done Retained, err error) {
	if err := r.Validate(); err != nil {
		return done, err
	}
	var tables []retainedTable
	err = p.withRollupLock(ctx, func(ctx context.Context, tx pgx.Tx, state rollupState) (err error) {
		tables, err = moveStarts(ctx, tx, state, r)
		return err
	})
	if errors.Is(err, errBusy) {
		return Retained{Incomplete: true}, nil
	}
	if err != nil {
		return done, fmt.Errorf("move the start of the retention: %w", err)
	}
	done.EventsSince, done.MinutesSince, done.HoursSince = tables[0].since, tables[1].since, tables[2].since
	var choice Migrated
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT flavour, licence FROM database_choice").Scan(&choice.Flavour, &choice.Licence)
	})
	if err != nil {
		return done, fmt.Errorf("database_choice: %w", err)
	}
	for _, t := range tables {
		var n int
		switch {
		case choice.Licence == LicenceTimescale:
			err = p.setPolicy(ctx, t)
		case t.days == 0:
		case choice.Flavour == FlavourTimescale:
			n, err = p.dropChunks(ctx, t)
		default:
			n, err = p.deleteRows(ctx, t, &done.Incomplete)
		}
		if done.Dropped += n; err != nil {
			return done, fmt.Errorf("retention of %s before %v: %w", t.name, t.since, err)
		}
	}
	return done, nil
}

// moveStarts moves the start of each table to the first day of its retention.
func moveStarts(ctx context.Context, tx pgx.Tx, state rollupState, r Retention) ([]retainedTable, error) {
	const day = 24 * time.Hour
	// Hours that are stale or not rolled up yet need their events.
	limit := state.hourWatermark.Truncate(day)
	var stale *time.Time
	if err := tx.QueryRow(ctx, "SELECT min(hour) FROM rollup_stale WHERE hour >= $1", state.eventsSince).Scan(&stale); err != nil {
		return nil, err
	}
	if stale != nil && stale.Before(limit) {
		limit = stale.Truncate(day)
	}
	tables := []retainedTable{
		{name: "event", timeColumn: "time", days: r.EventDays, since: state.eventsSince},
		{name: "event_minute", timeColumn: "minute", days: r.MinuteDays, since: state.minutesSince},
		{name: "event_hour", timeColumn: "hour", days: r.HourDays, since: state.hoursSince},
	}
	for i := range tables {
		t := &tables[i]
		if t.days == 0 {
			continue
		}
		start := state.databaseTime.Add(-time.Duration(t.days) * day).Truncate(day)
		t.delayed = start.After(limit)
		if start = minTime(start, limit); start.After(t.since) {
			t.since = start
		}
	}
	_, err := tx.Exec(ctx, "UPDATE rollup_watermark SET events_since = $1, minutes_since = $2, hours_since = $3",
		tables[0].since, tables[1].since, tables[2].since)
	return tables, err
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// dropChunks drops the chunks that end before the table's start.
func (p *Pool) dropChunks(ctx context.Context, t retainedTable) (dropped int, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT retention_drop_chunks($1, $2)", t.name, t.since).Scan(&dropped)
	})
	return dropped, err
}

// deleteRows deletes the rows before the table's start, a part at a time.
func (p *Pool) deleteRows(ctx context.Context, t retainedTable, incomplete *bool) (deleted int, err error) {
	const perSeries, perStatement = 1_000, 50_000
	for {
		if deadline, ok := ctx.Deadline(); ok && deadline.Sub(p.config.Now()) < p.config.StatementTimeout/2 {
			*incomplete = true
			return deleted, nil
		}
		var n int
		err := p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			tag, err := conn.Exec(ctx, `DELETE FROM `+t.name+` WHERE ctid = ANY (ARRAY(
				SELECT old.ctid FROM series CROSS JOIN LATERAL (
					SELECT ctid FROM `+t.name+` AS t
					WHERE t.device_id = series.device_id AND t.metric_id = series.metric_id AND t.`+t.timeColumn+` < $1 LIMIT $2) AS old
				LIMIT $3))`, t.since, perSeries, perStatement)
			n = int(tag.RowsAffected())
			return err
		})
		if deleted += n; err != nil || n == 0 {
			return deleted, err
		}
	}
}

// setPolicy configures the retention policy of a table. A policy does not know which events
// are rolled up, so it is paused while the start is delayed.
func (p *Pool) setPolicy(ctx context.Context, t retainedTable) error {
	return p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SELECT retention_set_policy($1, $2, $3)", t.name, t.days, t.delayed)
		return err
	})
}

// coarserWidth returns the width of the finest buckets that hold a whole range whose older
// events were dropped, or 0 if all its events are stored.
func coarserWidth(ctx context.Context, conn *pgx.Conn, st seriesState, r readings.Range) (time.Duration, error) {
	if !r.From.Time().Before(st.eventsSince) {
		return 0, nil
	}
	// The range may begin before the series does: find its first hour.
	oldest, err := queryOne(ctx, conn, pgx.RowTo[time.Time], `SELECT coalesce(min(hour), $4) FROM (SELECT hour FROM event_hour
		WHERE device_id = $1 AND metric_id = $2 AND hour >= $3 AND hour < $4 ORDER BY hour LIMIT 1) AS oldest`,
		customPlan, st.device, st.metric, hourOf(r.From).Time(), r.To.Time())
	switch {
	case err != nil || !oldest.Before(st.eventsSince):
		return 0, err
	case oldest.Before(st.minutesSince):
		return time.Hour, nil
	default:
		return time.Minute, nil
	}
}
