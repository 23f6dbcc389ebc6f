// Package timescaletest opens a pool on a database of its own with the platform's
// tables, for one test.
package timescaletest

import (
	"cmp"
	"context"
	"crypto/rand"
	"net/url"
	"strings"
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
	pool := Owner(tb, dsn)
	if _, err := timescale.Migrate(tb.Context(), pool, flavour); err != nil {
		tb.Fatal(err)
	}
	return pool, dsn
}

// Trail is a table expression of all entries of the audit trail, sealed or not.
const Trail = `(SELECT actor, action, object, site, detail FROM trail
	UNION ALL SELECT actor, action, object, site, detail FROM trail_pending) trail`

// Owner returns a pool of the owner of a database, for what the function under test may
// not do, such as the preparation of its data.
func Owner(tb testing.TB, dsn string) *timescale.Pool {
	tb.Helper()
	return open(tb, timescale.PoolConfig{DSN: dsn})
}

// OpenAs is Open with a pool that has logged in with the role of a function, so that a
// missing grant fails the test. The DSN is the owner's.
func OpenAs(tb testing.TB, function string) (*timescale.Pool, string) {
	tb.Helper()
	return OpenFlavourAs(tb, timescale.FlavourDetect, function)
}

// OpenFlavourAs is OpenAs with tables of the given flavour.
func OpenFlavourAs(tb testing.TB, flavour timescale.Flavour, function string) (*timescale.Pool, string) {
	tb.Helper()
	_, dsn := OpenFlavour(tb, flavour)
	return open(tb, timescale.PoolConfig{DSN: As(tb, dsn, function)}), dsn
}

// As creates a role of a function in a database with the platform's tables, and returns its
// DSN. Roles are the server's, so that each test has its own; it is dropped with the test.
func As(tb testing.TB, dsn, function string) string {
	tb.Helper()
	role := timescale.Role{
		Function: function, Name: "test_" + strings.ToLower(rand.Text()) + "_" + function, Password: rand.Text(),
	}
	tb.Cleanup(func() { pgtest.Exec(tb, dsn, `DROP OWNED BY "`+role.Name+`"; DROP ROLE "`+role.Name+`"`) })
	if err := timescale.GrantRoles(tb.Context(), Owner(tb, dsn), []timescale.Role{role}); err != nil {
		tb.Fatal(err)
	}
	u, err := url.Parse(dsn)
	if err != nil {
		tb.Fatal(err)
	}
	u.User = url.UserPassword(role.Name, role.Password)
	return u.String()
}

func open(tb testing.TB, config timescale.PoolConfig) *timescale.Pool {
	tb.Helper()
	config.MaxConnections = cmp.Or(config.MaxConnections, 8)
	pool, err := timescale.Open(tb.Context(), config)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(pool.Close)
	return pool
}

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
