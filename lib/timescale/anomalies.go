package timescale

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

const (
	noRule         = "00000000-0000-0000-0000-000000000000"
	anomalyColumns = `a.id, g.site, g.name, d.name, coalesce(m.name, ''), (extract(epoch FROM a.time) * 1000000)::bigint, a.kind,
	CASE WHEN a.rule = '` + noRule + `' THEN '' ELSE a.rule::text END, a.score, a.value, a.severity, a.message, a.acknowledged_at,
	coalesce(a.acknowledged_by, ''), a.version, coalesce((extract(epoch FROM a.ended_at) * 1000000)::bigint, 0), coalesce(a.end_reason, ''),
	a.late, a.lag_seconds`
	anomalyTables = ` FROM anomaly a JOIN device d ON d.id = a.device_id JOIN gateway g ON g.id = d.gateway_id
	LEFT JOIN metric m ON m.id = a.metric_id`
)

func scanAnomaly(row pgx.CollectableRow) (a directory.Anomaly, err error) {
	var acknowledged *time.Time
	var lag float64
	err = row.Scan(&a.ID, &a.Site, &a.Gateway, &a.Device, &a.Metric, &a.Time, &a.Kind, &a.Rule, &a.Score, &a.Value, &a.Severity, &a.Message,
		&acknowledged, &a.AcknowledgedBy, &a.Version, &a.EndedAt, &a.EndReason, &a.Late, &lag)
	a.Lag = seconds(lag)
	a.AcknowledgedAt = orZero(acknowledged)
	return a, err
}

// Anomalies returns the anomalies that pass the filter, the newest first, without comments.
func (p *Pool) Anomalies(ctx context.Context, f directory.AnomalyFilter) ([]directory.Anomaly, error) {
	var before *time.Time
	if f.BeforeID > 0 {
		t := f.BeforeTime.Time()
		before = &t
	}
	return findAll(ctx, p, "anomalies of site "+string(f.Site), scanAnomaly, `SELECT `+anomalyColumns+anomalyTables+`
		WHERE g.site = $1 AND ($2 = '' OR g.name = $2) AND ($3 = '' OR d.name = $3) AND ($4 = '' OR m.name = $4)
		AND ($5 = '' OR a.kind = $5) AND ($6::timestamptz IS NULL OR a.time >= $6) AND ($7::timestamptz IS NULL OR a.time < $7)
		AND (NOT $8 OR a.acknowledged_at IS NULL)
		AND ($9::timestamptz IS NULL OR (a.time, a.id) < ($9, $10)) AND ($12::bool IS NULL OR (a.end_reason IS NULL) = $12)
		ORDER BY a.time DESC, a.id DESC LIMIT $11`,
		string(f.Site), string(f.Gateway), string(f.Device), string(f.Metric), string(f.Kind), orNull(f.From), orNull(f.To), f.Open,
		before, f.BeforeID, f.Limit, f.Active)
}

// Anomaly returns an anomaly with its comments, or telemetry.ErrNotFound.
func (p *Pool) Anomaly(ctx context.Context, site telemetry.SiteID, id int64) (directory.Anomaly, error) {
	what := fmt.Sprint("anomaly ", id)
	a, err := findOne(ctx, p, what, scanAnomaly,
		`SELECT `+anomalyColumns+anomalyTables+` WHERE g.site = $1 AND a.id = $2`, string(site), id)
	if err != nil {
		return directory.Anomaly{}, err
	}
	a.Comments, err = findAll(ctx, p, what, func(row pgx.CollectableRow) (c directory.AnomalyComment, err error) {
		err = row.Scan(&c.ID, &c.Author, &c.Time, &c.Text)
		return c, err
	}, `SELECT id, author, time, text FROM anomaly_comment WHERE anomaly_id = $1 ORDER BY id LIMIT $2`, id, directory.MaxComments)
	return a, err
}

