// Package timescaletest gives a test a database of its own on the real server that
// INSIGHTHUB_TEST_DATABASE names.
package timescaletest

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/timescale"
)

// DSN makes an empty database, which goes with the test. Without a server the test
// is skipped, or fails where INSIGHTHUB_TEST_REQUIRED=1 or CI=true.
func DSN(tb testing.TB) string {
	tb.Helper()
	server := os.Getenv("INSIGHTHUB_TEST_DATABASE")
	if server == "" {
		const message = "INSIGHTHUB_TEST_DATABASE names no database; run under go run ./cdk/local/postgres/cmd/testdb -- or make test"
		if os.Getenv("CI") == "true" || os.Getenv("INSIGHTHUB_TEST_REQUIRED") == "1" {
			tb.Fatal(message)
		}
		tb.Skip(message)
	}
	name := "test_" + strings.ToLower(rand.Text())
	Exec(tb, server, `CREATE DATABASE "`+name+`"`)
	tb.Cleanup(func() { Exec(tb, server, `DROP DATABASE "`+name+`" WITH (FORCE)`) })
	u, err := url.Parse(server)
	if err != nil {
		tb.Fatalf("INSIGHTHUB_TEST_DATABASE: want a URL: %v", err)
	}
	u.Path = "/" + name
	return u.String()
}

// Open makes a database with the platform's tables.
func Open(tb testing.TB) (*timescale.Pool, string) {
	tb.Helper()
	dsn := DSN(tb)
	pool, err := timescale.Open(tb.Context(), timescale.PoolConfig{DSN: dsn, MaxConnections: 8})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(pool.Close)
	if _, err := timescale.Migrate(tb.Context(), pool, timescale.FlavourDetect); err != nil {
		tb.Fatal(err)
	}
	return pool, dsn
}

// Exec runs a statement.
func Exec(tb testing.TB, dsn, statement string, arguments ...any) {
	tb.Helper()
	connected(tb, dsn, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, statement, arguments...)
		return err
	})
}

// Value returns the one value of a query as text.
func Value(tb testing.TB, dsn, query string, arguments ...any) (text string) {
	tb.Helper()
	connected(tb, dsn, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT coalesce(("+query+")::text, '')", arguments...).Scan(&text)
	})
	return text
}

func connected(tb testing.TB, dsn string, f func(context.Context, *pgx.Conn) error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		tb.Fatalf("connect: %v", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if err := f(ctx, conn); err != nil {
		tb.Fatalf("database: %v", err)
	}
}
