package timescale

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// AddNames adds the gateway, devices and metrics of a batch to the database, as a write
// of its events does, as many as the same limits allow. The batch needs no events: an anomaly may
// be stored before the event that it is about. A batch with a Received time of 0 does
// not move an existing gateway to its site.
//
// telemetry.ErrInvalid: some names cannot be stored, or the gateway is at its limit.
// telemetry.ErrUnavailable: retry later.
func (w *Writer) AddNames(ctx context.Context, names *telemetry.Batch) error {
	err := w.pool.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		loaded, err := w.loadNames(ctx, conn, []*telemetry.Batch{names})
		if err != nil {
			return err
		}
		if g := loaded[names.Gateway]; len(g.devices) < len(names.Devices) || len(g.metrics) < len(names.Metrics) {
			return fmt.Errorf("%w: some names: %s; %s", telemetry.ErrInvalid, w.noRoom("devices"), w.noRoom("metrics"))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("add %d devices and %d metrics of gateway %q: %w", len(names.Devices), len(names.Metrics), names.Gateway, err)
	}
	return nil
}

// AddSilentNames adds the devices and metrics of a batch to the database for an alarm that
// they are silent, if the database has the gateway: they are not listed, and do not count, until
// their first event is stored. telemetry.ErrInvalid: some names cannot be stored.
func (w *Writer) AddSilentNames(ctx context.Context, names *telemetry.Batch) error {
	err := w.pool.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		for table, list := range map[string][]string{"device": texts(names.Devices), "metric": texts(names.Metrics)} {
			if _, err := conn.Exec(ctx, `INSERT INTO `+table+` (gateway_id, name, reported)
				SELECT g.id, n.name, false FROM gateway g CROSS JOIN unnest($2::text[]) AS n(name) WHERE g.name = $1
					AND NOT EXISTS (SELECT FROM `+table+` t WHERE t.gateway_id = g.id AND t.name = n.name)
				ORDER BY n.name ON CONFLICT DO NOTHING`, string(names.Gateway), list); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("add names of silent series of gateway %q: %w", names.Gateway, err)
	}
	return nil
}

func texts[S ~string](names []S) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = string(name)
	}
	return out
}

// resolve fills s.resolved with the ids of the batches' names, and adds new names to
// the database. When all names are cached, it sends no query.
func (w *Writer) resolve(ctx context.Context, conn *pgx.Conn, s *scratch, batches []*telemetry.Batch) error {
	if err := w.forgetDeleted(ctx, conn); err != nil {
		return err
	}
	generation := w.pool.generation.Load()
	w.dictionary.setGeneration(generation)
	s.crowded = nil
	s.resolved = slices.Grow(s.resolved[:0], len(batches))[:len(batches)]
	var uncached []*telemetry.Batch
	for i, b := range batches {
		if !w.dictionary.lookup(b, &s.resolved[i]) {
			uncached = append(uncached, b)
		}
	}
	if len(uncached) == 0 {
		return nil
	}
	loaded, err := w.loadNames(ctx, conn, uncached)
	if err != nil {
		return err
	}
	for name, g := range loaded {
		if g.crowded {
			s.crowded = append(s.crowded, name)
		}
	}
	w.dictionary.add(generation, loaded)
	for i, b := range batches {
		if g := loaded[b.Gateway]; g != nil {
			g.resolve(b, &s.resolved[i])
		}
	}
	return nil
}

// resolve fills into with the ids of b's names, unless the cache has filled it already.
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

