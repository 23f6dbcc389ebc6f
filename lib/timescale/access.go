package timescale

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// accountColumns are what scanAccount reads; the password comes last.
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

// Rehash replaces a stored password by another PHC string of the same password;
// one that was changed meanwhile stays.
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

// attempt counts one attempt, unless the key is locked. The count is taken before
// the attempt is made: however many come at once, each sees those before it.
const attempt = `
	INSERT INTO login_attempt AS l (key, failures, last_at, locked_until)
	VALUES ($1, 1, $2, CASE WHEN $3 <= 1 THEN $2::timestamptz + $4::interval END)
	ON CONFLICT (key) DO UPDATE SET
		failures = CASE WHEN l.last_at + $6::interval < $2 THEN 1 ELSE l.failures + 1 END,
		last_at = $2,
		locked_until = CASE WHEN l.last_at + $6::interval < $2 OR l.failures + 1 < $3 THEN NULL
			ELSE $2::timestamptz + least($5::interval, $4::interval * power(2, least(l.failures + 1 - $3, 30))) END
	WHERE l.locked_until IS NULL OR l.locked_until <= $2`

// BeginAttempt counts an attempt under each key, or returns until when one of them
// is locked. After policy.Free failures the next attempt has to wait.
func (p *Pool) BeginAttempt(ctx context.Context, policies []directory.AttemptPolicy, now time.Time) (locked time.Time, err error) {
	// In one order everywhere, so that no two wait for each other.
	policies = slices.SortedFunc(slices.Values(policies), func(a, b directory.AttemptPolicy) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		locked = time.Time{}
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			for _, policy := range policies {
				tag, err := tx.Exec(ctx, attempt, policy.Key[:], now, policy.Free, policy.Base, policy.Max, policy.Forget)
				if err != nil {
					return err
				}
				if tag.RowsAffected() > 0 {
					continue
				}
				var until *time.Time
				if err := tx.QueryRow(ctx, "SELECT locked_until FROM login_attempt WHERE key = $1", policy.Key[:]).Scan(&until); err != nil {
					return err
				}
				if until != nil && until.After(locked) {
					locked = *until
				}
			}
			_, err := tx.Exec(ctx, "DELETE FROM login_attempt WHERE ctid IN (SELECT ctid FROM login_attempt WHERE last_at < $1 LIMIT 10)", now.Add(-7*24*time.Hour))
			return err
		})
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("count an attempt: %w", err)
	}
	return locked, nil
}

// ForgiveAttempt takes back the count of an attempt that succeeded: all of the
// first key's, and one of each other.
func (p *Pool) ForgiveAttempt(ctx context.Context, keys []directory.AttemptKey) error {
	err := p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		for i, key := range keys {
			statement := "UPDATE login_attempt SET failures = greatest(failures - 1, 0), locked_until = NULL WHERE key = $1"
			if i == 0 {
				statement = "DELETE FROM login_attempt WHERE key = $1"
			}
			if _, err := conn.Exec(ctx, statement, key[:]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("forgive an attempt: %w", err)
	}
	return nil
}

// StartSession keeps the first refresh token of a login, and removes those that
// have lapsed.
func (p *Pool) StartSession(ctx context.Context, s directory.Session, entry trail.Entry) error {
	err := p.change(ctx, entry, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM refresh_token WHERE ctid IN (SELECT ctid FROM refresh_token WHERE expires_at < $1 LIMIT 100)`,
			entry.Time.Time()); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO refresh_token (hash, family, account_id, expires_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
			s.Hash[:], s.Family, string(s.Account), s.Expires)
		return err
	})
	if err != nil {
		return fmt.Errorf("start a session of account %q: %w", s.Account, err)
	}
	return nil
}

// refreshed is a row of refresh_token.
type refreshed struct {
	family             string
	account            directory.AccountID
	successor          []byte
	used, good, stolen bool
}

// RefreshSession exchanges a refresh token for the next; see lib/access.
func (p *Pool) RefreshSession(ctx context.Context, old [32]byte, next directory.Session, now time.Time, reuse trail.Entry) (account directory.Account, err error) {
	var verdict error
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) (err error) {
			verdict = nil
			row, err := refreshRow(ctx, tx, old, next, now)
			if err != nil {
				return err
			}
			if row.stolen {
				verdict = telemetry.ErrConflict
				reuse.Actor, reuse.Object = string(row.account), "sessions/"+row.family
				if _, err := tx.Exec(ctx, "UPDATE refresh_token SET revoked_at = $2 WHERE family = $1 AND revoked_at IS NULL", row.family, now); err != nil {
					return err
				}
				return appendTrail(ctx, tx, reuse)
			}
			if account, _, err = scanAccount(tx.QueryRow(ctx, "SELECT "+accountColumns+" FROM account a WHERE a.id = $1", string(row.account))); err != nil {
				return err
			}
			if !row.good || account.Disabled {
				verdict = telemetry.ErrNotFound
				return nil
			}
			return exchange(ctx, tx, old, next, row, now)
		})
	})
	if err = cmp.Or(err, verdict); err != nil {
		return directory.Account{}, fmt.Errorf("refresh a session: %w", err)
	}
	return account, nil
}

// refreshRow locks the token's row and judges it.
func refreshRow(ctx context.Context, tx pgx.Tx, old [32]byte, next directory.Session, now time.Time) (row refreshed, err error) {
	var usedAt, revokedAt *time.Time
	var expires time.Time
	err = tx.QueryRow(ctx, `SELECT family::text, account_id::text, successor, used_at, revoked_at, expires_at
		FROM refresh_token WHERE hash = $1 FOR UPDATE`, old[:]).
		Scan(&row.family, &row.account, &row.successor, &usedAt, &revokedAt, &expires)
	if errors.Is(err, pgx.ErrNoRows) {
		return row, telemetry.ErrNotFound
	}
	row.used = usedAt != nil
	// The same exchange, again after its answer was lost on the way, is no second use.
	again := row.used && bytes.Equal(row.successor, next.Hash[:])
	row.stolen = row.used && !again
	row.good = revokedAt == nil && now.Before(expires)
	return row, err
}

func exchange(ctx context.Context, tx pgx.Tx, old [32]byte, next directory.Session, row refreshed, now time.Time) error {
	if _, err := tx.Exec(ctx, "UPDATE refresh_token SET used_at = $2, successor = $3 WHERE hash = $1", old[:], now, next.Hash[:]); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `INSERT INTO refresh_token (hash, family, account_id, expires_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		next.Hash[:], row.family, string(row.account), next.Expires)
	return err
}

// EndSession revokes the family of a refresh token; one that is not known is no error.
func (p *Pool) EndSession(ctx context.Context, hash [32]byte, entry trail.Entry) error {
	err := p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			var family, account string
			err := tx.QueryRow(ctx, `UPDATE refresh_token SET revoked_at = $2 WHERE revoked_at IS NULL
				AND family = (SELECT family FROM refresh_token WHERE hash = $1) RETURNING family::text, account_id::text`, hash[:], entry.Time.Time()).
				Scan(&family, &account)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			if err != nil {
				return err
			}
			entry.Actor, entry.Object = account, "sessions/"+family
			return appendTrail(ctx, tx, entry)
		})
	})
	if err != nil {
		return fmt.Errorf("end a session: %w", err)
	}
	return nil
}