// Acknowledge stores who acknowledged an anomaly and when. Only the first
// acknowledgement counts: for a later one, or an unknown anomaly, it does nothing.
func (p *Pool) Acknowledge(ctx context.Context, site telemetry.SiteID, id int64, by string, entry trail.Entry) error {
	err := p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			tag, err := tx.Exec(ctx, `UPDATE anomaly a SET acknowledged_at = $3, acknowledged_by = $4, version = a.version + 1
				FROM device d, gateway g
				WHERE d.id = a.device_id AND g.id = d.gateway_id AND g.site = $1 AND a.id = $2 AND a.acknowledged_at IS NULL`,
				string(site), id, entry.Time.Time(), by)
			if err != nil || tag.RowsAffected() == 0 {
				return err
			}
			return appendTrail(ctx, tx, entry)
		})
	})
	if err != nil {
		return fmt.Errorf("acknowledge anomaly %d: %w", id, err)
	}
	return nil
}

// Comment adds a comment to an anomaly. telemetry.ErrConflict: it has directory.MaxComments.
func (p *Pool) Comment(
	ctx context.Context, site telemetry.SiteID, id int64, comment directory.AnomalyComment, entry trail.Entry,
) error {
	err := p.change(ctx, entry, func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE anomaly a SET version = a.version + 1 FROM device d, gateway g
			WHERE d.id = a.device_id AND g.id = d.gateway_id AND g.site = $1 AND a.id = $2`, string(site), id)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return telemetry.ErrNotFound
		}
		if err := room(ctx, tx, fmt.Sprint("comments of anomaly ", id), "An anomaly has at most %d comments.", directory.MaxComments,
			"FROM anomaly_comment WHERE anomaly_id = $1", id); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO anomaly_comment (anomaly_id, author, time, text) VALUES ($1, $2, $3, $4)`,
			id, comment.Author, comment.Time, comment.Text)
		return err
	})
	if err != nil {
		return fmt.Errorf("comment on anomaly %d: %w", id, err)
	}
	return nil
}

// AddAnomalies inserts anomalies; existing ones stay as they are. Anomalies of devices
// or metrics that the database does not have (yet) are skipped and counted as unknown:
// add them again when their events are stored, or after [Writer.AddNames]. After an
// error any part may have been added; adding all again is safe.
func (p *Pool) AddAnomalies(ctx context.Context, found []directory.Anomaly) (added, unknown int, err error) {
	for part := range slices.Chunk(found, maxAnomalies) {
		columns := columnsOf(part)
		var known, inserted int
		err := p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			return conn.QueryRow(ctx, `WITH found AS (
					SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::uuid[],
						$7::float8[], $8::float8[], $9::text[], $10::text[], $11::timestamptz[], $12::text[], $13::bool[], $14::float8[])
						WITH ORDINALITY AS f(gateway, device, metric, time, kind, rule, score, value, severity, message,
							ended_at, end_reason, late, lag_seconds, n)
				), known AS (
					SELECT d.id AS device_id, m.id AS metric_id, f.* FROM found f
					JOIN gateway g ON g.name = f.gateway JOIN device d ON d.gateway_id = g.id AND d.name = f.device
					LEFT JOIN metric m ON m.gateway_id = g.id AND m.name = f.metric WHERE f.metric = '' OR m.id IS NOT NULL
				), inserted AS (
					INSERT INTO anomaly (device_id, metric_id, time, kind, rule, score, value, severity, message,
						ended_at, end_reason, late, lag_seconds)
					SELECT device_id, metric_id, time, kind, rule, score, value, severity, message,
						ended_at, end_reason, late, lag_seconds FROM known
					ORDER BY n ON CONFLICT DO NOTHING RETURNING id
				) SELECT (SELECT count(*) FROM known), (SELECT count(*) FROM inserted)`, columns...).Scan(&known, &inserted)
		})
		if err != nil {
			return added, unknown, fmt.Errorf("add anomalies: %w", err)
		}
		added += inserted
		unknown += len(part) - known
	}
	return added, unknown, nil
}

// WithoutRemovedRules returns the anomalies whose alarm rules exist, or that are of none.
func (p *Pool) WithoutRemovedRules(ctx context.Context, found []directory.Anomaly) ([]directory.Anomaly, error) {
	rules := make([]string, 0, len(found))
	for i := range found {
		if found[i].Rule != "" {
			rules = append(rules, string(found[i].Rule))
		}
	}
	exist, err := findAll(ctx, p, "alarm rules of anomalies", pgx.RowTo[string],
		"SELECT id::text FROM alarm_rule WHERE id = ANY ($1::uuid[])", rules)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(found), func(a directory.Anomaly) bool {
		return a.Rule != "" && !slices.Contains(exist, string(a.Rule))
	}), nil
}