// loadNames reads the ids of the batches' names, and adds missing names to the database. A
// name that is not valid, or for which the gateway has no room, is left out.
func (w *Writer) loadNames(
	ctx context.Context, conn *pgx.Conn, batches []*telemetry.Batch,
) (map[telemetry.GatewayID]*gatewayNames, error) {
	gateways, err := loadGateways(ctx, conn, batches)
	if err != nil {
		return nil, err
	}
	devices, metrics := make(nameSet), make(nameSet)
	byID := make(map[int32]*gatewayNames, len(gateways))
	for name, g := range gateways {
		if g.id == 0 {
			return nil, fmt.Errorf("gateway %q was deleted after it was added", name)
		}
		byID[g.id] = g
	}
	for _, b := range batches {
		g := gateways[b.Gateway]
		for _, name := range b.Devices {
			if telemetry.ValidName(name) == nil {
				devices[scopedName{g.id, string(name)}] = 0
			}
		}
		for _, name := range b.Metrics {
			if telemetry.ValidName(name) == nil {
				metrics[scopedName{g.id, string(name)}] = 0
			}
		}
	}
	crowded, err := newNameKind("device").load(ctx, conn, devices, w.config.DevicesPerGateway)
	if err != nil {
		return nil, err
	}
	more, err := newNameKind("metric").load(ctx, conn, metrics, w.config.MetricsPerGateway)
	if err != nil {
		return nil, err
	}
	for _, id := range append(crowded, more...) {
		byID[id].crowded = true
	}
	for name, id := range devices {
		if id != 0 {
			byID[name.gateway].devices[telemetry.DeviceName(name.name)] = id
		}
	}
	for name, id := range metrics {
		if id != 0 {
			byID[name.gateway].metrics[telemetry.MetricName(name.name)] = id
		}
	}
	return gateways, nil
}

// noRoom says why a new name was left out.
func (w *Writer) noRoom(plural string) string {
	limit := w.config.DevicesPerGateway
	if plural == "metrics" {
		limit = w.config.MetricsPerGateway
	}
	return fmt.Sprintf("the gateway has its %d %s already", limit, plural)
}

// loadGateways reads the batches' gateways. It adds missing gateways, and moves a gateway
// to another site if its latest batch names that site.
func loadGateways(
	ctx context.Context, conn *pgx.Conn, batches []*telemetry.Batch,
) (map[telemetry.GatewayID]*gatewayNames, error) {
	latest := make(map[telemetry.GatewayID]*telemetry.Batch)
	gateways := make(map[telemetry.GatewayID]*gatewayNames)
	for _, b := range batches {
		if l := latest[b.Gateway]; l == nil || l.Received < b.Received {
			latest[b.Gateway] = b
		}
		gateways[b.Gateway] = newGatewayNames()
	}
	if err := selectGateways(ctx, conn, gateways); err != nil {
		return nil, err
	}
	var names, sites []string
	var since []int64
	for _, name := range slices.Sorted(maps.Keys(latest)) {
		if b := latest[name]; gateways[name].id == 0 || gateways[name].outdatedBy(b) {
			names, sites = append(names, string(name)), append(sites, string(b.Site))
			since = append(since, int64(b.Received))
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
	rows, err := conn.Query(ctx, `SELECT id, name, site, (extract(epoch FROM site_since) * 1000000)::int8
		FROM gateway WHERE name = ANY($1)`, names)
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

// scopedName is the name of a device or metric of a gateway. A nameSet maps such names
// to their ids; 0 stands for an id that is not loaded yet.
type (
	scopedName struct {
		gateway int32
		name    string
	}
	nameSet map[scopedName]int32
)

// nameKind is one of the tables device and metric, with the statements of the writer.
type nameKind struct {
	plural                string
	lookup, insert, count string
}

func newNameKind(table string) nameKind {
	const columns = "unnest($1::int4[], $2::text[]) AS new(gateway_id, name)"
	return nameKind{
		plural: table + "s",
		lookup: "SELECT id, gateway_id, name FROM " + columns + " JOIN " + table + " USING (gateway_id, name) WHERE reported",
		insert: `INSERT INTO ` + table + ` (gateway_id, name)
			SELECT gateway_id, name FROM (
				SELECT gateway_id, name, row_number() OVER (PARTITION BY gateway_id ORDER BY name) AS n FROM ` + columns + `
				WHERE NOT EXISTS (SELECT FROM ` + table + ` t WHERE t.gateway_id = new.gateway_id AND t.name = new.name AND t.reported)
			) AS missing
			WHERE n + (SELECT count(*) FROM ` + table + ` t WHERE t.gateway_id = missing.gateway_id AND t.reported) <= $3
			ORDER BY 1, 2 ON CONFLICT (gateway_id, name) DO UPDATE SET reported = true WHERE NOT ` + table + `.reported`,
		count: "SELECT gateway_id FROM " + table + " WHERE gateway_id = ANY($1) AND reported GROUP BY 1 HAVING count(*) >= $2",
	}
}

// load fills names with ids, and adds missing names to the database as far as each gateway
// has room. Those that have none stay without an id. It returns the gateways that are
// crowded after it added names; see directory.CrowdedNames.
func (k nameKind) load(ctx context.Context, conn *pgx.Conn, names nameSet, limit int) (crowded []int32, err error) {
	// SELECT before INSERT: a new process has no cached names, and an INSERT that
	// conflicts consumes a value of the id's sequence.
	if err := k.selectInto(ctx, conn, names); err != nil {
		return nil, err
	}
	gateways, missing := names.missing()
	if len(missing) == 0 {
		return nil, nil
	}
	// Without room there is nothing to lock: such a gateway may go on for long.
	full, err := k.gatewaysWith(ctx, conn, gateways, limit)
	if err != nil || !slices.ContainsFunc(gateways, func(id int32) bool { return !slices.Contains(full, id) }) {
		return nil, err
	}
	if err := k.add(ctx, conn, gateways, missing, limit); err != nil {
		return nil, fmt.Errorf("add %d %s: %w", len(missing), k.plural, err)
	}
	if err := k.selectInto(ctx, conn, names); err != nil {
		return nil, err
	}
	return k.gatewaysWith(ctx, conn, gateways, directory.Crowded(limit))
}

// gatewaysWith returns those of the gateways that have at least that many names.
func (k nameKind) gatewaysWith(ctx context.Context, conn *pgx.Conn, gateways []int32, least int) ([]int32, error) {
	rows, err := conn.Query(ctx, k.count, gateways, least)
	if err == nil {
		gateways, err = pgx.CollectRows(rows, pgx.RowTo[int32])
	}
	if err != nil {
		return nil, fmt.Errorf("count %s: %w", k.plural, err)
	}
	return gateways, nil
}

// add inserts names while it holds the row locks of their gateways, so that two writers
// together do not exceed the limit.
func (k nameKind) add(ctx context.Context, conn *pgx.Conn, gateways []int32, names []string, limit int) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT FROM gateway WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE", gateways); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, k.insert, gateways, names, limit)
		return err
	})
}

