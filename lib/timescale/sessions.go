package timescale

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// lockSessions locks an account's row until the transaction ends. Everything that starts,
// continues or ends a session of the account takes this lock first: a token that is added
// while a logout, a change of the password or a theft revokes the others would outlive them.
// A change of the account's row takes it by itself.
func lockSessions(ctx context.Context, tx pgx.Tx, id directory.AccountID) error {
	_, err := tx.Exec(ctx, "SELECT FROM account WHERE id = $1 FOR NO KEY UPDATE", string(id))
	return err
}

// lockSessionsOf is lockSessions for the account of a refresh token, which it returns;
// telemetry.ErrNotFound if the token does not exist.
func lockSessionsOf(ctx context.Context, tx pgx.Tx, hash [32]byte) (id directory.AccountID, err error) {
	err = tx.QueryRow(ctx, "SELECT account_id::text FROM refresh_token WHERE hash = $1", hash[:]).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", telemetry.ErrNotFound
	}
	if err != nil {
		return "", err
	}
	return id, lockSessions(ctx, tx, id)
}

// StartSession stores the first refresh token of a login, and deletes some that have
// expired. It reports whether the account's oldest session ended for it while an access token
// of that may be valid. telemetry.ErrNotFound: the account was disabled, removed or changed
// after the login read it at s.Version (0: any).
func (p *Pool) StartSession(ctx context.Context, s directory.Session, entry trail.Entry) (denied bool, err error) {
	err = p.change(ctx, entry, func(ctx context.Context, tx pgx.Tx) error {
		if err := lockSessions(ctx, tx, s.Account); err != nil {
			return err
		}
		if _, err := queryOne(ctx, tx, pgx.RowTo[bool],
			"SELECT true FROM account WHERE id = $1 AND NOT disabled AND ($2::bigint = 0 OR version = $2)",
			string(s.Account), int64(s.Version)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM refresh_token
			WHERE ctid IN (SELECT ctid FROM refresh_token WHERE expires_at < $1 LIMIT 100)`, entry.Time.Time()); err != nil {
			return err
		}
		ended, err := endOldestSessions(ctx, tx, s.Account)
		if err != nil {
			return err
		}
		denied = denied || ended // of an attempt whose commit was not confirmed, too
		return addRefreshToken(ctx, tx, s.Hash, s.Family, s.Account, s.Expires)
	})
	if err != nil {
		return false, fmt.Errorf("start a session of account %q: %w", s.Account, err)
	}
	return denied, nil
}

// endOldestSessions makes room for one more session of an account: whoever has its password
// must not fill the table. Ended sessions count too, until they expire. It reports whether a
// session ended that has issued an access token lately, which is denied.
func endOldestSessions(ctx context.Context, tx pgx.Tx, account directory.AccountID) (bool, error) {
	tag, err := tx.Exec(ctx, `WITH ended AS (
			DELETE FROM refresh_token WHERE account_id = $1 AND family IN (
				SELECT family FROM refresh_token WHERE account_id = $1
				GROUP BY family ORDER BY max(created_at) DESC, family OFFSET $2)
			RETURNING account_id, family, created_at, revoked_at)
		INSERT INTO denial (subject, session, expires_at)
		SELECT account_id::text, family::text, clock_timestamp() + $3::interval FROM ended GROUP BY account_id, family
		HAVING bool_and(revoked_at IS NULL) AND max(created_at) > clock_timestamp() - $3::interval`,
		string(account), directory.MaxSessions-1, directory.SessionDenial)
	return tag.RowsAffected() > 0, err
}

func addRefreshToken(ctx context.Context, tx pgx.Tx, hash [32]byte, family string, account directory.AccountID, expires time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO refresh_token (hash, family, account_id, expires_at)
		VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, hash[:], family, string(account), expires)
	return err
}

// refreshToken is a row of refresh_token, and its successor's.
type refreshToken struct {
	family    string
	usedAt    *time.Time
	revokedAt *time.Time
	expires   time.Time
	// salt is nil before the token is used, and again once its successor was used.
	salt             []byte
	successorExpires *time.Time
}

// outcome is what becomes of a refresh.
type outcome int

const (
	exchanged outcome = iota
	repeated          // a repetition gets the successor that the first use got
	reused            // somebody else has the token
	ended             // expired, or revoked
)

// outcome judges a refresh of the token. Only the latest exchange of a family can be
// repeated: a successor that was used has reached its client, so that no response was
// lost, and whoever sends the token before it is not that client.
func (t *refreshToken) outcome(r *directory.Refresh) outcome {
	if t.usedAt == nil {
		if t.revokedAt != nil || !r.Now.Before(t.expires) {
			return ended
		}
		return exchanged
	}
	// do repeats a call whose commit was not confirmed, with the same salt.
	inGrace := r.Now.Sub(*t.usedAt) <= r.Grace || bytes.Equal(t.salt, r.Salt[:])
	switch {
	case !inGrace || t.salt == nil:
		return reused
	case t.revokedAt != nil || t.successorExpires == nil || !r.Now.Before(*t.successorExpires):
		return ended
	default:
		return repeated
	}
}

// RefreshSession exchanges a refresh token for its successor; see lib/access. Reuse of a
// token revokes its family, as RFC 9700 section 4.14.2 has it.
func (p *Pool) RefreshSession(
	ctx context.Context, r directory.Refresh, reuse trail.Entry, repeat trail.Occurrence,
) (done directory.Refreshed, err error) {
	var rejected error // the transaction commits all the same
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) (err error) {
			done, rejected, err = refreshSession(ctx, tx, &r, reuse, repeat)
			return err
		})
	})
	if err = cmp.Or(err, rejected); err != nil {
		return directory.Refreshed{}, fmt.Errorf("refresh a session: %w", err)
	}
	return done, nil
}

func refreshSession(
	ctx context.Context, tx pgx.Tx, r *directory.Refresh, reuse trail.Entry, repeat trail.Occurrence,
) (done directory.Refreshed, rejected, err error) {
	id, err := lockSessionsOf(ctx, tx, r.Hash)
	if err != nil {
		return done, nil, err
	}
	token, err := readRefreshToken(ctx, tx, r.Hash)
	if err != nil {
		return done, nil, err
	}
	outcome := token.outcome(r)
	if outcome == reused {
		tag, err := tx.Exec(ctx, "UPDATE refresh_token SET revoked_at = $2 WHERE family = $1 AND revoked_at IS NULL",
			token.family, r.Now)
		if err != nil {
			return done, nil, err
		}
		if tag.RowsAffected() == 0 {
			// The session ended before: whoever sends its tokens again and again changes nothing.
			return done, telemetry.ErrNotFound, nil
		}
		if err := denySession(ctx, tx, id, token.family); err != nil {
			return done, nil, err
		}
		reuse.Actor, reuse.Object = string(id), "sessions/"+token.family
		return done, telemetry.ErrConflict, appendTrail(ctx, tx, reuse)
	}
	done.Account, _, err = scanAccount(tx.QueryRow(ctx, "SELECT "+accountColumns+" FROM account a WHERE a.id = $1", string(id)))
	if err != nil {
		return done, nil, err
	}
	done.Family = token.family
	switch {
	case outcome == ended || done.Account.Disabled:
		return done, telemetry.ErrNotFound, nil
	case outcome == repeated:
		done.Salt, done.Expires = [32]byte(token.salt), *token.successorExpires
		if done.Salt == r.Salt {
			return done, nil, nil
		}
		repeat.Subject = string(id)
		return done, nil, addSum(ctx, tx, repeat, r.Now)
	default:
		done.Salt, done.Expires = r.Salt, r.Expires
		return done, nil, exchangeToken(ctx, tx, r, token.family, id)
	}
}

// exchangeToken stores the successor of an unused token, and forgets the salt by which the
// token itself was derived.
func exchangeToken(ctx context.Context, tx pgx.Tx, r *directory.Refresh, family string, account directory.AccountID) error {
	if _, err := tx.Exec(ctx, `UPDATE refresh_token SET
			used_at = CASE hash WHEN $1 THEN $2 ELSE used_at END,
			successor = CASE hash WHEN $1 THEN $3 ELSE successor END,
			successor_salt = CASE hash WHEN $1 THEN $4::bytea END
		WHERE family = $5 AND (hash = $1 OR successor = $1)`,
		r.Hash[:], r.Now, r.Successor[:], r.Salt[:], family); err != nil {
		return err
	}
	return addRefreshToken(ctx, tx, r.Successor, family, account, r.Expires)
}

// readRefreshToken reads a token's row, whose account is locked.
func readRefreshToken(ctx context.Context, tx pgx.Tx, hash [32]byte) (t refreshToken, err error) {
	err = tx.QueryRow(ctx, `SELECT t.family::text, t.used_at, t.revoked_at, t.expires_at, t.successor_salt, s.expires_at
		FROM refresh_token t LEFT JOIN refresh_token s ON s.hash = t.successor AND s.family = t.family
		WHERE t.hash = $1`, hash[:]).
		Scan(&t.family, &t.usedAt, &t.revokedAt, &t.expires, &t.salt, &t.successorExpires)
	if errors.Is(err, pgx.ErrNoRows) { // deleted as expired meanwhile
		return t, telemetry.ErrNotFound
	}
	return t, err
}

// EndSession revokes the family of a refresh token. An unknown token is not an error.
func (p *Pool) EndSession(ctx context.Context, hash [32]byte, entry trail.Entry) error {
	err := p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			id, err := lockSessionsOf(ctx, tx, hash)
			if errors.Is(err, telemetry.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			var family string
			err = tx.QueryRow(ctx, `UPDATE refresh_token SET revoked_at = $2
				WHERE revoked_at IS NULL AND family = (SELECT family FROM refresh_token WHERE hash = $1)
				RETURNING family::text`, hash[:], entry.Time.Time()).Scan(&family)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := denySession(ctx, tx, id, family); err != nil {
				return err
			}
			entry.Actor, entry.Object = string(id), "sessions/"+family
			return appendTrail(ctx, tx, entry)
		})
	})
	if err != nil {
		return fmt.Errorf("end a session: %w", err)
	}
	return nil
}
