package timescale

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// KPIConfig is a row of the table device_kpi: the KPI configuration of one device or of
// the devices that match its patterns.
type KPIConfig struct {
	Devices telemetry.DevicePattern
	// Revoked: it is for one device, whose gateway is revoked.
	Revoked bool
	kpi.Row
}

// KPIConfigs returns all rows of device_kpi in the order of precedence: the first row
// that matches a device applies, also if it has problems.
func (p *Pool) KPIConfigs(ctx context.Context) (configs []KPIConfig, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `SELECT gateway_pattern, device_pattern, exact, `+ofOneDevice+` AND EXISTS
			(SELECT FROM gateway g WHERE g.name = gateway_pattern AND g.revoked_at IS NOT NULL), `+kpiColumns+` FROM device_kpi `+kpiOrder)
		if err != nil {
			return err
		}
		configs, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c KPIConfig, err error) {
			c.Row, err = scanKPIRow(row, &c.Devices.Gateway, &c.Devices.Device, &c.Devices.Exact, &c.Revoked)
			return c, err
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("device_kpi: %w", err)
	}
	return configs, nil
}

const (
	kpiColumns = `coalesce(state_metric, ''), coalesce(count_metric, ''), coalesce(good_metric, ''), assume_good,
	states::text, ideal_cycle_seconds, counter_modulus, stale_after_seconds, coalesce(planned::text, 'null')`
	// ofOneDevice is true for the rows that telemetry.DevicePattern.One is true for.
	ofOneDevice = `(exact OR strpos(gateway_pattern || device_pattern, '*') = 0)`
	// kpiOrder is the order of precedence: a device's own row, then rules for many devices.
	kpiOrder = `ORDER BY exact DESC, priority DESC, length(gateway_pattern) + length(device_pattern) DESC, gateway_pattern, device_pattern`
)

// scanKPIRow reads kpiColumns after the columns before.
func scanKPIRow(row pgx.CollectableRow, before ...any) (kpi.Row, error) {
	var d kpi.Document
	var states, planned string
	columns := append(before, &d.StateMetric, &d.CountMetric, &d.GoodMetric, &d.AssumeGood,
		&states, &d.IdealCycle, &d.CounterModulus, &d.StaleAfter, &planned)
	if err := row.Scan(columns...); err != nil {
		return kpi.Row{}, err
	}
	return kpi.NewRow(d, []byte(states), []byte(planned)), nil
}
