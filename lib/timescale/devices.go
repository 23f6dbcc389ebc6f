package timescale

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// nameTable is one of the tables device and metric: a gateway's names, each with a
// title and one more text that an operator may set.
type nameTable[T any] struct {
	name      string
	attribute string // column of the other text
	// hasKPIConfig: KPI configurations are by these names.
	hasKPIConfig bool
	scan         pgx.RowToFunc[T]
}

func deviceTable() nameTable[directory.Device] {
	return nameTable[directory.Device]{"device", "description", true, func(row pgx.CollectableRow) (d directory.Device, err error) {
		err = row.Scan(&d.Site, &d.Gateway, &d.Name, &d.Title, &d.Description, &d.Version)
		return d, err
	}}
}

func metricTable() nameTable[directory.Metric] {
	return nameTable[directory.Metric]{"metric", "unit", false, func(row pgx.CollectableRow) (m directory.Metric, err error) {
		err = row.Scan(&m.Site, &m.Gateway, &m.Name, &m.Title, &m.Unit, &m.Version)
		return m, err
	}}
}

func (t nameTable[T]) columns() string {
	return "g.site, g.name, n.name, n.title, n." + t.attribute + ", n.version"
}

// from selects a gateway's names, without those that only an alarm has; $1 is the site and $2
// the gateway.
func (t nameTable[T]) from() string {
	return " FROM " + t.name + " n JOIN gateway g ON g.id = n.gateway_id WHERE g.site = $1 AND g.name = $2 AND n.reported"
}

// page returns a gateway's names after page.After, in order.
func (t nameTable[T]) page(
	ctx context.Context, p *Pool, site telemetry.SiteID, gateway telemetry.GatewayID, page directory.Page,
) ([]T, error) {
	if _, err := p.Gateway(ctx, site, gateway); err != nil {
		return nil, err
	}
	return findAll(ctx, p, t.name+"s of gateway "+string(gateway), t.scan,
		"SELECT "+t.columns()+t.from()+" AND n.name > $3 ORDER BY n.name LIMIT $4", string(site), string(gateway), page.After, page.Limit)
}

// find returns a row, or telemetry.ErrNotFound.
func (t nameTable[T]) find(ctx context.Context, p *Pool, site telemetry.SiteID, gateway telemetry.GatewayID, name string) (T, error) {
	return findOne(ctx, p, t.name+" "+name, t.scan, "SELECT "+t.columns()+t.from()+" AND n.name = $3", string(site), string(gateway), name)
}

// change sets the two texts of the row with the key (site, gateway, name). It expects
// the version from, 0 for any.
func (t nameTable[T]) change(
	ctx context.Context, p *Pool, key [3]string, title, attribute string, from directory.Version, entry trail.Entry,
) (changed T, err error) {
	args := []any{key[0], key[1], key[2]}
	err = p.change(ctx, entry, func(ctx context.Context, tx pgx.Tx) error {
		changed, err = queryOne(ctx, tx, t.scan, `UPDATE `+t.name+` n SET title = $4, `+t.attribute+` = $5, version = n.version + 1
			FROM gateway g WHERE g.id = n.gateway_id AND g.site = $1 AND g.name = $2 AND n.name = $3 AND n.reported
				AND ($6::bigint = 0 OR n.version = $6)
			RETURNING `+t.columns(), append(args, title, attribute, int64(from))...)
		return versionConflict(ctx, tx, err, "SELECT"+t.from()+" AND n.name = $3", args...)
	})
	if err != nil {
		var zero T
		return zero, fmt.Errorf("change %s %q: %w", t.name, key[2], err)
	}
	return changed, nil
}

// Devices returns a gateway's devices after page.After, in the order of their names.
func (p *Pool) Devices(
	ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, page directory.Page,
) ([]directory.Device, error) {
	return deviceTable().page(ctx, p, site, gateway, page)
}

// Device returns a device, or telemetry.ErrNotFound.
func (p *Pool) Device(
	ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, name telemetry.DeviceName,
) (directory.Device, error) {
	return deviceTable().find(ctx, p, site, gateway, string(name))
}

// ChangeDevice sets a device's title and description. It expects the version from, 0 for any.
func (p *Pool) ChangeDevice(ctx context.Context, d directory.Device, from directory.Version, entry trail.Entry) (directory.Device, error) {
	return deviceTable().change(ctx, p, [3]string{string(d.Site), string(d.Gateway), string(d.Name)}, d.Title, d.Description, from, entry)
}

// Metrics returns a gateway's metrics after page.After, in the order of their names.
func (p *Pool) Metrics(
	ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, page directory.Page,
) ([]directory.Metric, error) {
	return metricTable().page(ctx, p, site, gateway, page)
}

// Metric returns a metric, or telemetry.ErrNotFound.
func (p *Pool) Metric(
	ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, name telemetry.MetricName,
) (directory.Metric, error) {
	return metricTable().find(ctx, p, site, gateway, string(name))
}

// ChangeMetric sets a metric's title and unit. It expects the version from, 0 for any.
func (p *Pool) ChangeMetric(ctx context.Context, m directory.Metric, from directory.Version, entry trail.Entry) (directory.Metric, error) {
	return metricTable().change(ctx, p, [3]string{string(m.Site), string(m.Gateway), string(m.Name)}, m.Title, m.Unit, from, entry)
}
