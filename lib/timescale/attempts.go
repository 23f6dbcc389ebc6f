package timescale

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/attempt"
)

// readAttempt reads a name's counter, a network's, and that of the name from the network.
const readAttempt = `
	SELECT n.failures, n.last_at, n.locked_until, a.failures, a.last_at, a.locked_until,
		s.failures, s.last_at, s.locked_until, s.succeeded_at
	FROM (SELECT $1::bytea AS name, $2::bytea AS network) k
	LEFT JOIN login_attempt n ON n.key = k.name
	LEFT JOIN login_attempt a ON a.key = k.network
	LEFT JOIN login_source s ON s.name_key = k.name AND s.network_key = k.network`

func scanAttempt(row pgx.CollectableRow) (s attempt.State, err error) {
	var counters [3]struct {
		failures     *int
		last, locked *time.Time
	}
	var succeeded *time.Time
	name, network, source := &counters[0], &counters[1], &counters[2]
	err = row.Scan(&name.failures, &name.last, &name.locked, &network.failures, &network.last, &network.locked,
		&source.failures, &source.last, &source.locked, &succeeded)
	for i, c := range []*attempt.Counter{&s.Name, &s.Network, &s.Source} {
		if from := counters[i]; from.failures != nil {
			*c = attempt.Counter{Failures: *from.failures, Last: orZero(from.last), LockedUntil: orZero(from.locked)}
		}
	}
	s.Succeeded = orZero(succeeded)
	return s, err
}

// BeginAttempt counts an attempt as failed, unless it is locked: it then returns the end of
// the lock, and writes nothing. Concurrent calls for one name or network are done one after
// the other.
func (p *Pool) BeginAttempt(ctx context.Context, keys attempt.Keys, now time.Time) (locked time.Time, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		// A flood of locked attempts waits for no lock.
		s, err := queryOne(ctx, conn, scanAttempt, readAttempt, keys.Name[:], keys.Network[:])
		if err != nil {
			return err
		}
		if locked = s.Locked(now); !locked.IsZero() {
			return nil
		}
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			s, err := lockAttempt(ctx, tx, keys)
			if err != nil {
				return err
			}
			if locked = s.Begin(now); !locked.IsZero() {
				return nil
			}
			if err := saveAttempt(ctx, tx, keys, &s); err != nil {
				return err
			}
			return forgetAttempts(ctx, tx, now)
		})
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("count an attempt: %w", err)
	}
	return locked, nil
}

// SucceedAttempt takes back an attempt that BeginAttempt counted: the password was right. The
// network is known for the name from then on.
func (p *Pool) SucceedAttempt(ctx context.Context, keys attempt.Keys, now time.Time) error {
	err := p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			s, err := lockAttempt(ctx, tx, keys)
			if err != nil {
				return err
			}
			s.Succeed(now)
			if err := saveAttempt(ctx, tx, keys, &s); err != nil {
				return err
			}
			_, err = tx.Exec(ctx, `DELETE FROM login_source WHERE name_key = $1 AND succeeded_at < (
				SELECT min(succeeded_at) FROM (SELECT succeeded_at FROM login_source
					WHERE name_key = $1 AND succeeded_at IS NOT NULL ORDER BY succeeded_at DESC LIMIT $2) latest)`,
				keys.Name[:], attempt.MaxKnown)
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("uncount an attempt: %w", err)
	}
	return nil
}

// lockAttempt reads an attempt's counters and holds them until the transaction ends. Rows
// that do not exist cannot be locked, so that the keys are.
func lockAttempt(ctx context.Context, tx pgx.Tx, keys attempt.Keys) (attempt.State, error) {
	first := func(k attempt.Key) int64 { return int64(binary.BigEndian.Uint64(k[:8])) }
	locks := []int64{first(keys.Name), first(keys.Network)}
	slices.Sort(locks) // so that transactions do not deadlock
	for _, lock := range locks {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", lock); err != nil {
			return attempt.State{}, err
		}
	}
	return queryOne(ctx, tx, scanAttempt, readAttempt, keys.Name[:], keys.Network[:])
}

// saveAttempt stores the counters that are not empty.
func saveAttempt(ctx context.Context, tx pgx.Tx, keys attempt.Keys, s *attempt.State) error {
	batch := new(pgx.Batch)
	for _, c := range []struct {
		key attempt.Key
		attempt.Counter
	}{{keys.Name, s.Name}, {keys.Network, s.Network}} {
		if !c.Last.IsZero() {
			batch.Queue(`INSERT INTO login_attempt (key, failures, last_at, locked_until) VALUES ($1, $2, $3, $4)
				ON CONFLICT (key) DO UPDATE SET failures = $2, last_at = $3, locked_until = $4`,
				c.key[:], c.Failures, c.Last, orNull(c.LockedUntil))
		}
	}
	last := s.Source.Last
	if last.IsZero() {
		last = s.Succeeded
	}
	expires := last.Add(attempt.ForgetName)
	if until := s.Succeeded.Add(attempt.KnownFor); until.After(expires) {
		expires = until
	}
	batch.Queue(`INSERT INTO login_source (name_key, network_key, failures, last_at, locked_until, succeeded_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (name_key, network_key) DO UPDATE SET
			failures = $3, last_at = $4, locked_until = $5, succeeded_at = $6, expires_at = $7`,
		keys.Name[:], keys.Network[:], s.Source.Failures, last, orNull(s.Source.LockedUntil), orNull(s.Succeeded), expires)
	return tx.SendBatch(ctx, batch).Close()
}

// forgetAttempts deletes more rows than an attempt adds, of those that count no more.
func forgetAttempts(ctx context.Context, tx pgx.Tx, now time.Time) error {
	for _, c := range []struct {
		statement string
		before    time.Time
	}{
		{`DELETE FROM login_attempt WHERE key IN (
			SELECT key FROM login_attempt WHERE last_at < $1 LIMIT 10 FOR UPDATE SKIP LOCKED)`, now.Add(-attempt.ForgetName)},
		{`DELETE FROM login_source WHERE (name_key, network_key) IN (
			SELECT name_key, network_key FROM login_source WHERE expires_at < $1 LIMIT 10 FOR UPDATE SKIP LOCKED)`, now},
	} {
		if _, err := tx.Exec(ctx, c.statement, c.before); err != nil {
			return err
		}
	}
	return nil
}