// GatewayKey returns a gateway that is registered and not revoked, and its key with
// that ID if it is good at that time; otherwise telemetry.ErrNotFound.
func (p *Pool) GatewayKey(ctx context.Context, gateway telemetry.GatewayID, keyID string, now time.Time) (g directory.Gateway, k directory.GatewayKey, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		var notAfter *time.Time
		var jwk string
		err := conn.QueryRow(ctx, `SELECT g.name, g.site, g.title, g.version, g.registered_at, k.kid, k.jwk::text, k.created_at, k.not_after
			FROM gateway g JOIN gateway_key k ON k.gateway_id = g.id
			WHERE g.name = $1 AND k.kid = $2 AND g.registered_at IS NOT NULL AND g.revoked_at IS NULL AND (k.not_after IS NULL OR k.not_after > $3)`,
			string(gateway), keyID, now).
			Scan(&g.Name, &g.Site, &g.Title, &g.Version, &g.RegisteredAt, &k.ID, &jwk, &k.CreatedAt, &notAfter)
		if errors.Is(err, pgx.ErrNoRows) {
			return telemetry.ErrNotFound
		}
		if notAfter != nil {
			k.NotAfter = *notAfter
		}
		k.JWK = json.RawMessage(jwk)
		return err
	})
	if err != nil {
		return directory.Gateway{}, directory.GatewayKey{}, fmt.Errorf("key of gateway %q: %w", gateway, err)
	}
	return g, k, nil
}

// UseAssertion keeps an assertion's jti until it lapses; telemetry.ErrConflict when
// it is there already.
func (p *Pool) UseAssertion(ctx context.Context, gateway telemetry.GatewayID, jti string, expires time.Time) error {
	err := p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "DELETE FROM assertion WHERE ctid IN (SELECT ctid FROM assertion WHERE expires_at < now() - interval '1 hour' LIMIT 100)"); err != nil {
			return err
		}
		tag, err := conn.Exec(ctx, "INSERT INTO assertion (issuer, jti, expires_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", string(gateway), jti, expires)
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

// FirstAdministrator makes an account with every right if there is no account at
// all, and reports whether it did.
func (p *Pool) FirstAdministrator(ctx context.Context, name, phc string, entry trail.Entry) (made bool, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			made = false
			var id string
			// The lock lets only one of two deployments at once see no account.
			if _, err := tx.Exec(ctx, "LOCK TABLE account IN SHARE ROW EXCLUSIVE MODE"); err != nil {
				return err
			}
			err := tx.QueryRow(ctx, `INSERT INTO account (name, password) SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM account) RETURNING id::text`, name, phc).Scan(&id)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "INSERT INTO account_grant (account_id, site, role) VALUES ($1, '*', 'admin')", id); err != nil {
				return err
			}
			made, entry.Object = true, "accounts/"+id
			return appendTrail(ctx, tx, entry)
		})
	})
	if err != nil {
		return false, fmt.Errorf("first administrator: %w", err)
	}
	return made, nil
}
