package timescale

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// PoolConfig says where the database is and how long anything may take.
// A zero duration or count means the default in its comment.
type PoolConfig struct {
	// DSN is a connection URL or key=value string (libpq's forms).
	DSN string
	// Application is shown by pg_stat_activity; "insighthub".
	Application string

	MaxConnections   int           // 4
	ConnectTimeout   time.Duration // 5 s
	StatementTimeout time.Duration // 30 s
	LockTimeout      time.Duration // 5 s
	IdleTimeout      time.Duration // 5 min; an idle connection is closed
	MaxLifetime      time.Duration // 1 h

	MaxAttempts int           // 5, the first included
	BackoffBase time.Duration // 20 ms; doubled each time, of which a random part is waited
	BackoffMax  time.Duration // 1 s

	BreakerThreshold int           // 10 failures in a row
	BreakerCoolDown  time.Duration // 1 s

	// Now and Jitter are the clock and a source of [0, 1); nil means the real ones.
	Now    func() time.Time
	Jitter func() float64
}

// Pool is connections to one database, safe for concurrent use.
type Pool struct {
	pgx     *pgxpool.Pool
	config  PoolConfig
	breaker *breaker
	// generation counts the connections made. What was learnt over one
	// connection is not trusted over a later one: the database behind it may have
	// been restored or made anew.
	generation atomic.Uint64
}

// Open prepares a pool; it connects on first use. Errors are about the
// configuration and wrap telemetry.ErrInvalid.
func Open(ctx context.Context, config PoolConfig) (*Pool, error) {
	config = config.withDefaults()
	parsed, err := pgxpool.ParseConfig(config.DSN)
	if err != nil {
		return nil, fmt.Errorf("database address: %w: %w", telemetry.ErrInvalid, err)
	}
	p := &Pool{
		config:  config,
		breaker: &breaker{threshold: config.BreakerThreshold, coolDown: config.BreakerCoolDown, now: config.Now},
	}
	parsed.MaxConns = int32(config.MaxConnections)
	parsed.MaxConnIdleTime = config.IdleTimeout
	parsed.MaxConnLifetime = config.MaxLifetime
	parsed.ConnConfig.ConnectTimeout = config.ConnectTimeout
	params := parsed.ConnConfig.RuntimeParams
	params["application_name"] = config.Application
	params["timezone"] = "UTC"
	params["statement_timeout"] = milliseconds(config.StatementTimeout)
	params["lock_timeout"] = milliseconds(config.LockTimeout)
	params["idle_in_transaction_session_timeout"] = milliseconds(config.StatementTimeout)
	parsed.AfterConnect = func(context.Context, *pgx.Conn) error {
		p.generation.Add(1)
		return nil
	}
	if p.pgx, err = pgxpool.NewWithConfig(ctx, parsed); err != nil {
		return nil, fmt.Errorf("database pool: %w", err)
	}
	return p, nil
}

// Close ends all connections and waits for those in use.
func (p *Pool) Close() { p.pgx.Close() }

// Ping reports whether the database answers.
func (p *Pool) Ping(ctx context.Context) error {
	return p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error { return conn.Ping(ctx) })
}

func (c PoolConfig) withDefaults() PoolConfig {
	or(&c.Application, "insighthub")
	or(&c.MaxConnections, 4)
	or(&c.ConnectTimeout, 5*time.Second)
	or(&c.StatementTimeout, 30*time.Second)
	or(&c.LockTimeout, 5*time.Second)
	or(&c.IdleTimeout, 5*time.Minute)
	or(&c.MaxLifetime, time.Hour)
	or(&c.MaxAttempts, 5)
	or(&c.BackoffBase, 20*time.Millisecond)
	or(&c.BackoffMax, time.Second)
	or(&c.BreakerThreshold, 10)
	or(&c.BreakerCoolDown, time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Jitter == nil {
		c.Jitter = rand.Float64
	}
	return c
}

func or[T comparable](value *T, otherwise T) {
	var zero T
	if *value == zero {
		*value = otherwise
	}
}

func milliseconds(d time.Duration) string {
	return strconv.FormatInt(d.Milliseconds(), 10)
}

// do runs f on a connection, again after a transient failure, as long as ctx and
// MaxAttempts allow. f must be safe to repeat. The error is classified.
func (p *Pool) do(ctx context.Context, f func(context.Context, *pgx.Conn) error) error {
	for attempt := 1; ; attempt++ {
		err := p.once(ctx, f)
		if err == nil {
			return nil
		}
		if !errors.Is(err, telemetry.ErrUnavailable) || errors.Is(err, errOpen) {
			return err
		}
		if attempt == p.config.MaxAttempts || ctx.Err() != nil {
			return fmt.Errorf("after %d attempts: %w", attempt, err)
		}
		if !p.pause(ctx, attempt) {
			return fmt.Errorf("after %d attempts: %w", attempt, err)
		}
	}
}

func (p *Pool) once(ctx context.Context, f func(context.Context, *pgx.Conn) error) error {
	if err := p.breaker.allow(); err != nil {
		return err
	}
	err := classify(p.pgx.AcquireFunc(ctx, func(conn *pgxpool.Conn) error { return f(ctx, conn.Conn()) }))
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		p.breaker.release() // the caller hung up
	} else {
		p.breaker.record(errors.Is(err, telemetry.ErrUnavailable))
	}
	return err
}

// pause waits before the next attempt and reports false when ctx ends first or
// leaves no time for another.
func (p *Pool) pause(ctx context.Context, attempt int) bool {
	wait := min(p.config.BackoffMax, p.config.BackoffBase<<min(attempt-1, 20))
	wait = wait/2 + time.Duration(p.config.Jitter()*float64(wait/2))
	if deadline, ok := ctx.Deadline(); ok && deadline.Sub(p.config.Now()) <= wait {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
