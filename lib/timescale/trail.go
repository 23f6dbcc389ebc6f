package timescale

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// trailLock is the key of the advisory lock of the audit trail's hash chain: "trail" in
// ASCII. It is held until the transaction ends, so that entries are in the order of
// commits.
const trailLock = 0x747261696c

// appendTrail adds e to the audit trail as the last step of tx. It sets the sequence
// number and the hashes of e.
func appendTrail(ctx context.Context, tx pgx.Tx, e trail.Entry) error {
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(trailLock)); err != nil {
		return fmt.Errorf("audit trail: %w", err)
	}
	var seq int64
	var previous []byte
	err := tx.QueryRow(ctx, "SELECT seq, hash FROM trail ORDER BY seq DESC LIMIT 1").Scan(&seq, &previous)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("audit trail: last entry: %w", err)
	}
	var hash trail.Hash
	copy(hash[:], previous)
	e.Seal(seq+1, hash)
	_, err = tx.Exec(ctx, `INSERT INTO trail (seq, time, actor, action, object, site, detail, previous, hash)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		e.Seq, e.Time.Time(), e.Actor, string(e.Action), e.Object, string(e.Site), e.Detail, e.Previous[:], e.Hash[:])
	if err != nil {
		return fmt.Errorf("audit trail: entry %d: %w", e.Seq, err)
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
	return p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		e := entry
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if err := f(ctx, tx, &e); err != nil {
				return err
			}
			return appendTrail(ctx, tx, e)
		})
	})
}

// AppendTrail adds an entry for what changed no table, such as a failed authentication.
func (p *Pool) AppendTrail(ctx context.Context, entry trail.Entry) error {
	return p.change(ctx, entry, func(context.Context, pgx.Tx) error { return nil })
}

// AppendTrailOnce adds an entry that may be delivered several times, in one transaction
// with the delivery's id. It adds nothing if an entry of that delivery exists.
func (p *Pool) AppendTrailOnce(ctx context.Context, delivery string, entry trail.Entry) (added bool, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			// A concurrent transaction with the same delivery waits here for the first to commit.
			tag, err := tx.Exec(ctx, "INSERT INTO trail_delivery (id) VALUES ($1) ON CONFLICT DO NOTHING", delivery)
			if err != nil {
				return fmt.Errorf("audit trail: delivery %q: %w", delivery, err)
			}
			if added = tag.RowsAffected() == 1; !added {
				return nil
			}
			return appendTrail(ctx, tx, entry)
		})
	})
	return added && err == nil, err
}

// TrailAfter returns up to limit entries with sequence numbers above after, in order.
func (p *Pool) TrailAfter(ctx context.Context, after int64, limit int) ([]trail.Entry, error) {
	return findAll(ctx, p, "audit trail", scanEntry,
		`SELECT `+trailColumns+` FROM trail WHERE seq > $1 ORDER BY seq LIMIT $2`, after, limit)
}

// TrailOfSites is TrailAfter for the entries of the given sites only.
func (p *Pool) TrailOfSites(ctx context.Context, sites []telemetry.SiteID, after int64, limit int) ([]trail.Entry, error) {
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
