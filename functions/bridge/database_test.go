package main

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/timescale"
)

// testDatabase is a pool on a fresh database with the schema.
func testDatabase(t *testing.T) *timescale.Pool {
	t.Helper()
	server := os.Getenv("INSIGHTHUB_TEST_DATABASE")
	if server == "" {
		const message = "INSIGHTHUB_TEST_DATABASE names no database; run under go run ./cdk/local/postgres/cmd/testdb -- or make test"
		if os.Getenv("CI") == "true" || os.Getenv("INSIGHTHUB_TEST_REQUIRED") == "1" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	name := "test_" + strings.ToLower(rand.Text())
	administer(t, server, "CREATE DATABASE "+name)
	t.Cleanup(func() { administer(t, server, "DROP DATABASE "+name+" WITH (FORCE)") })
	u.Path = "/" + name
	pool, err := timescale.Open(t.Context(), timescale.PoolConfig{DSN: u.String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if _, err := timescale.Migrate(t.Context(), pool, timescale.FlavourDetect); err != nil {
		t.Fatal(err)
	}
	return pool
}

func administer(t *testing.T, dsn, statement string) {
	t.Helper()
	ctx := context.Background() // a cleanup's, too
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
