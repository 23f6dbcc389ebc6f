package timescale

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// accountColumns are the columns that scanAccount reads; the password comes last.
const accountColumns = `a.id::text, a.name, a.disabled, a.version, a.created_at, a.updated_at,
	coalesce((SELECT jsonb_object_agg(g.site, g.role) FROM account_grant g WHERE g.account_id = a.id), '{}')::text, a.password`

func scanAccount(row pgx.Row) (a directory.Account, phc string, err error) {
	var grants string
	if err := row.Scan(&a.ID, &a.Name, &a.Disabled, &a.Version, &a.CreatedAt, &a.Changed, &grants, &phc); err != nil {
		if errors.Is(err, pgx.ErrNoRows) {
			err = telemetry.ErrNotFound
		}
		return directory.Account{}, "", err
	}
	if err := json.Unmarshal([]byte(grants), &a.Grants); err != nil {
		return directory.Account{}, "", fmt.Errorf("grants: %w", err)
	}
	return a, phc, nil
}

// AccountByName returns an account and the PHC string of its password, or
// telemetry.ErrNotFound.
func (p *Pool) AccountByName(ctx context.Context, name string) (a directory.Account, phc string, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) (err error) {
		a, phc, err = scanAccount(conn.QueryRow(ctx, "SELECT "+accountColumns+" FROM account a WHERE a.name = $1", name))
		return err
	})
	if err != nil {
		return a, "", fmt.Errorf("account by name: %w", err)
	}
	return a, phc, nil
}

// Rehash replaces a stored PHC string by another one of the same password. If the
// password was changed meanwhile, it does nothing.
func (p *Pool) Rehash(ctx context.Context, id directory.AccountID, old, phc string) error {
	err := p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "UPDATE account SET password = $3 WHERE id = $1 AND password = $2", string(id), old, phc)
		return err
	})
	if err != nil {
		return fmt.Errorf("rehash the password of account %q: %w", id, err)
	}
	return nil
}

// GatewayKey returns a gateway and its key with that ID. telemetry.ErrNotFound: the
// gateway is not registered or is revoked, or the key does not exist or has expired.
func (p *Pool) GatewayKey(
	ctx context.Context, gateway telemetry.GatewayID, keyID string, now time.Time,
) (g directory.Gateway, k directory.GatewayKey, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		var notAfter *time.Time
		var jwk string
		err := conn.QueryRow(ctx, `SELECT g.name, g.site, g.title, g.version, g.registered_at, k.kid, k.jwk::text, k.created_at, k.not_after
			FROM gateway g JOIN gateway_key k ON k.gateway_id = g.id
			WHERE g.name = $1 AND k.kid = $2 AND g.registered_at IS NOT NULL AND g.revoked_at IS NULL
				AND (k.not_after IS NULL OR k.not_after > $3)`,
			string(gateway), keyID, now).
			Scan(&g.Name, &g.Site, &g.Title, &g.Version, &g.RegisteredAt, &k.ID, &jwk, &k.CreatedAt, &notAfter)
		if errors.Is(err, pgx.ErrNoRows) {
			return telemetry.ErrNotFound
		}
		k.JWK, k.NotAfter = json.RawMessage(jwk), orZero(notAfter)
		return err
	})
	if err != nil {
		return directory.Gateway{}, directory.GatewayKey{}, fmt.Errorf("key of gateway %q: %w", gateway, err)
	}
	return g, k, nil
}

// UseAssertion stores an assertion's jti until it expires. telemetry.ErrConflict: the
// assertion was used before (RFC 7523 section 3, item 7).
func (p *Pool) UseAssertion(ctx context.Context, gateway telemetry.GatewayID, jti string, expires time.Time) error {
	err := p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, `DELETE FROM assertion
			WHERE ctid IN (SELECT ctid FROM assertion WHERE expires_at < now() - interval '1 hour' LIMIT 100)`); err != nil {
			return err
		}
		tag, err := conn.Exec(ctx, "INSERT INTO assertion (issuer, jti, expires_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
			string(gateway), jti, expires)
		if err == nil && tag.RowsAffected() == 0 {
			return telemetry.ErrConflict
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("assertion of gateway %q: %w", gateway, err)
	}
	return nil
}

// FirstAdministrator creates an account with every right if the database has no
// account yet, and reports whether it did.
func (p *Pool) FirstAdministrator(ctx context.Context, name, phc string, entry trail.Entry) (created bool, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			created = false
			var id string
			// Of two concurrent deployments only one may find the table empty.
			if _, err := tx.Exec(ctx, "LOCK TABLE account IN SHARE ROW EXCLUSIVE MODE"); err != nil {
				return err
			}
			err := tx.QueryRow(ctx, `INSERT INTO account (name, password) SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM account)
				RETURNING id::text`, name, phc).Scan(&id)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "INSERT INTO account_grant (account_id, site, role) VALUES ($1, '*', 'admin')", id); err != nil {
				return err
			}
			created, entry.Object = true, "accounts/"+id
			return appendTrail(ctx, tx, entry)
		})
	})
	if err != nil {
		return false, fmt.Errorf("first administrator: %w", err)
	}
	return created, nil
}
