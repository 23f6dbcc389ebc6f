package timescale

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/insighthub/insighthub/lib/breaker"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
)

func TestClassify(t *testing.T) {
	state := func(code string) error { return fmt.Errorf("exec: %w", &pgconn.PgError{Code: code}) }
	for name, c := range map[string]struct {
		err  error
		want error // nil: internal
	}{
		"serialization":     {state("40001"), telemetry.ErrUnavailable},
		"deadlock":          {state("40P01"), telemetry.ErrUnavailable},
		"lock timeout":      {state("55P03"), telemetry.ErrUnavailable},
		"statement timeout": {state("57014"), telemetry.ErrUnavailable},
		"admin shutdown":    {state("57P01"), telemetry.ErrUnavailable},
		"crash shutdown":    {state("57P02"), telemetry.ErrUnavailable},
		"starting up":       {state("57P03"), telemetry.ErrUnavailable},
		"disk full":         {state("53100"), telemetry.ErrUnavailable},
		"connections":       {state("53300"), telemetry.ErrUnavailable},
		"connection":        {state("08006"), telemetry.ErrUnavailable},
		"end of file":       {fmt.Errorf("read: %w", io.ErrUnexpectedEOF), telemetry.ErrUnavailable},
		"deadline":          {context.DeadlineExceeded, telemetry.ErrUnavailable},
		"bad text":          {state("22021"), telemetry.ErrInvalid},
		"not null":          {state("23502"), telemetry.ErrInvalid},
		"unique":            {state("23505"), telemetry.ErrConflict},
		"no table":          {state("42P01"), nil},
		"canceled":          {context.Canceled, nil},
		"already kind":      {fmt.Errorf("x: %w", telemetry.ErrInvalid), telemetry.ErrInvalid},
	} {
		got := classify(c.err)
		for _, kind := range []error{telemetry.ErrUnavailable, telemetry.ErrInvalid, telemetry.ErrConflict} {
			if errors.Is(got, kind) != errors.Is(kind, c.want) {
				t.Errorf("%s: %v, want %v", name, got, c.want)
			}
		}
		if !errors.Is(got, c.err) {
			t.Errorf("%s: got %v, want it to wrap its cause", name, got)
		}
		if r, ok := errors.AsType[*Retryable](got); ok != errors.Is(c.want, telemetry.ErrUnavailable) {
			t.Errorf("%s: Retryable = %v", name, r)
		}
	}
	if classify(nil) != nil {
		t.Error("classify(nil): got an error, want nil")
	}
}

func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := PoolConfig{Jitter: func() float64 { return 0.5 }}.withDefaults()
		p := &Pool{config: config}
		for attempt, want := range map[int]time.Duration{
			1: 15 * time.Millisecond, 2: 30 * time.Millisecond, 9: 750 * time.Millisecond,
			60: 750 * time.Millisecond,
		} {
			start := time.Now()
			if !p.pause(t.Context(), attempt) || time.Since(start) != want {
				t.Errorf("attempt %d: paused %v, want %v", attempt, time.Since(start), want)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		start := time.Now()
		if p.pause(ctx, 1) || time.Since(start) != 0 {
			t.Error("paused until the deadline, want false at once")
		}
	})
}

func TestDoRetries(t *testing.T) {
	pool := openPool(t, pgtest.NewDatabase(t))
	calls := 0
	err := pool.do(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		if calls++; calls < 3 {
			// The backend terminates itself.
			_, err := conn.Exec(ctx, "SELECT pg_terminate_backend(pg_backend_pid())")
			return err
		}
		return conn.Ping(ctx)
	})
	if err != nil || calls != 3 {
		t.Errorf("%d calls, %v, want the third to succeed", calls, err)
	}
	calls = 0
	err = pool.do(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		calls++
		_, err := conn.Exec(ctx, "SELECT 1/0")
		return err
	})
	if !errors.Is(err, telemetry.ErrInvalid) || calls != 1 {
		t.Errorf("%d calls, %v, want ErrInvalid at once", calls, err)
	}
}

