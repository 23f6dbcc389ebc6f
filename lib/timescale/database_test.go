package timescale

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

// flavours are what every test against a real database runs on.
var flavours = []Flavour{FlavourTimescale, FlavourPlain}

// emptyDatabase makes a database of its own and returns its DSN.
func emptyDatabase(tb testing.TB) string {
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
	administer(tb, server, `CREATE DATABASE "`+name+`"`)
	tb.Cleanup(func() { administer(tb, server, `DROP DATABASE "`+name+`" WITH (FORCE)`) })
	u, err := url.Parse(server)
	if err != nil {
		tb.Fatalf("INSIGHTHUB_TEST_DATABASE: want a URL: %v", err)
	}
	u.Path = "/" + name
	return u.String()
}

func administer(tb testing.TB, dsn, statement string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		tb.Fatalf("connect: %v", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, statement); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
}

func openPool(tb testing.TB, dsn string) *Pool {
	tb.Helper()
	pool, err := Open(tb.Context(), PoolConfig{DSN: dsn, MaxConnections: 8})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(pool.Close)
	return pool
}

// migrated is a pool on a fresh database with the schema.
func migrated(tb testing.TB, flavour Flavour) *Pool {
	tb.Helper()
	pool := openPool(tb, emptyDatabase(tb))
	if _, err := Migrate(tb.Context(), pool, flavour); err != nil {
		tb.Fatal(err)
	}
	return pool
}

// query returns the single value of a query.
func query[T any](tb testing.TB, pool *Pool, statement string, args ...any) T {
	tb.Helper()
	var value T
	if err := pool.pgx.QueryRow(tb.Context(), statement, args...).Scan(&value); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
	return value
}
