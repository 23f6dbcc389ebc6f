package timescale

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// appendTrail adds e to the audit trail as the last step of tx. It waits for nobody: the
// entry gets its number and hash when it is sealed, after the commit.
func appendTrail(ctx context.Context, tx pgx.Tx, e trail.Entry) error {
	_, err := tx.Exec(ctx, "INSERT INTO trail_pending (time, actor, action, object, site, detail) VALUES ($1, $2, $3, $4, $5, $6)",
		e.Time.Time(), e.Actor, string(e.Action), e.Object, string(e.Site), e.Detail)
	if err != nil {
		return fmt.Errorf("audit trail: %w", err)
	}
	return nil
}

// change runs f and adds its entry to the audit trail in one transaction. It retries
// after a transient failure: f must be safe to repeat.
func (p *Pool) change(ctx context.Context, entry trail.Entry, f func(context.Context, pgx.Tx) error) error {
	return p.changeAs(ctx, entry, func(ctx context.Context, tx pgx.Tx, _ *trail.Entry) error { return f(ctx, tx) })
}

// changeAs is change for an f that completes the entry.
func (p *Pool) changeAs(ctx context.Context, entry trail.Entry, f func(context.Context, pgx.Tx, *trail.Entry) error) error {
	return p.within(ctx, 3*p.config.Budget, func(ctx context.Context, conn *pgx.Conn) error {
		e := entry
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if err := f(ctx, tx, &e); err != nil {
				return err
			}
			return appendTrail(ctx, tx, e)
		})
	})
}

// AppendTrail adds an entry for what changed no table, such as a wrong password. What
// callers can repeat without limit goes through a trail.Counter instead.
func (p *Pool) AppendTrail(ctx context.Context, entry trail.Entry) error {
	return p.change(ctx, entry, func(context.Context, pgx.Tx) error { return nil })
}

// AppendFailure adds entry to the audit trail if the caller is known, and otherwise sum to the
// sums. It is one statement that inserts one row: how long it takes does not tell which.
func (p *Pool) AppendFailure(ctx context.Context, known bool, entry trail.Entry, sum trail.Occurrence) error {
	l := sum.Line(entry.Time.Time())
	err := p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `WITH entry AS (
				INSERT INTO trail_pending (time, actor, action, object, site, detail) SELECT $2, $3, $4, $5, $6, $7 WHERE $1)
			INSERT INTO trail_sum (action, reason, source, route, kid, subject, site, number, first, last)
			SELECT $4, $8, $9, $10, $11, $12, $13, 1, $2, $2 WHERE NOT $1`,
			known, entry.Time.Time(), entry.Actor, string(entry.Action), entry.Object, string(entry.Site), entry.Detail,
			l.Reason, l.Source, l.Route, l.KeyID, l.Subject, l.Site)
		return err
	})
	if err != nil {
		return fmt.Errorf("audit trail: %w", err)
	}
	return nil
}

// addSum adds an occurrence to the sums in tx.
func addSum(ctx context.Context, tx pgx.Tx, o trail.Occurrence, at time.Time) error {
	l := o.Line(at)
	_, err := tx.Exec(ctx, `INSERT INTO trail_sum (action, reason, source, route, kid, subject, site, number, first, last)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $8)`, string(o.Action), l.Reason, l.Source, l.Route, l.KeyID, l.Subject, l.Site, at)
	if err != nil {
		return fmt.Errorf("audit trail: %w", err)
	}
	return nil
}

// AddReports adds the lines of reports to the sums, each report in one transaction with its
// id: a report that was added before adds nothing. It returns how many were added.
func (p *Pool) AddReports(ctx context.Context, reports []trail.Report) (added int, err error) {
	for i := range reports {
		var ok bool
		if ok, err = p.addReport(ctx, &reports[i]); err != nil {
			return added, fmt.Errorf("audit trail: report %q: %w", reports[i].ID, err)
		}
		if ok {
			added++
		}
	}
	return added, nil
}

// PublishReports is AddReports for the publisher of a collector.
func (p *Pool) PublishReports(ctx context.Context, reports []trail.Report) error {
	_, err := p.AddReports(ctx, reports)
	return err
}