// EndAnomalies stores the ends of anomalies, each once per call. An anomaly that has ended
// does not change, but for a late one, whose end may become later, and its begin earlier.
// Those that the database does not have are skipped. After an error any part may have been
// stored; storing all again is safe.
func (p *Pool) EndAnomalies(ctx context.Context, ended []directory.Anomaly) error {
	for part := range slices.Chunk(ended, maxAnomalies) {
		columns := columnsOf(part)
		began := make([]*time.Time, len(part))
		for i := range part {
			if at := part[i].BeganAt; at != 0 {
				at := at.Time()
				began[i] = &at
			}
		}
		err := p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, `UPDATE anomaly a SET ended_at = greatest(a.ended_at, f.ended_at), end_reason = f.end_reason,
					time = least(a.time, f.began_at), found_time = CASE WHEN f.began_at < a.time THEN f.time ELSE a.found_time END,
					value = CASE WHEN f.began_at < a.time THEN coalesce(f.value, a.value) ELSE a.value END,
					message = CASE WHEN f.began_at < a.time AND f.value IS NOT NULL THEN f.message ELSE a.message END,
					version = a.version + 1
				FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::uuid[], $7::float8[], $8::text[],
						$9::timestamptz[], $10::text[], $11::timestamptz[])
					AS f(gateway, device, metric, time, kind, rule, value, message, ended_at, end_reason, began_at)
				JOIN gateway g ON g.name = f.gateway JOIN device d ON d.gateway_id = g.id AND d.name = f.device
				LEFT JOIN metric m ON m.gateway_id = g.id AND m.name = f.metric
				WHERE a.device_id = d.id AND coalesce(a.metric_id, 0) = coalesce(m.id, 0) AND coalesce(a.found_time, a.time) = f.time
					AND a.kind = f.kind AND a.rule = f.rule AND (a.ended_at IS NULL OR a.end_reason = 'past' AND f.end_reason = 'past'
						AND (a.ended_at < f.ended_at OR f.began_at < a.time))`,
				append(columns[:6:6], columns[7], columns[9], columns[10], columns[11], began)...)
			return err
		})
		if err != nil {
			return fmt.Errorf("end anomalies: %w", err)
		}
	}
	return nil
}

// maxAnomalies is how many anomalies one statement inserts.
const maxAnomalies = 1000

// columnsOf returns the arguments of the statement that inserts anomalies, of which that which
// ends them has some. The first six are their identities.
func columnsOf(found []directory.Anomaly) []any {
	n := len(found)
	gateways, devices, metrics, kinds := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	rules, severities, messages := make([]string, n), make([]string, n), make([]string, n)
	times, scores, values := make([]time.Time, n), make([]float64, n), make([]*float64, n)
	ends, reasons, late, lags := make([]*time.Time, n), make([]*string, n), make([]bool, n), make([]float64, n)
	for i, a := range found {
		gateways[i], devices[i], metrics[i], kinds[i] = string(a.Gateway), string(a.Device), string(a.Metric), string(a.Kind)
		rules[i], severities[i], messages[i] = cmp.Or(string(a.Rule), noRule), string(a.Severity), a.Message
		times[i], scores[i], values[i] = a.Time.Time(), a.Score, a.Value
		late[i], lags[i] = a.Late, a.Lag.Seconds()
		if !a.Active() {
			at, reason := a.EndedAt.Time(), string(a.EndReason)
			ends[i], reasons[i] = &at, &reason
		}
	}
	return []any{gateways, devices, metrics, times, kinds, rules, scores, values, severities, messages, ends, reasons, late, lags}
}

const ruleColumns = `id::text, site, gateway, device, metric, kind, low, high, hysteresis, per_second, coalesce(silence_seconds, 0),
	severity, enabled, version, min_interval_seconds, ignore_bad, updated_at`

func scanRule(row pgx.CollectableRow) (r directory.AlarmRule, err error) { return scanRuleAnd(row) }

