package timescale

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/insighthub/insighthub/lib/breaker"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// PoolConfig holds the address of the database, and timeouts and retries. A zero
// duration or count means the default in its comment.
type PoolConfig struct {
	// DSN is a connection URL or key=value string (libpq's forms).
	DSN string
	// CA holds the certificates, in PEM, of the authorities that the server's certificate may
	// be of; empty: the system's, or those of the DSN's sslrootcert.
	CA []byte
	// Application is application_name in pg_stat_activity; "insighthub".
	Application string

	MaxConnections   int           // 4
	ConnectTimeout   time.Duration // 5 s
	StatementTimeout time.Duration // 30 s
	LockTimeout      time.Duration // 5 s
	IdleTimeout      time.Duration // 5 min; an idle connection is closed
	MaxLifetime      time.Duration // 1 h

	MaxAttempts int           // 5, the first included
	BackoffBase time.Duration // 20 ms; doubled with each attempt, between half and all of it is waited
	BackoffMax  time.Duration // 1 s

	// Budget limits a read, with its retries, and three times as much a change; 0: only the
	// caller's context and the timeouts above do.
	Budget time.Duration

	// The circuit breaker, see lib/breaker: BreakerThreshold failures, half of all calls of 10 s
	// at least, open it, as does a timeout that a probe confirms.
	BreakerThreshold int           // 5
	BreakerCoolDown  time.Duration // 1 s
	ProbeTimeout     time.Duration // ConnectTimeout; also for the check of a connection that was idle

	// Now is the clock, time.Now by default; Jitter a random number in [0, 1), rand.Float64 by default.
	Now    func() time.Time
	Jitter func() float64

	reread *reread // nil: the DSN is not of a secret
}

// ForRequests returns the configuration of a function behind the HTTP API, which
// responds soon when the database is unavailable: a read within 3 s,
// and the next ones within the half second of a probe.
func ForRequests(application string, connections int, statementTimeout time.Duration) PoolConfig {
	return PoolConfig{
		Application: application, MaxConnections: connections, ConnectTimeout: time.Second, StatementTimeout: statementTimeout,
		LockTimeout: 2 * time.Second, MaxAttempts: 3, Budget: 3 * time.Second, ProbeTimeout: 500 * time.Millisecond,
	}
}

// Pool is a pool of connections to one database, safe for concurrent use.
type Pool struct {
	pgx     *pgxpool.Pool
	config  PoolConfig
	breaker *breaker.Breaker
	// generation counts the connections made. Ids that were read over one connection
	// are not trusted over a later one: the database may have been restored or created
	// again in between.
	generation atomic.Uint64
}

// Open returns a pool that connects on first use. telemetry.ErrInvalid: the DSN, or one that
// does not verify a server elsewhere (sslmode=verify-full).
func Open(ctx context.Context, config PoolConfig) (*Pool, error) {
	config = config.withDefaults()
	parsed, err := parseDSN(config.DSN, config.CA)
	if err != nil {
		return nil, err
	}
	p := &Pool{
		config:  config,
		breaker: breaker.New(breaker.Config{Failures: config.BreakerThreshold, CoolDown: config.BreakerCoolDown, Now: config.Now}),
	}
	parsed.MaxConns = int32(config.MaxConnections)
	parsed.MaxConnIdleTime = config.IdleTimeout
	parsed.MaxConnLifetime = config.MaxLifetime
	parsed.PingTimeout = config.ProbeTimeout
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
	if config.reread != nil {
		parsed.BeforeConnect = func(ctx context.Context, c *pgx.ConnConfig) error { return config.reread.apply(ctx, c, config.Now()) }
	}
	if p.pgx, err = pgxpool.NewWithConfig(ctx, parsed); err != nil {
		return nil, fmt.Errorf("database pool: %w", err)
	}
	return p, nil
}

// Close waits for the connections in use and closes all.
func (p *Pool) Close() { p.pgx.Close() }

