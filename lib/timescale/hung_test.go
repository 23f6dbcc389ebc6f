package timescale

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/breaker"
	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
)

// gate is a proxy before a server that can stop to forward, without closing anything: as a
// stopped server or a network that drops packets.
type gate struct {
	address  string
	accepted atomic.Int64 // connections that are no requests to cancel a statement

	mu   sync.Mutex
	open chan struct{} // closed while it forwards
}

func newGate(t *testing.T, server string) *gate {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{address: l.Addr().String(), open: make(chan struct{})}
	close(g.open)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(t.Context(), func() { _ = client.Close() })
			go g.serve(t.Context(), client, server)
		}
	}()
	return g
}

func (g *gate) serve(ctx context.Context, client net.Conn, server string) {
	defer client.Close()
	start := make([]byte, 8)
	if _, err := io.ReadFull(client, start); err != nil {
		return
	}
	// pgx cancels a statement whose context ended over another connection, at some time.
	if code := binary.BigEndian.Uint32(start[4:]); code != 80877102 {
		g.accepted.Add(1)
	}
	g.wait(ctx)
	upstream, err := new(net.Dialer).DialContext(ctx, "tcp", server)
	if err != nil {
		return
	}
	defer upstream.Close()
	if _, err := upstream.Write(start); err != nil {
		return
	}
	go func() { _, _ = io.Copy(client, gated{upstream, g, ctx}); _ = client.Close() }()
	_, _ = io.Copy(upstream, gated{client, g, ctx})
}

func (g *gate) wait(ctx context.Context) {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	select {
	case <-open:
	case <-ctx.Done():
	}
}

func (g *gate) hang() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = make(chan struct{})
}

func (g *gate) resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.open)
}

type gated struct {
	io.Reader
	gate *gate
	ctx  context.Context //nolint:containedctx // a test's
}

func (r gated) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.gate.wait(r.ctx)
	return n, err
}

// TestHungDatabaseFailsFast: of reads on a database that hangs the first one ends within its
// budget, the second, ten seconds later, makes one connection as a probe, and those after it
// make none. When it responds again the next probe closes the breaker.
func TestHungDatabaseFailsFast(t *testing.T) {
	u, err := url.Parse(pgtest.NewDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(t, u.Host)
	u.Host = g.address
	now := time.Now()
	config := ForRequests("test", 1, 10*time.Second)
	config.DSN, config.Now = u.String(), func() time.Time { return now }
	pool, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	read := func(what string) error {
		t.Helper()
		start := time.Now()
		err := pool.do(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
			if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > config.Budget {
				t.Errorf("%s: deadline %v, want one within the budget", what, deadline)
			}
			_, err := conn.Exec(ctx, "SELECT 1")
			return err
		})
		t.Logf("%-30s %6d ms  %v", what, time.Since(start).Milliseconds(), err)
		return err
	}
	down := func(what string, connections int64) {
		t.Helper()
		before := g.accepted.Load()
		if err := read(what); !errors.Is(err, telemetry.ErrUnavailable) {
			t.Errorf("%s: got %v, want ErrUnavailable", what, err)
		}
		if connections >= 0 {
			eventually.Equal(t, what+": connections", connections, func() int64 { return g.accepted.Load() - before })
		}
	}
	if err := read("at first"); err != nil {
		t.Fatal(err)
	}
	g.hang()
	down("hung: first", -1)
	now = now.Add(10 * time.Second)
	down("hung: second", 1)
	down("hung: third", 0)
	down("hung: fourth", 0)
	now = now.Add(10 * time.Second)
	down("hung: ten seconds later", 1)
	g.resume()
	down("responds, in the cool-down", 0)
	now = now.Add(time.Second)
	for giveUp := time.Now().Add(2 * time.Minute); ; now = now.Add(time.Second) {
		if err := read("responds"); err == nil {
			break
		} else if time.Now().After(giveUp) {
			t.Fatal(err)
		}
	}
}

// TestSlowStatementsLeaveTheDatabaseInUse: statements that are too slow, or wait for a lock,
// fail by themselves; others are served.
func TestSlowStatementsLeaveTheDatabaseInUse(t *testing.T) {
	dsn := pgtest.NewDatabase(t)
	pool, err := Open(t.Context(), PoolConfig{
		DSN: dsn, MaxConnections: 2, LockTimeout: 20 * time.Millisecond, MaxAttempts: 1, ProbeTimeout: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	pgtest.Exec(t, dsn, "CREATE TABLE busy (x int); CREATE TABLE idle (x int)")
	other, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(t.Context())
	if _, err := other.Exec(t.Context(), "BEGIN; LOCK TABLE busy IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	run := func(budget time.Duration, statement string) error {
		return pool.within(t.Context(), budget, func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, statement)
			return err
		})
	}
	for i := range 15 {
		slow, budget := "SELECT FROM busy", time.Minute
		if i%5 == 4 { // a slow one among others
			slow, budget = "SELECT pg_sleep(60)", 100*time.Millisecond
		}
		if err := run(budget, slow); !errors.Is(err, telemetry.ErrUnavailable) || errors.Is(err, breaker.ErrOpen) {
			t.Errorf("%d: %s: got %v, want its own timeout", i, slow, err)
		}
		if err := run(time.Minute, "SELECT FROM idle"); err != nil {
			t.Errorf("%d: got %v, want the other table served", i, err)
		}
	}
}
