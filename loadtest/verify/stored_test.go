package verify

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
)

// TestStored checks that events of other gateways do not count, even if their sum overflows.
func TestStored(t *testing.T) {
	db, err := pgx.Connect(t.Context(), pgtest.NewDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(t.Context())
	// Temporary tables with the columns that Stored reads.
	if _, err := db.Exec(t.Context(), `
CREATE TEMP TABLE gateway (id int, name text);
CREATE TEMP TABLE device (id int, gateway_id int, name text);
CREATE TEMP TABLE metric (id int, name text);
CREATE TEMP TABLE event (device_id int, metric_id int, time timestamptz, value float8);
INSERT INTO gateway VALUES (1, 'mine-1'), (2, 'other');
INSERT INTO device VALUES (1, 1, 'd'), (2, 2, 'd');
INSERT INTO metric VALUES (1, 'm');
INSERT INTO event VALUES
	(1, 1, '2026-01-01T00:00:01Z', 1.5), (1, 1, '2026-01-01T00:00:02Z', 2), (2, 1, '2026-01-01T00:00:01Z', 1e300);`); err != nil {
		t.Fatal(err)
	}
	got, err := Stored(t.Context(), db, "mine-", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	want := map[Key]Sums{{"mine-1", "d", "m"}: {2, 3_000_000, 3500}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
