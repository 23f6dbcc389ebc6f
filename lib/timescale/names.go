package timescale

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// resolve fills s.resolved with the ids of the batches' names; new names get
// ids. In steady state it does not ask the database.
func (w *Writer) resolve(ctx context.Context, conn *pgx.Conn, s *scratch, batches []*telemetry.Batch) error {
	generation := w.pool.generation.Load()
	w.dictionary.renew(generation)
	s.resolved = slices.Grow(s.resolved[:0], len(batches))[:len(batches)]
	var unknown []*telemetry.Batch
	for i, b := range batches {
		if !w.dictionary.lookup(b, &s.resolved[i]) {
			unknown = append(unknown, b)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	learnt, err := w.learnNames(ctx, conn, unknown)
	if err != nil {
		return err
	}
	w.dictionary.learn(generation, learnt)
	for i, b := range batches {
		if g := learnt[b.Gateway]; g != nil {
			g.resolve(b, &s.resolved[i])
		}
	}
	return nil
}

// resolve fills into with the ids of b's names where they are known to g; the
// rest of b's names were found in the cache before.
func (g *gatewayNames) resolve(b *telemetry.Batch, into *ids) {
	if len(into.device) == len(b.Devices) && len(into.metric) == len(b.Metrics) {
		return
	}
	into.device, into.metric = into.device[:0], into.metric[:0]
	for _, name := range b.Devices {
		into.device = append(into.device, g.devices[name])
	}
	for _, name := range b.Metrics {
		into.metric = append(into.metric, g.metrics[name])
	}
}

// learnNames looks all names of the batches up in the database and adds those
// that it lacks.
func (w *Writer) learnNames(ctx context.Context, conn *pgx.Conn, batches []*telemetry.Batch) (map[telemetry.GatewayID]*gatewayNames, error) {
	gateways, err := learnGateways(ctx, conn, batches)
	if err != nil {
		return nil, err
	}
	devices, metrics := make(nameSet), make(nameSet)
	byID := make(map[int32]*gatewayNames, len(gateways))
	for name, g := range gateways {
		if g.id == 0 {
			return nil, fmt.Errorf("gateway %q has vanished", name)
		}
		byID[g.id] = g
	}
	for _, b := range batches {
		g := gateways[b.Gateway]
		for _, name := range b.Devices {
			devices[scopedName{g.id, string(name)}] = 0
		}
		for _, name := range b.Metrics {
			metrics[scopedName{g.id, string(name)}] = 0
		}
	}
	if err := deviceNames.learn(ctx, conn, devices, w.config.DevicesPerGateway); err != nil {
		return nil, err
	}
	if err := metricNames.learn(ctx, conn, metrics, w.config.MetricsPerGateway); err != nil {
		return nil, err
	}
	for name, id := range devices {
		byID[name.gateway].devices[telemetry.DeviceName(name.name)] = id
	}
	for name, id := range metrics {
		byID[name.gateway].metrics[telemetry.MetricName(name.name)] = id
	}
	return gateways, nil
}

// learnGateways returns the batches' gateways, added or moved to another site
// where a batch says so.
func learnGateways(ctx context.Context, conn *pgx.Conn, batches []*telemetry.Batch) (map[telemetry.GatewayID]*gatewayNames, error) {
	latest := make(map[telemetry.GatewayID]*telemetry.Batch)
	gateways := make(map[telemetry.GatewayID]*gatewayNames)
	for _, b := range batches {
		if l := latest[b.Gateway]; l == nil || l.Received < b.Received {
			latest[b.Gateway] = b
		}
		gateways[b.Gateway] = &gatewayNames{devices: make(map[telemetry.DeviceName]int32), metrics: make(map[telemetry.MetricName]int32)}
	}
	if err := selectGateways(ctx, conn, gateways); err != nil {
		return nil, err
	}
	var names, sites []string
	var since []int64
	for _, name := range slices.Sorted(maps.Keys(latest)) {
		if b := latest[name]; gateways[name].id == 0 || gateways[name].outdatedBy(b) {
			names, sites, since = append(names, string(name)), append(sites, string(b.Site)), append(since, int64(b.Received))
		}
	}
	if len(names) == 0 {
		return gateways, nil
	}
	_, err := conn.Exec(ctx, `
		INSERT INTO gateway (name, site, site_since)
		SELECT name, site, timestamptz 'epoch' + since * interval '1 microsecond'
		FROM unnest($1::text[], $2::text[], $3::int8[]) AS new(name, site, since) ORDER BY name
		ON CONFLICT (name) DO UPDATE SET site = excluded.site, site_since = excluded.site_since
		WHERE gateway.site <> excluded.site AND gateway.site_since < excluded.site_since`, names, sites, since)
	if err != nil {
		return nil, fmt.Errorf("add %d gateways: %w", len(names), err)
	}
	return gateways, selectGateways(ctx, conn, gateways)
}

func selectGateways(ctx context.Context, conn *pgx.Conn, gateways map[telemetry.GatewayID]*gatewayNames) error {
	names := make([]string, 0, len(gateways))
	for name := range gateways {
		names = append(names, string(name))
	}
	rows, err := conn.Query(ctx, "SELECT id, name, site, (extract(epoch FROM site_since) * 1000000)::int8 FROM gateway WHERE name = ANY($1)", names)
	if err != nil {
		return fmt.Errorf("look up gateways: %w", err)
	}
	var id int32
	var name, site string
	var since int64
	_, err = pgx.ForEachRow(rows, []any{&id, &name, &site, &since}, func() error {
		g := gateways[telemetry.GatewayID(name)]
		g.id, g.site, g.siteSince = id, telemetry.SiteID(site), telemetry.Micros(since)
		return nil
	})
	if err != nil {
		return fmt.Errorf("look up gateways: %w", err)
	}
	return nil
}

// scopedName is the name of a device or metric of a gateway; a nameSet maps such
// names to their ids, 0 for one not known yet.
type (
	scopedName struct {
		gateway int32
		name    string
	}
	nameSet map[scopedName]int32
)

// nameKind is one of the two tables of names and its statements.
type nameKind struct {
	what                  string
	lookup, insert, count string
}

var (
	deviceNames = nameKind{ //nolint:gochecknoglobals // constant
		what:   "devices",
		lookup: "SELECT id, gateway_id, name FROM unnest($1::int4[], $2::text[]) AS want(gateway_id, name) JOIN device USING (gateway_id, name)",
		insert: "INSERT INTO device (gateway_id, name) SELECT * FROM unnest($1::int4[], $2::text[]) AS new(gateway_id, name) ORDER BY 1, 2 ON CONFLICT DO NOTHING",
		count:  "SELECT gateway.name, count(*) FROM device JOIN gateway ON gateway.id = gateway_id WHERE gateway_id = ANY($1) GROUP BY 1 ORDER BY 2 DESC LIMIT 1",
	}
	metricNames = nameKind{ //nolint:gochecknoglobals // constant
		what:   "metrics",
		lookup: "SELECT id, gateway_id, name FROM unnest($1::int4[], $2::text[]) AS want(gateway_id, name) JOIN metric USING (gateway_id, name)",
		insert: "INSERT INTO metric (gateway_id, name) SELECT * FROM unnest($1::int4[], $2::text[]) AS new(gateway_id, name) ORDER BY 1, 2 ON CONFLICT DO NOTHING",
		count:  "SELECT gateway.name, count(*) FROM metric JOIN gateway ON gateway.id = gateway_id WHERE gateway_id = ANY($1) GROUP BY 1 ORDER BY 2 DESC LIMIT 1",
	}
)

// learn fills names with ids and adds those that are not there, unless a gateway
// would then have more than bound; that is telemetry.ErrInvalid.
func (k nameKind) learn(ctx context.Context, conn *pgx.Conn, names nameSet, bound int) error {
	// Look before inserting: a process that starts afresh knows no names, and an
	// insert that conflicts uses an id up.
	if err := k.selectInto(ctx, conn, names); err != nil {
		return err
	}
	gateways, missing := names.missing()
	if len(missing) == 0 {
		return nil
	}
	if err := k.add(ctx, conn, gateways, missing, bound); err != nil {
		return fmt.Errorf("add %d %s: %w", len(missing), k.what, err)
	}
	if err := k.selectInto(ctx, conn, names); err != nil {
		return err
	}
	if _, missing := names.missing(); len(missing) > 0 {
		return fmt.Errorf("%d %s vanished after they were added", len(missing), k.what)
	}
	return nil
}

// add inserts names under their gateways' locks, so that two writers together do
// not pass the bound.
func (k nameKind) add(ctx context.Context, conn *pgx.Conn, gateways []int32, names []string, bound int) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT FROM gateway WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE", gateways); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, k.insert, gateways, names); err != nil {
			return err
		}
		var most string
		var count int
		if err := tx.QueryRow(ctx, k.count, gateways).Scan(&most, &count); err != nil {
			return err
		}
		if count > bound {
			return fmt.Errorf("%w: gateway %q would have %d %s, more than %d", telemetry.ErrInvalid, most, count, k.what, bound)
		}
		return nil
	})
}

func (k nameKind) selectInto(ctx context.Context, conn *pgx.Conn, names nameSet) error {
	gateways, unknown := names.missing()
	if len(unknown) == 0 {
		return nil
	}
	rows, err := conn.Query(ctx, k.lookup, gateways, unknown)
	if err != nil {
		return fmt.Errorf("look up %d %s: %w", len(unknown), k.what, err)
	}
	var id int32
	var name scopedName
	_, err = pgx.ForEachRow(rows, []any{&id, &name.gateway, &name.name}, func() error {
		names[name] = id
		return nil
	})
	if err != nil {
		return fmt.Errorf("look up %d %s: %w", len(unknown), k.what, err)
	}
	return nil
}

// missing returns the names without id, sorted, as two columns.
func (n nameSet) missing() (gateways []int32, names []string) {
	var unknown []scopedName
	for name, id := range n {
		if id == 0 {
			unknown = append(unknown, name)
		}
	}
	slices.SortFunc(unknown, func(a, b scopedName) int {
		return cmp.Or(cmp.Compare(a.gateway, b.gateway), cmp.Compare(a.name, b.name))
	})
	for _, name := range unknown {
		gateways, names = append(gateways, name.gateway), append(names, name.name)
	}
	return gateways, names
}
