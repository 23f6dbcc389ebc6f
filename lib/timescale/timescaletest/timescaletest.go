// Package timescaletest opens a pool on a database of its own with the platform's
// tables, for one test.
package timescaletest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
)

// Open creates a database with the platform's tables, and returns a pool and the
// DSN. Both go with the test, see [pgtest.NewDatabase].
func Open(tb testing.TB) (*timescale.Pool, string) {
	tb.Helper()
	return OpenFlavour(tb, timescale.FlavourDetect)
}

// OpenFlavour is Open with tables of the given flavour.
func OpenFlavour(tb testing.TB, flavour timescale.Flavour) (*timescale.Pool, string) {
	tb.Helper()
	dsn := pgtest.NewDatabase(tb)
	pool, err := timescale.Open(tb.Context(), timescale.PoolConfig{DSN: dsn, MaxConnections: 8})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(pool.Close)
	if _, err := timescale.Migrate(tb.Context(), pool, flavour); err != nil {
		tb.Fatal(err)
	}
	return pool, dsn
}

// Trail is a table expression of all entries of the audit trail, sealed or not.
const Trail = `(SELECT actor, action, object, site, detail FROM trail
	UNION ALL SELECT actor, action, object, site, detail FROM trail_pending) trail`

// Exec runs a statement over a connection of its own.
func Exec(tb testing.TB, dsn, statement string, arguments ...any) {
	tb.Helper()
	pgtest.Exec(tb, dsn, statement, arguments...)
}

// Value returns the one value of a query as text.
func Value(tb testing.TB, dsn, query string, arguments ...any) (text string) {
	tb.Helper()
	pgtest.Connect(tb, dsn, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT coalesce(("+query+")::text, '')", arguments...).Scan(&text)
	})
	return text
}

// SumAtOnce makes the trail show what is added up without waiting for its interval.
func SumAtOnce(tb testing.TB, dsn string) {
	tb.Helper()
	Exec(tb, dsn, "UPDATE trail_sum_action SET every = '0'")
}
