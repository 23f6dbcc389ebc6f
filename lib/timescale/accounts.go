package timescale

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

func scanAccountOnly(row pgx.CollectableRow) (directory.Account, error) {
	a, _, err := scanAccount(row)
	return a, err
}

// Accounts returns the accounts after page.After, in the order of their names.
func (p *Pool) Accounts(ctx context.Context, page directory.Page) ([]directory.Account, error) {
	return findAll(ctx, p, "accounts", scanAccountOnly,
		"SELECT "+accountColumns+" FROM account a WHERE a.name > $1 ORDER BY a.name LIMIT $2", page.After, page.Limit)
}

// Account returns an account, or telemetry.ErrNotFound.
func (p *Pool) Account(ctx context.Context, id directory.AccountID) (directory.Account, error) {
	return findOne(ctx, p, "account "+string(id), scanAccountOnly,
		"SELECT "+accountColumns+" FROM account a WHERE a.id = $1", string(id))
}

// PasswordOf returns the PHC string of an account's password.
func (p *Pool) PasswordOf(ctx context.Context, id directory.AccountID) (string, error) {
	return findOne(ctx, p, "password of account "+string(id), pgx.RowTo[string],
		"SELECT password FROM account WHERE id = $1", string(id))
}

// CreateAccount adds an account. telemetry.ErrConflict: the name is in use, or there are
// directory.MaxAccounts.
func (p *Pool) CreateAccount(
	ctx context.Context, a directory.Account, phc string, entry trail.Entry,
) (created directory.Account, err error) {
	err = p.change(ctx, entry, func(ctx context.Context, tx pgx.Tx) error {
		if err := room(ctx, tx, "accounts", "The platform has at most %d accounts.", directory.MaxAccounts, "FROM account"); err != nil {
			return err
		}
		var id directory.AccountID
		err := tx.QueryRow(ctx, "INSERT INTO account (name, password) VALUES ($1, $2) RETURNING id::text", a.Name, phc).Scan(&id)
		if err != nil {
			return err
		}
		if err := setGrants(ctx, tx, id, a.Grants); err != nil {
			return err
		}
		created, err = queryOne(ctx, tx, scanAccountOnly, "SELECT "+accountColumns+" FROM account a WHERE a.id = $1", string(id))
		return err
	})
	if err != nil {
		return directory.Account{}, fmt.Errorf("create account %q: %w", a.Name, err)
	}
	return created, nil
}

func setGrants(ctx context.Context, tx pgx.Tx, id directory.AccountID, grants map[telemetry.SiteID]directory.Role) error {
	if _, err := tx.Exec(ctx, "DELETE FROM account_grant WHERE account_id = $1", string(id)); err != nil {
		return err
	}
	for site, role := range grants {
		if _, err := tx.Exec(ctx, "INSERT INTO account_grant (account_id, site, role) VALUES ($1, $2, $3)",
			string(id), string(site), string(role)); err != nil {
			return err
		}
	}
	return nil
}

// ChangeAccount sets whether an account is disabled, and its grants. It expects the
// version from, 0 for any. It ends the account's sessions if it takes something away; what it
// adds comes with the next refresh.
func (p *Pool) ChangeAccount(
	ctx context.Context, a directory.Account, from directory.Version, entry trail.Entry,
) (changed directory.Account, err error) {
	err = p.change(ctx, entry, func(ctx context.Context, tx pgx.Tx) error {
		before, err := queryOne(ctx, tx, scanAccountOnly,
			"SELECT "+accountColumns+" FROM account a WHERE a.id = $1 FOR NO KEY UPDATE OF a", string(a.ID))
		if err != nil {
			return err
		}
		_, err = queryOne(ctx, tx, pgx.RowTo[int64], `UPDATE account SET disabled = $2, version = version + 1, updated_at = now()
			WHERE id = $1 AND ($3::bigint = 0 OR version = $3) RETURNING version`, string(a.ID), a.Disabled, int64(from))
		if err != nil {
			return versionConflict(ctx, tx, err, "SELECT FROM account WHERE id = $1", string(a.ID))
		}
		if err := setGrants(ctx, tx, a.ID, a.Grants); err != nil {
			return err
		}
		if before.TakesAway(&a) {
			if err := endSessions(ctx, tx, a.ID); err != nil {
				return err
			}
		}
		changed, err = queryOne(ctx, tx, scanAccountOnly, "SELECT "+accountColumns+" FROM account a WHERE a.id = $1", string(a.ID))
		return err
	})
	if err != nil {
		return directory.Account{}, fmt.Errorf("change account %q: %w", a.ID, err)
	}
	return changed, nil
}

// endSessions revokes the account's refresh tokens, and denies the access tokens that were
// issued for earlier versions of it. The caller has raised the account's version.
func endSessions(ctx context.Context, tx pgx.Tx, id directory.AccountID) error {
	_, err := tx.Exec(ctx, "UPDATE refresh_token SET revoked_at = now() WHERE account_id = $1 AND revoked_at IS NULL", string(id))
	if err != nil {
		return err
	}
	return denyVersions(ctx, tx, "SELECT id::text, version FROM account WHERE id = $1", string(id))
}

// ChangePassword replaces the stored PHC string old, or any if old is empty, and ends
// the account's sessions. directory.ErrVersion: another one is stored.
func (p *Pool) ChangePassword(ctx context.Context, id directory.AccountID, old, phc string, entry trail.Entry) error {
	err := p.change(ctx, entry, func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE account SET password = $3, version = version + 1, updated_at = now()
			WHERE id = $1 AND ($2 = '' OR password IN ($2, $3))`, string(id), old, phc)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return versionConflict(ctx, tx, telemetry.ErrNotFound, "SELECT FROM account WHERE id = $1", string(id))
		}
		return endSessions(ctx, tx, id)
	})
	if err != nil {
		return fmt.Errorf("password of account %q: %w", id, err)
	}
	return nil
}
