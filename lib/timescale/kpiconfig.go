package timescale

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

const (
	kpiColumns = `coalesce(state_metric, ''), coalesce(count_metric, ''), coalesce(good_metric, ''),
	states::text, ideal_cycle_seconds, stale_after_seconds, coalesce(planned::text, 'null'),
	CASE WHEN gateway_pattern = $1 AND device_pattern = $2 THEN version ELSE 0 END`
	// ownPriority is the priority of a device's own configuration; rules for many devices have at most 100.
	ownPriority = 1000
)

func scanKPIConfig(row pgx.CollectableRow) (k directory.KPIConfig, err error) {
	var states, planned string
	var ideal, stale float64
	if err := row.Scan(&k.StateMetric, &k.CountMetric, &k.GoodMetric, &states, &ideal, &stale, &planned, &k.Version); err != nil {
		return k, err
	}
	k.IdealCycle, k.StaleAfter = seconds(ideal), seconds(stale)
	if err := json.Unmarshal([]byte(states), &k.States); err != nil {
		return k, fmt.Errorf("states: %w", err)
	}
	if err := json.Unmarshal([]byte(planned), &k.Planned); err != nil {
		return k, fmt.Errorf("planned: %w", err)
	}
	return k, nil
}

// matches compares a name with a column of patterns, in which only * is special.
func matches(parameter, column string) string {
	return parameter + ` LIKE replace(replace(replace(replace(` + column + `, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%')`
}

// KPIConfig returns the configuration that applies to a device. Its Version is 0 if it
// is a rule for many devices. telemetry.ErrNotFound: the device is not a machine.
func (p *Pool) KPIConfig(
	ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, device telemetry.DeviceName,
) (directory.KPIConfig, error) {
	if _, err := p.Device(ctx, site, gateway, device); err != nil {
		return directory.KPIConfig{}, err
	}
	return findOne(ctx, p, "KPI configuration of device "+string(device), scanKPIConfig, `SELECT `+kpiColumns+` FROM device_kpi
		WHERE `+matches("$1", "gateway_pattern")+` AND `+matches("$2", "device_pattern")+`
		ORDER BY priority DESC, length(gateway_pattern) + length(device_pattern) DESC, gateway_pattern, device_pattern LIMIT 1`,
		string(gateway), string(device))
}

// SetKPIConfig stores a configuration for one device. It expects the version from, 0 for
// any.
func (p *Pool) SetKPIConfig(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, device telemetry.DeviceName,
	k directory.KPIConfig, from directory.Version, entry trail.Entry,
) (stored directory.KPIConfig, err error) {
	if _, err := p.Device(ctx, site, gateway, device); err != nil {
		return stored, err
	}
	states, err := json.Marshal(k.States)
	if err != nil {
		return stored, fmt.Errorf("states: %w", err)
	}
	var planned *string
	if k.Planned != nil {
		raw, err := json.Marshal(k.Planned)
		if err != nil {
			return stored, fmt.Errorf("planned: %w", err)
		}
		text := string(raw)
		planned = &text
	}
	err = p.change(ctx, entry, func(ctx context.Context, tx pgx.Tx) error {
		stored, err = queryOne(ctx, tx, scanKPIConfig, `INSERT INTO device_kpi AS k
				(gateway_pattern, device_pattern, priority, state_metric, count_metric, good_metric,
				states, ideal_cycle_seconds, stale_after_seconds, planned)
			SELECT $1, $2, $3, nullif($4, ''), nullif($5, ''), nullif($6, ''), $7, $8, $9, $10
			WHERE $11 = 0 OR EXISTS (SELECT FROM device_kpi WHERE gateway_pattern = $1 AND device_pattern = $2)
			ON CONFLICT (gateway_pattern, device_pattern) DO UPDATE SET priority = $3, state_metric = excluded.state_metric,
				count_metric = excluded.count_metric, good_metric = excluded.good_metric, states = excluded.states,
				ideal_cycle_seconds = excluded.ideal_cycle_seconds, stale_after_seconds = excluded.stale_after_seconds,
				planned = excluded.planned, version = k.version + 1
			WHERE $11 = 0 OR k.version = $11 RETURNING `+kpiColumns,
			string(gateway), string(device), ownPriority, string(k.StateMetric), string(k.CountMetric), string(k.GoodMetric),
			string(states), k.IdealCycle.Seconds(), k.StaleAfter.Seconds(), planned, int64(from))
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

// RemoveKPIConfig deletes a device's own configuration.
func (p *Pool) RemoveKPIConfig(
	ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, device telemetry.DeviceName, entry trail.Entry,
) error {
	if _, err := p.Device(ctx, site, gateway, device); err != nil {
		return err
	}
	err := p.change(ctx, entry, func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, "DELETE FROM device_kpi WHERE gateway_pattern = $1 AND device_pattern = $2 AND priority = $3",
			string(gateway), string(device), ownPriority)
		if err == nil && tag.RowsAffected() == 0 {
			return telemetry.ErrNotFound
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("KPI configuration of device %q: %w", device, err)
	}
	return nil
}
