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

// Retention says for how many days events, their minutes and their hours are kept. Zero
// is for ever.
type Retention struct{ EventDays, MinuteDays, HourDays int }

// Validate reports, as telemetry.ErrInvalid, what is shorter than what it is made of:
// minutes could not be made again, and a long range would be read from events.
func (r Retention) Validate() error {
	shorter := func(coarse, fine int) bool { return coarse != 0 && (fine == 0 || coarse < fine) }
	switch {
	case r.EventDays < 0 || r.MinuteDays < 0 || r.HourDays < 0:
		return fmt.Errorf("%w: retention %+v: want days, or 0 for ever", telemetry.ErrInvalid, r)
	case shorter(r.MinuteDays, r.EventDays), shorter(r.HourDays, r.MinuteDays):
		return fmt.Errorf("%w: retention %+v: want minutes kept as long as events, and hours as long as minutes", telemetry.ErrInvalid, r)
	}
	return nil
}

// Retained says from when on there are events, minutes and hours, and what went.
type Retained struct {
	EventsSince, MinutesSince, HoursSince time.Time
	// Dropped is how many chunks went, or rows where there are no chunks. With the
	// Timescale licence it is 0: policies drop the chunks.
	Dropped int
	// Behind is set when another was at it or the context's deadline came near.
	Behind bool
}

// kept is one of the tables with a retention, by the column that says when its rows are.
type kept struct {
	table, column string
	days          int
	since         time.Time
	held          bool // since is not yet as far as the days would have it
}

// ApplyRetention drops what is past its retention, in two steps. First it is settled,
// beside the roll-up, from when on each table is whole: no further than minutes and hours
// of the events are made. From then on nothing before is made again, so that a straggler
// can not replace the minutes of a day whose events are gone. Then the chunks before go.
func (p *Pool) ApplyRetention(ctx context.Context, r Retention) (done Retained, err error) {
	if err := r.Validate(); err != nil {
		return done, err
	}
	var tables []kept
	err = p.alone(ctx, func(ctx context.Context, tx pgx.Tx, now rollupState) (err error) {
		tables, err = settle(ctx, tx, now, r)
		return err
	})
	if errors.Is(err, errBusy) {
		return Retained{Behind: true}, nil
	}
	if err != nil {
		return done, fmt.Errorf("settle the retention: %w", err)
	}
	done.EventsSince, done.MinutesSince, done.HoursSince = tables[0].since, tables[1].since, tables[2].since
	var choice Migrated
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT flavour, licence FROM database_choice").Scan(&choice.Flavour, &choice.Licence)
	})
	if err != nil {
		return done, fmt.Errorf("database_choice: %w", err)
	}
	for _, k := range tables {
		var n int
		switch {
		case choice.Licence == LicenceTimescale:
			err = p.setPolicy(ctx, k)
		case k.days == 0:
		case choice.Flavour == FlavourTimescale:
			n, err = p.dropChunks(ctx, k)
		default:
			n, err = p.deleteRows(ctx, k, &done.Behind)
		}
		if done.Dropped += n; err != nil {
			return done, fmt.Errorf("retention of %s before %v: %w", k.table, k.since, err)
		}
	}
	return done, nil
}

// settle moves the start of each table to the first day of its retention.
func settle(ctx context.Context, tx pgx.Tx, now rollupState, r Retention) ([]kept, error) {
	const day = 24 * time.Hour
	// Rows of minutes and hours that wait to be made again need their events.
	limit := now.hourWatermark.Truncate(day)
	var stale *time.Time
	if err := tx.QueryRow(ctx, "SELECT min(hour) FROM rollup_stale WHERE hour >= $1", now.eventsSince).Scan(&stale); err != nil {
		return nil, err
	}
	if stale != nil && stale.Before(limit) {
		limit = stale.Truncate(day)
	}
	tables := []kept{
		{table: "event", column: "time", days: r.EventDays, since: now.eventsSince},
		{table: "event_minute", column: "minute", days: r.MinuteDays, since: now.minutesSince},
		{table: "event_hour", column: "hour", days: r.HourDays, since: now.hoursSince},
	}
	for i := range tables {
		k := &tables[i]
		if k.days == 0 {
			continue
		}
		want := now.now.Add(-time.Duration(k.days) * day).Truncate(day)
		k.held = want.After(limit)
		if want = minTime(want, limit); want.After(k.since) {
			k.since = want
		}
	}
	_, err := tx.Exec(ctx, "UPDATE rollup_watermark SET events_since = $1, minutes_since = $2, hours_since = $3", tables[0].since, tables[1].since, tables[2].since)
	return tables, err
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// dropChunks drops the chunks that end before the table's start.
func (p *Pool) dropChunks(ctx context.Context, k kept) (dropped int, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		// Asked first, since dropping takes locks even where there is nothing to drop.
		var there bool
		if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM show_chunks($1::regclass, older_than => $2::timestamptz))", k.table, k.since).Scan(&there); err != nil || !there {
			return err
		}
		return conn.QueryRow(ctx, "SELECT count(*) FROM drop_chunks($1::regclass, older_than => $2::timestamptz)", k.table, k.since).Scan(&dropped)
	})
	return dropped, err
}

