package timescale

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// A device or a metric is deleted in two steps. Its row goes at once, and with it what
// belongs to it alone, by its id or by its name: its readings are in no response any more, and its name can be used anew. The
// readings themselves are purged by the roll-up, in transactions of limited size.
//
// A writer that has the id in its cache may go on for forgetAfter to store events under
// it: these are purged as well, for the table deleted_name remembers an id for an hour.
const (
	// forgetAfter is how often a writer asks whether names were deleted.
	forgetAfter = time.Second
	// purgeRows is how many rows of a table one transaction deletes at most.
	purgeRows = 20_000
	// purgeFor is how long rows with a deleted id are looked for. It is longer than any write.
	purgeFor = time.Hour
)

// RemoveDevice deletes a device, its anomalies and its readings, the KPI configuration that
// is for it alone and its alarm rules. The entry's detail names these two. It expects the
// version from, 0 for any.
func (p *Pool) RemoveDevice(
	ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, name telemetry.DeviceName,
	from directory.Version, entry trail.Entry,
) error {
	return deviceTable().remove(ctx, p, [3]string{string(site), string(gateway), string(name)}, from, entry)
}

// RemoveMetric deletes a metric of all devices of a gateway, with its anomalies, readings and
// alarm rules. The entry's detail names the rules. It expects the version from, 0 for any.
func (p *Pool) RemoveMetric(
	ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, name telemetry.MetricName,
	from directory.Version, entry trail.Entry,
) error {
	return metricTable().remove(ctx, p, [3]string{string(site), string(gateway), string(name)}, from, entry)
}

// remove deletes the row with the key (site, gateway, name).
func (t nameTable[T]) remove(ctx context.Context, p *Pool, key [3]string, from directory.Version, entry trail.Entry) error {
	args := []any{key[0], key[1], key[2]}
	id := t.name + "_id"
	err := p.changeAs(ctx, entry, func(ctx context.Context, tx pgx.Tx, entry *trail.Entry) error {
		// The lock keeps out anomalies that refer to the row.
		row, err := queryOne(ctx, tx, pgx.RowTo[int32],
			"SELECT n.id"+t.from()+" AND n.name = $3 AND ($4::bigint = 0 OR n.version = $4) FOR UPDATE OF n", append(args, int64(from))...)
		if err := versionConflict(ctx, tx, err, "SELECT"+t.from()+" AND n.name = $3", args...); err != nil {
			return err
		}
		for _, statement := range []string{
			"DELETE FROM anomaly_comment USING anomaly WHERE anomaly.id = anomaly_id AND anomaly." + id + " = $1",
			"DELETE FROM anomaly WHERE " + id + " = $1",
			"DELETE FROM " + t.name + " WHERE id = $1",
			"INSERT INTO deleted_name (" + id + ") VALUES ($1)",
		} {
			if _, err := tx.Exec(ctx, statement, row); err != nil {
				return err
			}
		}
		return t.removeByName(ctx, tx, args, entry)
	})
	if err != nil {
		return fmt.Errorf("remove %s %q: %w", t.name, key[2], err)
	}
	return nil
}

// removedByName is what was deleted by a name. The trail's entry has it.
type removedByName struct {
	KPIConfig  json.RawMessage `json:"kpi_config,omitempty"`
	AlarmRules []string        `json:"alarm_rules,omitempty"` // ids
}

// removeByName deletes what refers to the name of the arguments (site, gateway, name) alone:
// a machine without a device would lower its site's KPIs for ever, and the alarm of a
// silence would bring the name back.
func (t nameTable[T]) removeByName(ctx context.Context, tx pgx.Tx, args []any, entry *trail.Entry) error {
	var removed removedByName
	err := tx.QueryRow(ctx, `WITH removed AS (
			DELETE FROM alarm_rule WHERE site = $1 AND gateway = $2 AND `+t.name+` = $3 RETURNING id::text
		) SELECT coalesce(array_agg(id ORDER BY id), '{}') FROM removed`, args...).Scan(&removed.AlarmRules)
	if err != nil {
		return fmt.Errorf("alarm rules: %w", err)
	}
	if t.hasKPIConfig {
		// A row that was written with SQL may name the device without being exact; the exact one is reported.
		err := tx.QueryRow(ctx, `WITH removed AS (
				DELETE FROM device_kpi k WHERE gateway_pattern = $1 AND device_pattern = $2 AND `+ofOneDevice+`
				RETURNING exact, to_jsonb(k) - '{gateway_pattern,device_pattern,exact,priority,version}'::text[] AS config
			) SELECT (SELECT config::text FROM removed ORDER BY exact DESC LIMIT 1)`, args[1:]...).Scan(&removed.KPIConfig)
		if err != nil {
			return fmt.Errorf("KPI configuration: %w", err)
		}
	}
	if removed.KPIConfig == nil && len(removed.AlarmRules) == 0 {
		return nil
	}
	detail, err := json.Marshal(removed)
	if err != nil {
		return err
	}
	entry.Detail = string(detail)
	return nil
}

