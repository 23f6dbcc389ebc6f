package timescale

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrationLock is the key of the advisory lock of migrations: "insight" in ASCII.
const migrationLock = 0x696e7369676874

// Flavour is the kind of the tables. The first migration of a database chooses it and
// stores it in the table database_choice.
type Flavour string

// The flavours. The zero value lets the migration choose: timescale if the server has
// the extension, otherwise plain.
const (
	FlavourDetect    Flavour = ""
	FlavourTimescale Flavour = "timescale"
	FlavourPlain     Flavour = "plain"
)

// Licence is the edition of TimescaleDB that the server runs.
type Licence string

// The licences. Columnstore and retention policies need LicenceTimescale;
// LicenceNone is a server without the extension.
const (
	LicenceNone      Licence = "none"
	LicenceApache    Licence = "apache"
	LicenceTimescale Licence = "timescale"
)

// Migrated is the result of Migrate.
type Migrated struct {
	Version int // of the schema, after the migrations
	Applied int // number of migrations that this call applied
	Flavour Flavour
	Licence Licence
}

// Migrate applies the migrations that the database lacks, each in one transaction. It is
// idempotent, and safe to run concurrently.
func Migrate(ctx context.Context, pool *Pool, want Flavour) (Migrated, error) {
	var done Migrated
	err := pool.do(ctx, func(ctx context.Context, conn *pgx.Conn) (err error) {
		done, err = migrate(ctx, conn, want, newest)
		return err
	})
	if err != nil {
		return Migrated{}, fmt.Errorf("migrate: %w", err)
	}
	return done, nil
}

// newest is greater than every version.
const newest = math.MaxInt

// migrate applies the migrations up to the version last.
func migrate(ctx context.Context, conn *pgx.Conn, want Flavour, last int) (done Migrated, err error) {
	// A session-level lock, as it spans transactions. It waits for a concurrent
	// migration, which may take longer than other lock timeouts.
	if _, err := conn.Exec(ctx, "SET lock_timeout = 0; SET statement_timeout = '10min'"); err != nil {
		return done, err
	}
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return done, err
	}
	defer func() {
		_, unlockErr := conn.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", int64(migrationLock))
		_, resetErr := conn.Exec(context.WithoutCancel(ctx), "RESET lock_timeout; RESET statement_timeout")
		err = errors.Join(err, unlockErr, resetErr)
	}()

	if err := prepare(ctx, conn, want); err != nil {
		return done, err
	}
	if err := conn.QueryRow(ctx, "SELECT flavour, licence FROM database_choice").Scan(&done.Flavour, &done.Licence); err != nil {
		return done, fmt.Errorf("database_choice: %w", err)
	}
	if err := conn.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM schema_version").Scan(&done.Version); err != nil {
		return done, fmt.Errorf("schema_version: %w", err)
	}
	files, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return done, err
	}
	for _, file := range files { // sorted by name
		version, err := versionOf(file)
		if err != nil {
			return done, err
		}
		if version <= done.Version || version > last {
			continue
		}
		if err := apply(ctx, conn, file, version, done); err != nil {
			return done, fmt.Errorf("%s: %w", path.Base(file), err)
		}
		done.Version, done.Applied = version, done.Applied+1
	}
	return done, nil
}

// prepare creates the two tables that the migrations need, and chooses the flavour of a
// new database.
func prepare(ctx context.Context, conn *pgx.Conn, want Flavour) error {
	_, err := conn.Exec(ctx, `
		CREATE TABLE IF NOT EXISTS schema_version (
			version int PRIMARY KEY,
			name text NOT NULL,
			applied_at timestamptz NOT NULL DEFAULT now());
		CREATE TABLE IF NOT EXISTS database_choice (
			only_row bool PRIMARY KEY DEFAULT true CHECK (only_row),
			flavour text NOT NULL,
			licence text NOT NULL,
			chosen_at timestamptz NOT NULL DEFAULT now())`)
	if err != nil {
		return fmt.Errorf("create schema_version and database_choice: %w", err)
	}
	var chosen bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM database_choice)").Scan(&chosen); err != nil || chosen {
		return err
	}
	flavour, licence, err := choose(ctx, conn, want)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "INSERT INTO database_choice (flavour, licence) VALUES ($1, $2)", flavour, licence)
	return err
}

func choose(ctx context.Context, conn *pgx.Conn, want Flavour) (Flavour, Licence, error) {
	if want == FlavourDetect {
		want = FlavourPlain
		var available bool
		// CREATE EXTENSION fails unless the library, whose setting this is, is preloaded.
		err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')
			AND current_setting('timescaledb.disable_load', true) IS NOT NULL`).Scan(&available)
		if err != nil {
			return "", "", err
		}
		if available {
			want = FlavourTimescale
		}
	}
	if want == FlavourPlain {
		return FlavourPlain, LicenceNone, nil
	}
	if _, err := conn.Exec(ctx, "CREATE EXTENSION IF NOT EXISTS timescaledb"); err != nil {
		if hasState(err, insufficientPrivilege) {
			return "", "", fmt.Errorf("the role may not create extensions: run CREATE EXTENSION timescaledb as an administrator: %w", err)
		}
		return "", "", fmt.Errorf("create extension: %w", err)
	}
	licence := LicenceApache
	if err := conn.QueryRow(ctx, "SELECT current_setting('timescaledb.license')").Scan(&licence); err != nil {
		return "", "", err
	}
	return FlavourTimescale, licence, nil
}

func apply(ctx context.Context, conn *pgx.Conn, file string, version int, done Migrated) error {
	statements, err := migrationFiles.ReadFile(file)
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "SELECT set_config('insighthub.flavour', $1, true), set_config('insighthub.licence', $2, true)",
			string(done.Flavour), string(done.Licence))
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, string(statements)); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "INSERT INTO schema_version (version, name) VALUES ($1, $2)", version, path.Base(file))
		return err
	})
}

func versionOf(file string) (int, error) {
	number, _, _ := strings.Cut(path.Base(file), "_")
	version, err := strconv.Atoi(number)
	if err != nil {
		return 0, fmt.Errorf("migration %s: want a name like 0001_events.sql: %w", file, err)
	}
	return version, nil
}
