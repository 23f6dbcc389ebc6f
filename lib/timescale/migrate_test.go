package timescale

import (
	"io/fs"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
)

func TestMigrateTwice(t *testing.T) {
	for _, flavour := range flavours {
		t.Run(string(flavour), func(t *testing.T) {
			pool := openPool(t, pgtest.NewDatabase(t))
			first, err := Migrate(t.Context(), pool, flavour)
			if err != nil {
				t.Fatal(err)
			}
			if first.Version == 0 || first.Applied != first.Version || first.Flavour != flavour {
				t.Errorf("first = %+v, want every migration applied in flavour %s", first, flavour)
			}
			again, err := Migrate(t.Context(), pool, FlavourDetect)
			if err != nil {
				t.Fatal(err)
			}
			want := first
			want.Applied = 0
			if diff := cmp.Diff(want, again); diff != "" {
				t.Errorf("second differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMigrateAtOnce(t *testing.T) {
	dsn := pgtest.NewDatabase(t)
	var wg sync.WaitGroup
	results := make([]Migrated, 4)
	for i := range results {
		pool := openPool(t, dsn)
		wg.Go(func() {
			var err error
			if results[i], err = Migrate(t.Context(), pool, FlavourDetect); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	applied := 0
	for _, r := range results {
		applied += r.Applied
	}
	if applied != results[0].Version {
		t.Errorf("got %d migrations applied by four concurrent calls, want %d", applied, results[0].Version)
	}
}

func TestMigrateMakesDailyHypertable(t *testing.T) {
	pool := migrated(t, FlavourDetect)
	const interval = "SELECT time_interval::text FROM timescaledb_information.dimensions WHERE hypertable_name = 'event'"
	if got := query[string](t, pool, interval); got != "1 day" {
		t.Errorf("chunks of %q, want 1 day", got)
	}
	if got := query[int](t, pool, "SELECT count(*)::int FROM pg_indexes WHERE tablename = 'event'"); got != 1 {
		t.Errorf("%d indexes on event, want only the identity", got)
	}
}

func TestMigratePlainNeedsNoExtension(t *testing.T) {
	pool := migrated(t, FlavourPlain)
	if got := query[int](t, pool, "SELECT count(*)::int FROM pg_extension WHERE extname = 'timescaledb'"); got != 0 {
		t.Error("got the extension, want a plain database")
	}
}

// TestMigrationNumbers: of two migrations with one number the second would never be applied.
func TestMigrationNumbers(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for i, file := range files { // sorted
		if version, err := versionOf(file); err != nil || version != i+1 {
			t.Errorf("%s: got number %d, %v, want %d", file, version, err, i+1)
		}
	}
}