func TestUnreachableDatabase(t *testing.T) {
	pool, err := Open(t.Context(), PoolConfig{
		DSN: "postgres://u:hidden@127.0.0.1:1/d", ConnectTimeout: time.Second, MaxAttempts: 2,
		BreakerThreshold: 2, BreakerCoolDown: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if err := pool.Ping(t.Context()); !errors.Is(err, telemetry.ErrUnavailable) || strings.Contains(err.Error(), "hidden") {
		t.Errorf("error = %v, want ErrUnavailable without the password", err)
	}
	if err := pool.Ping(t.Context()); !errors.Is(err, breaker.ErrOpen) {
		t.Errorf("error = %v, want the open breaker", err)
	}
	if _, err := Open(t.Context(), PoolConfig{DSN: "postgres://u:hidden@127.0.0.1:notaport/d"}); !errors.Is(err, telemetry.ErrInvalid) ||
		strings.Contains(err.Error(), "hidden") {
		t.Errorf("error = %v, want ErrInvalid without the password", err)
	}
}

func TestSessionSettings(t *testing.T) {
	pool, err := Open(t.Context(), PoolConfig{DSN: pgtest.NewDatabase(t), StatementTimeout: 1500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for name, want := range map[string]string{
		"statement_timeout": "1500ms", "lock_timeout": "5s", "timezone": "UTC",
		"application_name": "insighthub", "synchronous_commit": "on",
	} {
		if got := query[string](t, pool, "SELECT current_setting($1)", name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
}

// TestWriteSurvivesLostConnections terminates the writer's backends repeatedly, in the
// middle of a COPY.
func TestWriteSurvivesLostConnections(t *testing.T) {
	for _, flavour := range flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			pool := migrated(t, flavour)
			w := NewWriter(pool, WriterConfig{})
			admin := openPool(t, pool.config.DSN)
			ctx, cancel := context.WithCancel(t.Context())
			killed := make(chan int)
			var met atomic.Bool
			var written atomic.Int64
			go func() {
				total, next := 0, int64(0)
				for ctx.Err() == nil {
					// Poll until a COPY was terminated, then let the next three writes succeed.
					now := written.Load()
					if now < next {
						time.Sleep(time.Millisecond)
						continue
					}
					var n int
					err := admin.pgx.QueryRow(ctx, `SELECT count(pg_terminate_backend(pid))::int FROM pg_stat_activity
					WHERE datname = current_database() AND state = 'active' AND query LIKE 'COPY event%'`).Scan(&n)
					if err == nil && n > 0 {
						total += n
						met.Store(true)
						next = now + 3
					}
				}
				killed <- total
			}()
			const least, rows = 60, 5 * 5 * 200
			var outcomes Outcome
			rounds := 0
			// At least until a COPY was terminated, which depends on the machine.
			for giveUp := time.Now().Add(2 * time.Minute); rounds < least || !met.Load() && time.Now().Before(giveUp); rounds++ {
				b := grid("g", 5, 5, 200, noon+telemetry.Micros(rounds)*200_000_000)
				for {
					o, err := w.Write(ctx, []*telemetry.Batch{b})
					written.Add(1)
					if errors.Is(err, telemetry.ErrUnavailable) {
						continue // as the event source mapping does
					}
					if err != nil {
						t.Fatal(err)
					}
					outcomes.Stored += o.Stored
					outcomes.Conflicts += o.Conflicts
					break
				}
			}
			cancel()
			if n := <-killed; n == 0 {
				t.Error("no backend was terminated during a COPY, want at least one")
			} else {
				t.Logf("%d backends terminated during a COPY", n)
			}
			if got := query[int](t, admin, "SELECT count(*)::int FROM event"); got != rounds*rows {
				t.Errorf("%d rows, want %d", got, rounds*rows)
			}
			if outcomes.Conflicts != 0 {
				t.Errorf("%d conflicts, want none", outcomes.Conflicts)
			}
		})
	}
}