// deleteRows does so without the extension, a part at a time.
func (p *Pool) deleteRows(ctx context.Context, k kept, behind *bool) (deleted int, err error) {
	const perSeries, perStatement = 1_000, 50_000
	for {
		if deadline, ok := ctx.Deadline(); ok && deadline.Sub(p.config.Now()) < p.config.StatementTimeout/2 {
			*behind = true
			return deleted, nil
		}
		var n int
		err := p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			tag, err := conn.Exec(ctx, `DELETE FROM `+k.table+` WHERE ctid = ANY (ARRAY(
				SELECT old.ctid FROM series CROSS JOIN LATERAL (
					SELECT ctid FROM `+k.table+` AS t WHERE t.device_id = series.device_id AND t.metric_id = series.metric_id AND t.`+k.column+` < $1 LIMIT $2) AS old
				LIMIT $3))`, k.since, perSeries, perStatement)
			n = int(tag.RowsAffected())
			return err
		})
		if deleted += n; err != nil || n == 0 {
			return deleted, err
		}
	}
}

// setPolicy makes the retention policy of a table what is configured, a day later than
// the table's start: what is dropped was settled to be before. A policy knows nothing of
// minutes that are not made yet, so it rests while the start is held.
func (p *Pool) setPolicy(ctx context.Context, k kept) error {
	return p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			var job, days *int
			var scheduled *bool
			err := tx.QueryRow(ctx, `SELECT job_id, (extract(epoch FROM (config->>'drop_after')::interval) / 86400)::int, scheduled
				FROM (SELECT) AS one LEFT JOIN timescaledb_information.jobs ON proc_name = 'policy_retention' AND hypertable_name = $1`, k.table).Scan(&job, &days, &scheduled)
			if err != nil {
				return err
			}
			if job != nil && (k.days == 0 || *days != k.days+1) {
				if _, err := tx.Exec(ctx, "SELECT remove_retention_policy($1::regclass)", k.table); err != nil {
					return err
				}
				job = nil
			}
			if k.days == 0 {
				return nil
			}
			if job == nil {
				job, scheduled = new(int), new(bool)
				if err := tx.QueryRow(ctx, "SELECT add_retention_policy($1::regclass, make_interval(days => $2))", k.table, k.days+1).Scan(job); err != nil {
					return err
				}
				*scheduled = true
			}
			if *scheduled != k.held {
				return nil
			}
			_, err = tx.Exec(ctx, "SELECT alter_job($1, scheduled => $2)", *job, !k.held)
			return err
		})
	})
}

// keptWidth is the width of the finest buckets that hold all of a range, where single
// readings do not any more; zero where they do.
func keptWidth(ctx context.Context, conn *pgx.Conn, st seriesState, r readings.Range) (time.Duration, error) {
	if !r.From.Time().Before(st.eventsSince) {
		return 0, nil
	}
	// The start alone says nothing: a range may begin before the series does.
	oldest, err := queryOne(ctx, conn, pgx.RowTo[time.Time], `SELECT coalesce(min(hour), $4) FROM (SELECT hour FROM event_hour
		WHERE device_id = $1 AND metric_id = $2 AND hour >= $3 AND hour < $4 ORDER BY hour LIMIT 1) AS oldest`,
		planned, st.device, st.metric, hourOf(r.From).Time(), r.To.Time())
	switch {
	case err != nil || !oldest.Before(st.eventsSince):
		return 0, err
	case oldest.Before(st.minutesSince):
		return time.Hour, nil
	default:
		return time.Minute, nil
	}
}
