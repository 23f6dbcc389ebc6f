package timescale

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/directory"
)

// denyVersions denies the access tokens that were issued for versions before the present
// one, of the subject that query returns with its version. It is called in the transaction
// that takes something away, after the version was raised.
func denyVersions(ctx context.Context, tx pgx.Tx, query string, arguments ...any) error {
	_, err := tx.Exec(ctx, "INSERT INTO denial (subject, version) "+query, arguments...)
	return err
}

// denySession denies the access tokens of a login, for as long as they can be valid.
func denySession(ctx context.Context, tx pgx.Tx, account directory.AccountID, family string) error {
	_, err := tx.Exec(ctx, `INSERT INTO denial (subject, session, expires_at)
		VALUES ($1, $2, clock_timestamp() + $3::interval)`, string(account), family, directory.SessionDenial)
	return err
}

// Denials returns the denials of access tokens that may not have expired yet, in the order of
// their times, and deletes some of the others.
func (p *Pool) Denials(ctx context.Context) (denials []directory.Denial, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, `DELETE FROM denial WHERE id IN
			(SELECT id FROM denial WHERE expires_at < now() ORDER BY expires_at LIMIT 1000 FOR UPDATE SKIP LOCKED)`); err != nil {
			return err
		}
		rows, err := conn.Query(ctx, `SELECT subject, session, version, created_at FROM denial
			WHERE expires_at >= now() ORDER BY created_at, id`)
		if err != nil {
			return err
		}
		denials, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (d directory.Denial, err error) {
			err = row.Scan(&d.Subject, &d.Session, &d.Version, &d.Time)
			return d, err
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("denied tokens: %w", err)
	}
	return denials, nil
}
