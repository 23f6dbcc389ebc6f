package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"time"

	"github.com/insighthub/insighthub/lib/aws/secrets"
	"github.com/insighthub/insighthub/lib/password"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/trail"
)

// adminName is the name of the first account.
const adminName = "admin"

// migrate brings the schema up to date, creates the functions' roles and the first account.
// The secrets are read at each invocation: a deployment may just have changed them.
func migrate(ctx context.Context, store *secrets.Writer, database, admin string, roles roleSettings, log *slog.Logger) (
	timescale.Migrated, error,
) {
	password, err := store.Get(ctx, admin)
	if err != nil {
		return timescale.Migrated{}, err
	}
	pool, err := timescale.OpenSecret(ctx, store, database, timescale.PoolConfig{Application: "insighthub-migrate", MaxConnections: 1})
	if err != nil {
		return timescale.Migrated{}, err
	}
	defer pool.Close()
	done, err := timescale.Migrate(ctx, pool, timescale.FlavourDetect)
	if err != nil {
		return timescale.Migrated{}, err
	}
	if err := provideRoles(ctx, pool, store, database, roles, log); err != nil {
		return timescale.Migrated{}, fmt.Errorf("database roles: %w", err)
	}
	return done, firstAdministrator(ctx, pool, password, log)
}

// firstAdministrator creates the first account, with the password of a secret, when there
// are no accounts at all.
func firstAdministrator(ctx context.Context, pool *timescale.Pool, secret []byte, log *slog.Logger) error {
	if err := password.Check(string(secret)); err != nil {
		return fmt.Errorf("ADMIN_SECRET_ARN: %w", err)
	}
	phc, err := password.Hash(string(secret), password.DefaultCost(), rand.Reader)
	if err != nil {
		return err
	}
	created, err := pool.FirstAdministrator(ctx, adminName, phc, trail.Entry{
		Time: telemetry.MicrosOf(time.Now()), Actor: "deployment", Action: "account.create", Detail: `{"grants":{"*":"admin"}}`,
	})
	if err == nil && created {
		log.InfoContext(ctx, "created the first account", "name", adminName)
	}
	return err
}