// forgetDeleted clears the cache after names were deleted.
func (w *Writer) forgetDeleted(ctx context.Context, conn *pgx.Conn) error {
	now := w.pool.config.Now().UnixNano()
	if asked := w.asked.Load(); asked != 0 && now-asked < int64(forgetAfter) {
		return nil
	}
	var last int64
	if err := conn.QueryRow(ctx, "SELECT coalesce(max(id), 0) FROM deleted_name").Scan(&last); err != nil {
		return fmt.Errorf("look for deleted names: %w", err)
	}
	if w.deleted.Swap(last) != last {
		w.dictionary.forget()
	}
	w.asked.Store(now)
	return nil
}

// Purged is the result of PurgeDeleted.
type Purged struct {
	Rows, Series int
	// Incomplete is set when there is more to do.
	Incomplete bool
}

// PurgeDeleted deletes readings of deleted devices and metrics, in transactions of limited
// size, until all is done or the context's deadline is near.
func (p *Pool) PurgeDeleted(ctx context.Context) (done Purged, err error) {
	for more := true; more; {
		if deadline, ok := ctx.Deadline(); ok && deadline.Sub(p.config.Now()) < p.config.StatementTimeout/2 {
			done.Incomplete = true
			return done, nil
		}
		next := done
		err := p.withRollupLock(ctx, func(ctx context.Context, tx pgx.Tx, _ rollupState) error {
			next = done
			more, err = purgeStep(ctx, tx, &next)
			return err
		})
		if errors.Is(err, errBusy) {
			done.Incomplete = true
			return done, nil
		}
		if err != nil {
			return done, fmt.Errorf("purge the readings of deleted names: %w", err)
		}
		done = next
	}
	return done, nil
}

// purgeStep deletes rows of one series. It reports whether there may be more to do.
func purgeStep(ctx context.Context, tx pgx.Tx, done *Purged) (more bool, err error) {
	var device, metric int32
	err = tx.QueryRow(ctx, `
		(SELECT s.device_id, s.metric_id FROM deleted_name n JOIN series s ON s.device_id = n.device_id LIMIT 1) UNION ALL
		(SELECT s.device_id, s.metric_id FROM deleted_name n JOIN series s ON s.metric_id = n.metric_id LIMIT 1) LIMIT 1`).
		Scan(&device, &metric)
	if errors.Is(err, pgx.ErrNoRows) {
		_, err = tx.Exec(ctx, "DELETE FROM deleted_name WHERE deleted_at < now() - make_interval(secs => $1)", purgeFor.Seconds())
		return false, err
	}
	if err != nil {
		return false, err
	}
	for _, table := range []struct{ name, time string }{{"event", "time"}, {"event_minute", "minute"}, {"event_hour", "hour"}} {
		const where = " WHERE device_id = $1 AND metric_id = $2"
		var until *time.Time
		err := tx.QueryRow(ctx, "SELECT (SELECT "+table.time+" FROM "+table.name+where+" ORDER BY "+table.time+" OFFSET $3 LIMIT 1)",
			customPlan, device, metric, purgeRows).Scan(&until)
		if err != nil {
			return false, err
		}
		tag, err := tx.Exec(ctx, "DELETE FROM "+table.name+where+" AND ($3::timestamptz IS NULL OR "+table.time+" < $3)",
			customPlan, device, metric, until)
		if err != nil {
			return false, err
		}
		done.Rows += int(tag.RowsAffected())
		if until != nil {
			return true, nil
		}
	}
	for _, table := range []string{"conflict", "conflict_hour", "rollup_stale", "series"} {
		if _, err := tx.Exec(ctx, "DELETE FROM "+table+" WHERE device_id = $1 AND metric_id = $2", device, metric); err != nil {
			return false, err
		}
	}
	done.Series++
	return true, nil
}