func (k nameKind) selectInto(ctx context.Context, conn *pgx.Conn, names nameSet) error {
	gateways, unknown := names.missing()
	if len(unknown) == 0 {
		return nil
	}
	rows, err := conn.Query(ctx, k.lookup, gateways, unknown)
	if err != nil {
		return fmt.Errorf("look up %d %s: %w", len(unknown), k.plural, err)
	}
	var id int32
	var name scopedName
	_, err = pgx.ForEachRow(rows, []any{&id, &name.gateway, &name.name}, func() error {
		names[name] = id
		return nil
	})
	if err != nil {
		return fmt.Errorf("look up %d %s: %w", len(unknown), k.plural, err)
	}
	return nil
}

// missing returns the names without an id, sorted, in two columns.
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

// CrowdedNames returns the names of a gateway that has nearly as many as it may have.
func (p *Pool) CrowdedNames(ctx context.Context, gateway telemetry.GatewayID) (names directory.CrowdedNames, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `
			SELECT (SELECT CASE WHEN count(*) >= $2 THEN array_agg(d.name ORDER BY d.name) END FROM device d
					WHERE d.gateway_id = g.id AND d.reported),
				(SELECT CASE WHEN count(*) >= $3 THEN array_agg(m.name ORDER BY m.name) END FROM metric m
					WHERE m.gateway_id = g.id AND m.reported)
			FROM (SELECT) AS one LEFT JOIN gateway g ON g.name = $1`,
			string(gateway), directory.Crowded(telemetry.MaxDevices), directory.Crowded(telemetry.MaxMetrics)).
			Scan(&names.Devices, &names.Metrics)
	})
	if err != nil {
		return names, fmt.Errorf("names of gateway %q: %w", gateway, err)
	}
	return names, nil
}

// CrowdedGateways returns the gateways that have nearly as many names as they may have.
func (p *Pool) CrowdedGateways(ctx context.Context) ([]telemetry.GatewayID, error) {
	return findAll(ctx, p, "crowded gateways", pgx.RowTo[telemetry.GatewayID], `SELECT name FROM gateway WHERE id IN (
			SELECT gateway_id FROM device WHERE reported GROUP BY 1 HAVING count(*) >= $1
			UNION SELECT gateway_id FROM metric WHERE reported GROUP BY 1 HAVING count(*) >= $2) ORDER BY name`,
		directory.Crowded(telemetry.MaxDevices), directory.Crowded(telemetry.MaxMetrics))
}
