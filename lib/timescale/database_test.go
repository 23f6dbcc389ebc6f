package timescale

import (
	"testing"

	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
)

// flavours are the kinds of tables that every test against a real database runs on.
var flavours = []Flavour{FlavourTimescale, FlavourPlain}

func openPool(tb testing.TB, dsn string) *Pool {
	tb.Helper()
	pool, err := Open(tb.Context(), PoolConfig{DSN: dsn, MaxConnections: 8})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(pool.Close)
	return pool
}

// migrated returns a pool on a new database with the schema.
func migrated(tb testing.TB, flavour Flavour) *Pool {
	tb.Helper()
	pool := openPool(tb, pgtest.NewDatabase(tb))
	if _, err := Migrate(tb.Context(), pool, flavour); err != nil {
		tb.Fatal(err)
	}
	return pool
}

// execute runs a statement.
func execute(tb testing.TB, pool *Pool, statement string, args ...any) {
	tb.Helper()
	if _, err := pool.pgx.Exec(tb.Context(), statement, args...); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
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
