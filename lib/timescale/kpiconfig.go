package timescale

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// ownPriority is the priority of a device's own row. The column exact decides; this is for
// readers of the table.
const ownPriority = 1000

// kpiVersion is 0 for a rule for many devices.
const kpiVersion = "CASE WHEN exact THEN version ELSE 0 END"

func scanKPIConfig(row pgx.CollectableRow) (k directory.KPIConfig, err error) {
	k.Row, err = scanKPIRow(row, &k.Version)
	return k, err
}

// matches compares a name with a column of patterns, in which only * is special.
func matches(parameter, column string) string {
	return `CASE WHEN exact THEN ` + column + ` = ` + parameter + ` ELSE ` + parameter + ` LIKE replace(replace(replace(replace(` +
		column + `, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%') END`
}

// hasOwnRow is true for a device with a row of its own; $1 is the site, $2 the gateway.
const hasOwnRow = `EXISTS (SELECT FROM device_kpi k JOIN gateway g ON g.name = k.gateway_pattern
	WHERE g.site = $1 AND g.name = $2 AND k.device_pattern = $3 AND k.exact)`

// KPIConfig returns the configuration that applies to a device. Its Version is 0 if it
// is a rule for many devices. telemetry.ErrNotFound: there is none, or no such device. A
// device that has never sent an event, or was deleted, may have a row of its own.
func (p *Pool) KPIConfig(
	ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, device telemetry.DeviceName,
) (directory.KPIConfig, error) {
	_, err := findOne(ctx, p, "device "+string(device), pgx.RowTo[bool], "SELECT true WHERE "+hasOwnRow+
		" OR EXISTS (SELECT"+deviceTable().from()+" AND n.name = $3)", string(site), string(gateway), string(device))
	if err != nil {
		return directory.KPIConfig{}, err
	}
	return findOne(ctx, p, "KPI configuration of device "+string(device), scanKPIConfig, `
		SELECT `+kpiVersion+`, `+kpiColumns+` FROM device_kpi
		WHERE `+matches("$1", "gateway_pattern")+` AND `+matches("$2", "device_pattern")+` `+kpiOrder+` LIMIT 1`,
		string(gateway), string(device))
}

// SetKPIConfig stores a configuration for one device, whatever its name. It expects the
// version from, 0 for any.
func (p *Pool) SetKPIConfig(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, device telemetry.DeviceName,
	d kpi.Document, from directory.Version, entry trail.Entry,
) (stored directory.KPIConfig, err error) {
	if d.States == nil {
		d.States = map[string]kpi.DocumentState{}
	}
	states, err := json.Marshal(d.States)
	if err != nil {
		return stored, fmt.Errorf("states: %w", err)
	}
	var planned *string
	if d.Planned != nil {
		raw, err := json.Marshal(d.Planned)
		if err != nil {
			return stored, fmt.Errorf("planned: %w", err)
		}
		text := string(raw)
		planned = &text
	}
	err = p.change(ctx, entry, func(ctx context.Context, tx pgx.Tx) error {
		// The lock keeps the device: its deletion deletes its configuration.
		_, err := queryOne(ctx, tx, pgx.RowTo[bool], "SELECT true"+deviceTable().from()+" AND n.name = $3 FOR KEY SHARE OF n",
			string(site), string(gateway), string(device))
		if isNotFound(err) {
			_, err = queryOne(ctx, tx, pgx.RowTo[bool], "SELECT true WHERE "+hasOwnRow, string(site), string(gateway), string(device))
		}
		if err != nil {
			return err
		}
		stored, err = queryOne(ctx, tx, scanKPIConfig, `INSERT INTO device_kpi AS k
				(gateway_pattern, device_pattern, exact, priority, state_metric, count_metric, good_metric, assume_good,
				states, ideal_cycle_seconds, counter_modulus, stale_after_seconds, planned)
			SELECT $1, $2, true, $3, nullif($4, ''), nullif($5, ''), nullif($6, ''), $7, $8, $9, $10, $11, $12
			WHERE $13::bigint = 0 OR EXISTS (SELECT FROM device_kpi WHERE gateway_pattern = $1 AND device_pattern = $2 AND exact)
			ON CONFLICT (gateway_pattern, device_pattern, exact) DO UPDATE SET priority = $3, state_metric = excluded.state_metric,
				count_metric = excluded.count_metric, good_metric = excluded.good_metric, assume_good = excluded.assume_good,
				states = excluded.states, ideal_cycle_seconds = excluded.ideal_cycle_seconds,
				counter_modulus = excluded.counter_modulus, stale_after_seconds = excluded.stale_after_seconds,
				planned = excluded.planned, version = k.version + 1
			WHERE $13::bigint = 0 OR k.version = $13 RETURNING `+kpiVersion+`, `+kpiColumns,
			string(gateway), string(device), ownPriority, string(d.StateMetric), string(d.CountMetric), string(d.GoodMetric),
			d.AssumeGood, string(states), d.IdealCycle, d.CounterModulus, d.StaleAfter, planned, int64(from))
		if isNotFound(err) {
			return directory.ErrVersion
		}
		return err
	})
	if err != nil {
		return directory.KPIConfig{}, fmt.Errorf("KPI configuration of device %q: %w", device, err)
	}
	return stored, nil
}

// RemoveKPIConfig deletes a device's own configuration, whether or not the device has sent
// an event.
func (p *Pool) RemoveKPIConfig(
	ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, device telemetry.DeviceName, from directory.Version,
	entry trail.Entry,
) error {
	err := p.change(ctx, entry, func(ctx context.Context, tx pgx.Tx) error {
		args := []any{string(site), string(gateway), string(device)}
		_, err := queryOne(ctx, tx, pgx.RowTo[bool], `DELETE FROM device_kpi USING gateway g
			WHERE g.site = $1 AND g.name = $2 AND gateway_pattern = g.name AND device_pattern = $3 AND exact
				AND ($4::bigint = 0 OR device_kpi.version = $4) RETURNING true`, append(args, int64(from))...)
		return versionConflict(ctx, tx, err, "SELECT WHERE "+hasOwnRow, args...)
	})
	if err != nil {
		return fmt.Errorf("KPI configuration of device %q: %w", device, err)
	}
	return nil
}