// scanRuleAnd scans ruleColumns and what follows them.
func scanRuleAnd(row pgx.CollectableRow, more ...any) (r directory.AlarmRule, err error) {
	var silence, interval float64
	err = row.Scan(append([]any{
		&r.ID, &r.Site, &r.Gateway, &r.Device, &r.Metric, &r.Kind, &r.Low, &r.High, &r.Hysteresis, &r.PerSecond, &silence,
		&r.Severity, &r.Enabled, &r.Version, &interval, &r.IgnoreBad, &r.ChangedAt,
	}, more...)...)
	r.Silence, r.MinInterval = seconds(silence), seconds(interval)
	return r, err
}

// AlarmRules returns a site's rules after page.After, in the order of their ids.
func (p *Pool) AlarmRules(ctx context.Context, site telemetry.SiteID, page directory.Page) ([]directory.AlarmRule, error) {
	return findAll(ctx, p, "alarm rules of site "+string(site), scanRule,
		`SELECT `+ruleColumns+` FROM alarm_rule WHERE site = $1 AND id > $2::uuid ORDER BY id LIMIT $3`,
		string(site), cmp.Or(page.After, noRule), page.Limit)
}

// EnabledAlarmRules returns the enabled rules of all sites, without those for the silence
// of a gateway that was revoked. Expected is set where the gateway is one of the site's.
func (p *Pool) EnabledAlarmRules(ctx context.Context) ([]directory.AlarmRule, error) {
	scan := func(row pgx.CollectableRow) (r directory.AlarmRule, err error) {
		var expected bool
		r, err = scanRuleAnd(row, &expected)
		r.Expected = expected
		return r, err
	}
	return findAll(ctx, p, "alarm rules", scan, `SELECT `+ruleColumns+`,
			EXISTS (SELECT FROM gateway g WHERE g.name = r.gateway AND g.site = r.site)
		FROM alarm_rule r WHERE enabled AND NOT (kind = 'no_data' AND EXISTS
			(SELECT FROM gateway g WHERE g.name = r.gateway AND g.site = r.site AND g.revoked_at IS NOT NULL)) ORDER BY id`)
}

// AlarmRule returns a rule of a site, or telemetry.ErrNotFound.
func (p *Pool) AlarmRule(ctx context.Context, site telemetry.SiteID, id directory.RuleID) (directory.AlarmRule, error) {
	return findOne(ctx, p, "alarm rule "+string(id), scanRule,
		`SELECT `+ruleColumns+` FROM alarm_rule WHERE site = $1 AND id = $2`, string(site), string(id))
}

// RuleTarget returns what there is of what a rule is for.
func (p *Pool) RuleTarget(ctx context.Context, r directory.AlarmRule) (t directory.RuleTarget, err error) {
	return findOne(ctx, p, "target of an alarm rule", func(row pgx.CollectableRow) (t directory.RuleTarget, err error) {
		err = row.Scan(&t.Gateway, &t.Revoked, &t.Device, &t.Metric)
		return t, err
	}, `SELECT g.id IS NOT NULL, g.revoked_at IS NOT NULL,
			EXISTS (SELECT FROM device d WHERE d.gateway_id = g.id AND d.name = $3 AND d.reported),
			EXISTS (SELECT FROM metric m WHERE m.gateway_id = g.id AND m.name = $4 AND m.reported)
		FROM (SELECT) AS one LEFT JOIN gateway g ON g.site = $1 AND g.name = $2`,
		string(r.Site), string(r.Gateway), string(r.Device), string(r.Metric))
}

