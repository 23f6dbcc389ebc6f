package timescale

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

const (
	deviceColumns = "g.site, g.name, d.name, d.title, d.description, d.version"
	metricColumns = "g.site, g.name, m.name, m.title, m.unit, m.version"
)

func scanDevice(row pgx.CollectableRow) (d directory.Device, err error) {
	err = row.Scan(&d.Site, &d.Gateway, &d.Name, &d.Title, &d.Description, &d.Version)
	return d, err
}

func scanMetric(row pgx.CollectableRow) (m directory.Metric, err error) {
	err = row.Scan(&m.Site, &m.Gateway, &m.Name, &m.Title, &m.Unit, &m.Version)
	return m, err
}

// Devices returns a gateway's devices after page.After, in the order of their names.
func (p *Pool) Devices(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, page directory.Page) ([]directory.Device, error) {
	if _, err := p.Gateway(ctx, site, gateway); err != nil {
		return nil, err
	}
	return list(ctx, p, "devices of gateway "+string(gateway), scanDevice, `SELECT `+deviceColumns+` FROM device d JOIN gateway g ON g.id = d.gateway_id
		WHERE g.site = $1 AND g.name = $2 AND d.name > $3 ORDER BY d.name LIMIT $4`, string(site), string(gateway), page.After, page.Limit)
}

// list returns the rows of a query.
func list[T any](ctx context.Context, p *Pool, what string, scan pgx.RowToFunc[T], sql string, args ...any) (all []T, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, scan)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return all, nil
}

// find returns the row of a query, or telemetry.ErrNotFound.
func find[T any](ctx context.Context, p *Pool, what string, scan pgx.RowToFunc[T], sql string, args ...any) (found T, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) (err error) {
		found, err = one(ctx, conn, scan, sql, args...)
		return err
	})
	if err != nil {
		return found, fmt.Errorf("%s: %w", what, err)
	}
	return found, nil
}

// Device returns a device, or telemetry.ErrNotFound.
func (p *Pool) Device(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, name telemetry.DeviceName) (directory.Device, error) {
	return find(ctx, p, "device "+string(name), scanDevice, `SELECT `+deviceColumns+` FROM device d JOIN gateway g ON g.id = d.gateway_id
		WHERE g.site = $1 AND g.name = $2 AND d.name = $3`, string(site), string(gateway), string(name))
}

// ChangeDevice sets a device's title and description.
func (p *Pool) ChangeDevice(ctx context.Context, d directory.Device, from directory.Version, entry trail.Entry) (now directory.Device, err error) {
	key := []any{string(d.Site), string(d.Gateway), string(d.Name)}
	err = p.change(ctx, entry, func(ctx context.Context, tx pgx.Tx) error {
		now, err = one(ctx, tx, scanDevice, `UPDATE device d SET title = $4, description = $5, version = d.version + 1 FROM gateway g
			WHERE g.id = d.gateway_id AND g.site = $1 AND g.name = $2 AND d.name = $3 AND ($6 = 0 OR d.version = $6) RETURNING `+deviceColumns,
			append(key, d.Title, d.Description, int64(from))...)
		return versioned(ctx, tx, err, `SELECT FROM device d JOIN gateway g ON g.id = d.gateway_id WHERE g.site = $1 AND g.name = $2 AND d.name = $3`, key...)
	})
	if err != nil {
		return directory.Device{}, fmt.Errorf("change device %q: %w", d.Name, err)
	}
	return now, nil
}

// Metrics returns a gateway's metrics after page.After, in the order of their names.
func (p *Pool) Metrics(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, page directory.Page) ([]directory.Metric, error) {
	if _, err := p.Gateway(ctx, site, gateway); err != nil {
		return nil, err
	}
	return list(ctx, p, "metrics of gateway "+string(gateway), scanMetric, `SELECT `+metricColumns+` FROM metric m JOIN gateway g ON g.id = m.gateway_id
		WHERE g.site = $1 AND g.name = $2 AND m.name > $3 ORDER BY m.name LIMIT $4`, string(site), string(gateway), page.After, page.Limit)
}

// Metric returns a metric, or telemetry.ErrNotFound.
func (p *Pool) Metric(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, name telemetry.MetricName) (directory.Metric, error) {
	return find(ctx, p, "metric "+string(name), scanMetric, `SELECT `+metricColumns+` FROM metric m JOIN gateway g ON g.id = m.gateway_id
		WHERE g.site = $1 AND g.name = $2 AND m.name = $3`, string(site), string(gateway), string(name))
}

// ChangeMetric sets a metric's title and unit.
func (p *Pool) ChangeMetric(ctx context.Context, m directory.Metric, from directory.Version, entry trail.Entry) (now directory.Metric, err error) {
	key := []any{string(m.Site), string(m.Gateway), string(m.Name)}
	err = p.change(ctx, entry, func(ctx context.Context, tx pgx.Tx) error {
		now, err = one(ctx, tx, scanMetric, `UPDATE metric m SET title = $4, unit = $5, version = m.version + 1 FROM gateway g
			WHERE g.id = m.gateway_id AND g.site = $1 AND g.name = $2 AND m.name = $3 AND ($6 = 0 OR m.version = $6) RETURNING `+metricColumns,
			append(key, m.Title, m.Unit, int64(from))...)
		return versioned(ctx, tx, err, `SELECT FROM metric m JOIN gateway g ON g.id = m.gateway_id WHERE g.site = $1 AND g.name = $2 AND m.name = $3`, key...)
	})
	if err != nil {
		return directory.Metric{}, fmt.Errorf("change metric %q: %w", m.Name, err)
	}
	return now, nil
}
