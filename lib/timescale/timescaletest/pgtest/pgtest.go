// Package pgtest creates an empty database for a test, on the PostgreSQL server
// that INSIGHTHUB_TEST_DATABASE names. It imports nothing of lib/timescale, so that
// the tests in that package can use it too.
package pgtest

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// NewDatabase creates an empty database, drops it when the test ends, and returns its DSN.
// Without a server the test is skipped, or fails where INSIGHTHUB_TEST_REQUIRED=1
// or CI=true.
func NewDatabase(tb testing.TB) (dsn string) {
	tb.Helper()
	server := os.Getenv("INSIGHTHUB_TEST_DATABASE")
	if server == "" {
		const message = "INSIGHTHUB_TEST_DATABASE is not set; run under go run ./cdk/local/postgres/cmd/testdb -- or make test"
		if os.Getenv("CI") == "true" || os.Getenv("INSIGHTHUB_TEST_REQUIRED") == "1" {
			tb.Fatal(message)
		}
		tb.Skip(message)
	}
	u, err := url.Parse(server)
	if err != nil {
		tb.Fatalf("INSIGHTHUB_TEST_DATABASE: want a URL: %v", err)
	}
	name := "test_" + strings.ToLower(rand.Text())
	Exec(tb, server, `CREATE DATABASE "`+name+`"`)
	tb.Cleanup(func() { Exec(tb, server, `DROP DATABASE "`+name+`" WITH (FORCE)`) })
	u.Path = "/" + name
	return u.String()
}

// Exec runs a statement over a connection of its own.
func Exec(tb testing.TB, dsn, statement string, arguments ...any) {
	tb.Helper()
	Connect(tb, dsn, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, statement, arguments...)
		return err
	})
}

// Connect runs f over a connection of its own. It works in a cleanup too, when the
// test's context has ended.
func Connect(tb testing.TB, dsn string, f func(context.Context, *pgx.Conn) error) {
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
