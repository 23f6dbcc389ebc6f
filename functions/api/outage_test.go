package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/cdk/local/postgres"
	"github.com/insighthub/insighthub/lib/api/apitest"
	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
)

// connections is max_connections of the test's server.
const connections = 12

// prepareOutage creates the tables, a site and an event, over a pool without the short
// timeouts of the pool that is tested.
func prepareOutage(t *testing.T, dsn string, at telemetry.Micros) {
	t.Helper()
	pool, err := timescale.Open(t.Context(), timescale.PoolConfig{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := timescale.Migrate(t.Context(), pool, timescale.FlavourDetect); err != nil {
		t.Fatal(err)
	}
	p := platformOver(t, pool, dsn)
	p.site(t, "plant-1")
	p.send(t, "plant-1", "gw-1", event("d", "m", at, 1))
}

// ownServer starts a database server that the test can stop and pause.
func ownServer(t *testing.T) (server *postgres.Server, config postgres.Config) {
	t.Helper()
	tree, err := filepath.Abs("../../.local/timescale")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(tree, "bin", "postgres")); err != nil {
		const message = "no server: run cdk/local/postgres/install.sh .local/timescale"
		if os.Getenv("CI") == "true" || os.Getenv("INSIGHTHUB_TEST_REQUIRED") == "1" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	dir, err := os.MkdirTemp("", "insighthub-outage-") //nolint:usetesting // the server's account has to reach it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	config = postgres.Config{
		Tree: tree, DataDir: filepath.Join(dir, "data"), SharedBuffersMB: 16,
		Settings: map[string]string{"max_connections": strconv.Itoa(connections)},
	}
	if server, err = postgres.Start(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	return server, config
}

// TestDatabaseOutage stops the database server, locks a table, uses up all connections and
// pauses the server. Each time, reads get 503 with Retry-After, KPIs are served, and reads
// recover without a restart of the function.
func TestDatabaseOutage(t *testing.T) {
	server, config := ownServer(t)
	stop := func() { _ = server.Stop(t.Context()) }
	t.Cleanup(func() { stop() })
	address, err := pgx.ParseConfig(server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	dsn := server.DSN()
	config.Port = int(address.Port)
	at := hour()
	prepareOutage(t, dsn, at)
	pool, err := timescale.Open(t.Context(), timescale.PoolConfig{
		DSN: dsn, MaxConnections: 1, ConnectTimeout: 500 * time.Millisecond, StatementTimeout: 2 * time.Second,
		LockTimeout: 200 * time.Millisecond, MaxAttempts: 3, BreakerThreshold: 3, BreakerCoolDown: 100 * time.Millisecond,
		Budget: 3 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	p := platformOver(t, pool, dsn)
	read := readingsPath("plant-1", "gw-1", "d", "m", "from", int64(at), "to", int64(at+second))
	reads := []string{read, "/v1/sites/plant-1/latest?gateway=gw-1"}

	down := func(what string) {
		t.Helper()
		for range 4 {
			for _, target := range reads {
				a := p.Do(t, apitest.Administrator(), "GET", target, "").Want(t, 503)
				if a.Headers["retry-after"] == "" || strings.Contains(a.Body, "postgres") {
					t.Errorf("%s: got %+v, want Retry-After and no text of the database", what, a)
				}
			}
		}
		p.Do(t, apitest.Administrator(), "GET", "/v1/sites/plant-1/kpis", "").Want(t, 200)
	}
	up := func(what string) {
		t.Helper()
		for _, target := range reads {
			eventually.Equal(t, what+": status of "+target, 200, func() int {
				return p.Do(t, apitest.Administrator(), "GET", target, "").Status
			})
		}
	}
	up("at first")

	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	down("stopped")
	if server, err = postgres.Start(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	up("restarted")

	other, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(t.Context(), "BEGIN; LOCK TABLE rollup_watermark IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	down("locked")
	if err := other.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	up("unlocked")

	// The server closes the pool's connection, and the test opens all others.
	var taken []*pgx.Conn
	if other, err = pgx.Connect(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	taken = append(taken, other)
	const terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'insighthub'"
	if _, err := other.Exec(t.Context(), terminate); err != nil {
		t.Fatal(err)
	}
	for len(taken) < connections { // the slot of a terminated connection is free a moment later
		eventually.NoError(t, "open a connection", func() error {
			conn, err := pgx.Connect(t.Context(), dsn)
			if err == nil {
				taken = append(taken, conn)
			}
			return err
		})
	}
	down("no connections left")
	for _, conn := range taken {
		_ = conn.Close(t.Context())
	}
	up("connections closed")

	pause(t, server.PID(), syscall.SIGSTOP)
	down("paused")
	pause(t, server.PID(), syscall.SIGCONT)
	up("resumed")
}

// pause sends a signal to the server and its processes.
func pause(t *testing.T, server int, signal syscall.Signal) {
	t.Helper()
	children, err := os.ReadFile("/proc/" + strconv.Itoa(server) + "/task/" + strconv.Itoa(server) + "/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range append(strings.Fields(string(children)), strconv.Itoa(server)) {
		pid, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, signal); err != nil {
			t.Fatal(err)
		}
	}
}
