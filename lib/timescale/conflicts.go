package timescale

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

const (
	// conflictsOfSeries is how many conflicts of a series are stored, the newest. More are
	// stored until the next roll-up.
	conflictsOfSeries = 1000
	// conflictDays is how long conflicts are stored and counted.
	conflictDays = 90
)

// Conflicts returns the conflicts that pass the filter, the last to arrive first.
func (p *Pool) Conflicts(ctx context.Context, f directory.ConflictFilter) ([]directory.Conflict, error) {
	scan := func(row pgx.CollectableRow) (c directory.Conflict, err error) {
		var value *float64
		var quality *telemetry.Quality
		err = row.Scan(&c.ID, &c.Gateway, &c.Device, &c.Metric, &c.Time, &c.Value, &c.Quality, &value, &quality, &c.Seen)
		if c.Stored = value != nil; c.Stored {
			c.StoredValue, c.StoredQuality = *value, *quality
		}
		return c, err
	}
	return findAll(ctx, p, "conflicts of site "+string(f.Site), scan, `SELECT c.id, g.name, d.name, m.name,
			(extract(epoch FROM c.time) * 1000000)::bigint, c.value, c.quality, e.value, e.quality, c.seen_at
		FROM conflict c JOIN device d ON d.id = c.device_id JOIN gateway g ON g.id = d.gateway_id JOIN metric m ON m.id = c.metric_id
		LEFT JOIN LATERAL (SELECT value, quality FROM event
			WHERE event.device_id = c.device_id AND event.metric_id = c.metric_id AND event.time = c.time LIMIT 1) AS e ON true
		WHERE g.site = $1 AND ($2 = '' OR g.name = $2) AND ($3 = '' OR d.name = $3) AND ($4 = '' OR m.name = $4)
			AND ($5::timestamptz IS NULL OR c.time >= $5) AND ($6::timestamptz IS NULL OR c.time < $6) AND ($7::bigint = 0 OR c.id < $7)
		ORDER BY c.id DESC LIMIT $8`, customPlan,
		string(f.Site), string(f.Gateway), string(f.Device), string(f.Metric), orNull(f.From), orNull(f.To), f.Before, f.Limit)
}

// ConflictCounts returns the devices with conflicts, by gateway and name.
func (p *Pool) ConflictCounts(ctx context.Context, f directory.ConflictCountFilter) ([]directory.ConflictCount, error) {
	scan := func(row pgx.CollectableRow) (c directory.ConflictCount, err error) {
		err = row.Scan(&c.Gateway, &c.Device, &c.Count, &c.Metrics, &c.FirstSeen, &c.LastSeen)
		return c, err
	}
	return findAll(ctx, p, "conflicting devices of site "+string(f.Site), scan, `SELECT g.name, d.name, sum(c.count)::bigint,
			array_agg(DISTINCT m.name ORDER BY m.name), min(c.first_seen), max(c.last_seen)
		FROM conflict_hour c JOIN device d ON d.id = c.device_id JOIN gateway g ON g.id = d.gateway_id JOIN metric m ON m.id = c.metric_id
		WHERE g.site = $1 AND ($2 = '' OR g.name = $2) AND c.last_seen >= $3 AND (g.name, d.name) > ($4, $5)
		GROUP BY g.name, d.name ORDER BY g.name, d.name LIMIT $6`,
		string(f.Site), string(f.Gateway), f.Since, string(f.AfterGateway), string(f.AfterDevice), f.Limit)
}

// PruneConflicts deletes conflicts that are not among the newest of their series, and those
// past their retention. It returns how many it deleted.
func (p *Pool) PruneConflicts(ctx context.Context) (pruned int, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		pruned = 0
		for _, prune := range []struct {
			statement string
			argument  int
		}{
			{
				`DELETE FROM conflict USING (
				SELECT c.device_id, c.metric_id, (SELECT id FROM conflict n WHERE n.device_id = c.device_id AND n.metric_id = c.metric_id
					ORDER BY id DESC OFFSET $1 LIMIT 1) AS last
				FROM (SELECT device_id, metric_id FROM conflict GROUP BY 1, 2 HAVING count(*) > $1) AS c) AS many
			WHERE conflict.device_id = many.device_id AND conflict.metric_id = many.metric_id AND conflict.id <= many.last`,
				conflictsOfSeries,
			},
			{`DELETE FROM conflict WHERE seen_at < now() - make_interval(days => $1)`, conflictDays},
			{`DELETE FROM conflict_hour WHERE hour < now() - make_interval(days => $1)`, conflictDays},
		} {
			tag, err := conn.Exec(ctx, prune.statement, prune.argument)
			if err != nil {
				return err
			}
			pruned += int(tag.RowsAffected())
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("prune conflicts: %w", err)
	}
	return pruned, nil
}