func (p *Pool) addReport(ctx context.Context, r *trail.Report) (added bool, err error) {
	var reasons, sources, routes, kids, subjects, sites []string
	var numbers []int64
	var firsts, lasts []time.Time
	for _, l := range r.Lines {
		reasons, sources, routes = append(reasons, l.Reason), append(sources, l.Source), append(routes, l.Route)
		kids, subjects, sites = append(kids, l.KeyID), append(subjects, l.Subject), append(sites, l.Site)
		numbers, firsts, lasts = append(numbers, l.Number), append(firsts, l.First), append(lasts, l.Last)
	}
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			// A concurrent transaction with the same delivery waits here for the first to commit.
			tag, err := tx.Exec(ctx, "INSERT INTO trail_delivery (id) VALUES ($1) ON CONFLICT DO NOTHING", "refusals/"+r.ID)
			if err != nil {
				return err
			}
			if added = tag.RowsAffected() == 1; !added {
				return nil
			}
			_, err = tx.Exec(ctx, `INSERT INTO trail_sum (action, reason, source, route, kid, subject, site, number, first, last)
				SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
					$8::bigint[], $9::timestamptz[], $10::timestamptz[])`,
				string(r.Action), reasons, sources, routes, kids, subjects, sites, numbers, firsts, lasts)
			return err
		})
	})
	return added && err == nil, err
}

// sealBatch limits the entries of one transaction of a sealer.
const sealBatch = 2000

// SealTrail moves the entries that are committed into the chain, and adds up the sums that
// are due, in transactions of sealBatch entries. Sealers wait for each other, changes for none of
// them. It returns how many entries it moved.
func (p *Pool) SealTrail(ctx context.Context) (sealed int, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		n, err := sealTrail(ctx, conn)
		sealed += n
		return err
	})
	if err != nil {
		return sealed, fmt.Errorf("audit trail: seal: %w", err)
	}
	return sealed, nil
}

func sealTrail(ctx context.Context, conn *pgx.Conn) (sealed int, err error) {
	for remaining := true; remaining; {
		var n int
		if err := conn.QueryRow(ctx, "SELECT sealed, remaining FROM trail_seal($1)", sealBatch).Scan(&n, &remaining); err != nil {
			return sealed, err
		}
		sealed += n
	}
	return sealed, nil
}

// ForgetDeliveries deletes some ids of reports that can arrive no more, and returns how many.
func (p *Pool) ForgetDeliveries(ctx context.Context) (forgotten int, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT trail_forget_deliveries()").Scan(&forgotten)
	})
	if err != nil {
		return 0, fmt.Errorf("audit trail: ids of reports: %w", err)
	}
	return forgotten, nil
}

// TrailBacklog returns the age of the oldest entry that is not in the chain, by the
// database's clock; 0 if there is none.
func (p *Pool) TrailBacklog(ctx context.Context) (age time.Duration, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT greatest(coalesce(clock_timestamp() -
			(SELECT min(appended_at) FROM trail_pending), '0'), '0')`).Scan(&age)
	})
	if err != nil {
		return 0, fmt.Errorf("audit trail: backlog: %w", err)
	}
	return age, nil
}

// TrailAfter returns up to limit entries with sequence numbers above after, in order. It seals
// first: a change that was committed before the call is among them.
func (p *Pool) TrailAfter(ctx context.Context, after int64, limit int) ([]trail.Entry, error) {
	if _, err := p.SealTrail(ctx); err != nil {
		return nil, err
	}
	return findAll(ctx, p, "audit trail", scanEntry,
		`SELECT `+trailColumns+` FROM trail WHERE seq > $1 ORDER BY seq LIMIT $2`, after, limit)
}

// TrailOfSites is TrailAfter for the entries of the given sites only.
func (p *Pool) TrailOfSites(ctx context.Context, sites []telemetry.SiteID, after int64, limit int) ([]trail.Entry, error) {
	if _, err := p.SealTrail(ctx); err != nil {
		return nil, err
	}
	return findAll(ctx, p, "audit trail", scanEntry,
		`SELECT `+trailColumns+` FROM trail WHERE seq > $1 AND site = ANY ($2) ORDER BY seq LIMIT $3`, after, toStrings(sites), limit)
}

const trailColumns = "seq, (extract(epoch FROM time) * 1000000)::bigint, actor, action, object, site, detail, previous, hash"

func scanEntry(row pgx.CollectableRow) (e trail.Entry, err error) {
	var previous, hash []byte
	err = row.Scan(&e.Seq, &e.Time, &e.Actor, &e.Action, &e.Object, &e.Site, &e.Detail, &previous, &hash)
	copy(e.Previous[:], previous)
	copy(e.Hash[:], hash)
	return e, err
}