// Ping checks that the database responds.
func (p *Pool) Ping(ctx context.Context) error {
	return p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error { return conn.Ping(ctx) })
}

func (c PoolConfig) withDefaults() PoolConfig {
	c.Application = cmp.Or(c.Application, "insighthub")
	c.MaxConnections = cmp.Or(c.MaxConnections, 4)
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, 5*time.Second)
	c.StatementTimeout = cmp.Or(c.StatementTimeout, 30*time.Second)
	c.LockTimeout = cmp.Or(c.LockTimeout, 5*time.Second)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 5*time.Minute)
	c.MaxLifetime = cmp.Or(c.MaxLifetime, time.Hour)
	c.MaxAttempts = cmp.Or(c.MaxAttempts, 5)
	c.BackoffBase = cmp.Or(c.BackoffBase, 20*time.Millisecond)
	c.BackoffMax = cmp.Or(c.BackoffMax, time.Second)
	c.BreakerThreshold = cmp.Or(c.BreakerThreshold, 5)
	c.ProbeTimeout = cmp.Or(c.ProbeTimeout, c.ConnectTimeout)
	c.BreakerCoolDown = cmp.Or(c.BreakerCoolDown, time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Jitter == nil {
		c.Jitter = rand.Float64
	}
	return c
}

func milliseconds(d time.Duration) string {
	return strconv.FormatInt(d.Milliseconds(), 10)
}

// do runs f on a connection, and retries it after a transient failure as long as ctx,
// Budget and MaxAttempts allow. f must be safe to repeat. The error is that of classify.
func (p *Pool) do(ctx context.Context, f func(context.Context, *pgx.Conn) error) error {
	return p.within(ctx, p.config.Budget, f)
}

// within is do with another budget; 0 is without one.
func (p *Pool) within(ctx context.Context, budget time.Duration, f func(context.Context, *pgx.Conn) error) error {
	if budget > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, budget)
		defer cancel()
	}
	for attempt := 1; ; attempt++ {
		err := p.once(ctx, f)
		if err == nil {
			return nil
		}
		if !errors.Is(err, telemetry.ErrUnavailable) || errors.Is(err, breaker.ErrOpen) {
			return err
		}
		if attempt == p.config.MaxAttempts || ctx.Err() != nil || !p.pause(ctx, attempt) {
			return fmt.Errorf("after %d attempts: %w", attempt, err)
		}
	}
}

func (p *Pool) once(ctx context.Context, f func(context.Context, *pgx.Conn) error) error {
	probe, err := p.breaker.Allow()
	if err != nil {
		return &Retryable{cause: err}
	}
	if probe {
		if err := p.probe(ctx); err != nil {
			return err
		}
	}
	err = p.pgx.AcquireFunc(ctx, func(conn *pgxpool.Conn) error { return f(ctx, conn.Conn()) })
	p.breaker.Record(outcomeOf(ctx, err))
	if err = classify(err); err != nil && p.config.reread != nil && identityFailed(err) {
		p.config.reread.failed()
	}
	return err
}

// probe connects once, with a short timeout and beside the pool, whose connections may all
// be busy.
func (p *Pool) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.config.ProbeTimeout)
	defer cancel()
	config := p.pgx.Config().ConnConfig
	err := error(nil)
	if p.config.reread != nil {
		err = p.config.reread.apply(ctx, config, p.config.Now())
	}
	if err == nil {
		var conn *pgx.Conn
		if conn, err = pgx.ConnectConfig(ctx, config); err == nil {
			err = conn.Close(ctx)
		}
	}
	outcome := outcomeOf(ctx, err)
	p.breaker.Probed(outcome)
	if outcome == breaker.Responded {
		return nil // an error is the call's to find
	}
	return &Retryable{cause: fmt.Errorf("%w: %w", breaker.ErrOpen, err)}
}

// pause waits before the next attempt. It returns false if ctx ends first or leaves no
// time for another attempt.
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
