package timescale

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// blockInserts makes each insert of a row that satisfies the condition wait until the
// returned function is called.
func blockInserts(t *testing.T, pool *Pool, table, condition string) (unblock func()) {
	t.Helper()
	const key = "4711"
	execute(t, pool, `CREATE FUNCTION wait_for_test() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF `+condition+` THEN PERFORM pg_advisory_xact_lock_shared(`+key+`); END IF;
		RETURN NEW;
	END $$`)
	execute(t, pool, "CREATE TRIGGER wait_for_test BEFORE INSERT ON "+table+" FOR EACH ROW EXECUTE FUNCTION wait_for_test()")
	conn, err := pool.pgx.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Release)
	if _, err := conn.Exec(t.Context(), "SELECT pg_advisory_lock("+key+")"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := conn.Exec(t.Context(), "SELECT pg_advisory_unlock("+key+")"); err != nil {
			t.Error(err)
		}
	}
}

// waitForBlockedInsert returns when a session waits for the lock of blockInserts.
func waitForBlockedInsert(t *testing.T, pool *Pool) {
	t.Helper()
	const waiting = `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
	eventually.True(t, "a blocked insert", func() bool { return query[int](t, pool, waiting) > 0 })
}

// TestStaleMarksCommitWithTheirRows stops a late write between its stale mark and its
// rows. A refresh at that moment must not consume the mark, or the minutes would lack
// the rows for ever.
func TestStaleMarksCommitWithTheirRows(t *testing.T) {
	at := floorTo(telemetry.MicrosOf(time.Now()), hourMicros) - 3*hourMicros
	stored, late := reading("d", "m", at, 1), reading("d", "m", at+1, 2)
	for name, c := range map[string]struct {
		table, condition string
		events           []telemetry.Event
		outcome          Outcome
	}{
		"copy":            {"event", "NEW.value = 2", []telemetry.Event{late}, Outcome{Stored: 1}},
		"upsert":          {"event", "NEW.value = 2", []telemetry.Event{stored, late}, Outcome{Stored: 1, Duplicates: 1}},
		"mark comes last": {"rollup_stale", "true", []telemetry.Event{late}, Outcome{Stored: 1}},
	} {
		for _, flavour := range flavours {
			t.Run(name+"/"+string(flavour), func(t *testing.T) {
				t.Parallel()
				pool := migrated(t, flavour)
				w := NewWriter(pool, WriterConfig{})
				write(t, w, Outcome{Stored: 1}, batchOf("g", stored))
				refresh(t, pool)
				unblock := blockInserts(t, pool, c.table, c.condition)

				blocked, err := Open(t.Context(), PoolConfig{
					DSN: pool.config.DSN, LockTimeout: 5 * time.Minute,
					StatementTimeout: 5 * time.Minute,
				})
				if err != nil {
					t.Fatal(err)
				}
				defer blocked.Close()
				done := make(chan error, 1)
				var outcome Outcome
				go func() {
					var err error
					outcome, err = NewWriter(blocked, WriterConfig{}).Write(t.Context(), []*telemetry.Batch{batchOf("g", c.events...)})
					done <- err
				}()
				waitForBlockedInsert(t, pool)
				if n := query[int](t, pool, "SELECT count(*) FROM event"); n != 1 {
					t.Errorf("%d events are committed before the write is, want 1", n)
				}
				if n := query[int](t, pool, "SELECT count(*) FROM rollup_stale"); n != 0 {
					t.Errorf("%d stale hours are committed before the rows, want 0", n)
				}
				if r := refresh(t, pool); r.Hours != 0 {
					t.Errorf("the refresh rebuilt %d hours, want 0 before the rows are committed", r.Hours)
				}
				unblock()
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.outcome, outcome, ignoreCommitted); diff != "" {
					t.Errorf("outcome differs (-want +got):\n%s", diff)
				}
				if n := query[int](t, pool, "SELECT count(*) FROM rollup_stale"); n != 1 {
					t.Errorf("%d stale hours after the write, want 1", n)
				}
				q := readings.BucketQuery{
					Range: readings.Range{From: at, To: at + hourMicros}, Width: time.Hour,
					Qualities: everyQuality, Aggregates: []readings.Aggregate{readings.Count},
				}
				for _, when := range []string{"stale", "rebuilt"} {
					got, err := pool.Buckets(t.Context(), seriesOf("d", "m"), q)
					want := readings.Buckets{Times: []telemetry.Micros{at}, Columns: [][]float64{{2}}}
					if diff := cmp.Diff(want, got); err != nil || diff != "" {
						t.Errorf("%s: %v, buckets differ (-want +got):\n%s", when, err, diff)
					}
					refresh(t, pool)
				}
				wantRolledUp(t, pool)
			})
		}
	}
}