// SaveAlarmRule creates a rule if r has no ID, and changes it otherwise. A change
// expects the version from, 0 for any. directory.ErrNoGateway: the site does not have the
// gateway, or it was revoked, so that the rule would match nothing; a change that disables a rule is stored.
// telemetry.ErrConflict: the site has directory.MaxAlarmRules.
func (p *Pool) SaveAlarmRule(
	ctx context.Context, r directory.AlarmRule, from directory.Version, entry trail.Entry,
) (saved directory.AlarmRule, err error) {
	var silence *float64
	if r.Silence > 0 {
		s := r.Silence.Seconds()
		silence = &s
	}
	args := []any{
		string(r.Site), string(r.Gateway), string(r.Device), string(r.Metric), string(r.Kind),
		r.Low, r.High, r.Hysteresis, r.PerSecond, silence, string(r.Severity), r.Enabled, r.MinInterval.Seconds(), r.IgnoreBad,
	}
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) (err error) {
			if r.ID == "" {
				if err := room(ctx, tx, "alarm rules of "+string(r.Site), "A site has at most %d alarm rules. Delete one first.",
					directory.MaxAlarmRules, "FROM alarm_rule WHERE site = $1", args[0]); err != nil {
					return err
				}
				saved, err = queryOne(ctx, tx, scanRule, `INSERT INTO alarm_rule
					(site, gateway, device, metric, kind, low, high, hysteresis, per_second, silence_seconds, severity, enabled,
						min_interval_seconds, ignore_bad)
					VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) RETURNING `+ruleColumns, args...)
				entry.Object += string(saved.ID)
			} else {
				saved, err = queryOne(ctx, tx, scanRule, `UPDATE alarm_rule SET
					gateway = $2, device = $3, metric = $4, kind = $5, low = $6, high = $7, hysteresis = $8,
					per_second = $9, silence_seconds = $10, severity = $11, enabled = $12, min_interval_seconds = $13,
					ignore_bad = $14, version = version + 1, updated_at = now()
					WHERE site = $1 AND id = $15 AND ($16::bigint = 0 OR version = $16) RETURNING `+ruleColumns,
					append(args, string(r.ID), int64(from))...)
				err = versionConflict(ctx, tx, err, "SELECT FROM alarm_rule WHERE site = $1 AND id = $2", string(r.Site), string(r.ID))
			}
			if err != nil {
				return err
			}
			if r.Enabled || r.ID == "" {
				_, err := queryOne(ctx, tx, pgx.RowTo[bool],
					"SELECT true FROM gateway WHERE site = $1 AND name = $2 AND revoked_at IS NULL", args[0], args[1])
				if isNotFound(err) {
					return directory.ErrNoGateway
				}
				if err != nil {
					return err
				}
			}
			return appendTrail(ctx, tx, entry)
		})
	})
	if err != nil {
		return directory.AlarmRule{}, fmt.Errorf("alarm rule %q: %w", r.ID, err)
	}
	return saved, nil
}

// RemoveAlarmRule deletes a rule; its anomalies stay. It expects the version from, 0 for any.
func (p *Pool) RemoveAlarmRule(
	ctx context.Context, site telemetry.SiteID, id directory.RuleID, from directory.Version, entry trail.Entry,
) error {
	err := p.change(ctx, entry, func(ctx context.Context, tx pgx.Tx) error {
		_, err := queryOne(ctx, tx, pgx.RowTo[bool], `DELETE FROM alarm_rule WHERE site = $1 AND id = $2
			AND ($3::bigint = 0 OR version = $3) RETURNING true`, string(site), string(id), int64(from))
		return versionConflict(ctx, tx, err, "SELECT FROM alarm_rule WHERE site = $1 AND id = $2", string(site), string(id))
	})
	if err != nil {
		return fmt.Errorf("remove alarm rule %q: %w", id, err)
	}
	return nil
}

// clientReportRetention is for how long the console's reports are stored.
const clientReportRetention = 30 * 24 * time.Hour

// AddClientReport stores a report, and deletes some that are past their retention or above
// directory.MaxClientReports of the site.
func (p *Pool) AddClientReport(ctx context.Context, r directory.ClientReport) error {
	err := p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, `DELETE FROM client_report
			WHERE id IN (SELECT id FROM client_report WHERE time < now() - $1::interval ORDER BY id LIMIT 100)`,
			clientReportRetention); err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, `DELETE FROM client_report WHERE id IN
			(SELECT id FROM client_report WHERE site = $1 ORDER BY id DESC OFFSET $2 LIMIT 100)`,
			string(r.Site), directory.MaxClientReports-1); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, `INSERT INTO client_report (subject, site, kind, message, detail) VALUES ($1, $2, $3, $4, $5)`,
			r.Subject, string(r.Site), r.Kind, r.Message, r.Detail)
		return err
	})
	if err != nil {
		return fmt.Errorf("client report: %w", err)
	}
	return nil
}
