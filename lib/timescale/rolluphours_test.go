package timescale

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
)

// TestBucketsOfHoursAreThoseOfEvents writes events of three days late, twice and out of
// order while the watermarks advance from their start to now. It compares both tables
// with the events, and buckets of hours and days with buckets of events.
func TestBucketsOfHoursAreThoseOfEvents(t *testing.T) {
	for _, flavour := range flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			pool := migrated(t, flavour)
			const threeDays = 72 * time.Hour
			s := &eventSource{r: rand.New(rand.NewPCG(3, 4)), now: telemetry.MicrosOf(time.Now())}
			compare := func() {
				t.Helper()
				s.compareWithEvents(t, pool, 4, 80*time.Hour, time.Hour, 24*time.Hour)
			}
			for round := range 10 {
				w := NewWriter(pool, WriterConfig{})
				if _, err := w.Write(t.Context(), []*telemetry.Batch{s.batch(1+s.r.IntN(600), threeDays)}); err != nil {
					t.Fatal(err)
				}
				// As if the roll-up had never run, or had been stopped: the tables lack the rest.
				if round%4 == 0 {
					at := s.now.Time().Add(-time.Duration(s.r.Int64N(int64(threeDays)))).Truncate(time.Minute)
					resetRollup(t, pool, at, at.Add(-time.Duration(s.r.IntN(30))*time.Hour).Truncate(time.Hour))
				}
				compare()
				if round%2 == 0 {
					refresh(t, pool)
					if n := wantRolledUp(t, pool); n < 50 {
						t.Errorf("got %d hours, want at least 50", n)
					}
					compare()
				}
			}
		})
	}
}

// resetRollup sets the tables and watermarks back to an earlier state.
func resetRollup(t *testing.T, pool *Pool, watermark, hourWatermark time.Time) {
	t.Helper()
	execute(t, pool, "DELETE FROM event_minute WHERE minute >= $1", watermark)
	execute(t, pool, "DELETE FROM event_hour WHERE hour >= $1", hourWatermark)
	execute(t, pool, "UPDATE rollup_watermark SET watermark = least(watermark, $1), hour_watermark = least(hour_watermark, $2)",
		watermark, hourWatermark)
}

// TestHoursAreRead deletes events and minutes: buckets of whole hours come from event_hour.
func TestHoursAreRead(t *testing.T) {
	pool := migrated(t, FlavourDetect)
	w := NewWriter(pool, WriterConfig{})
	at := floorTo(telemetry.MicrosOf(time.Now()), hourMicros) - 3*hourMicros
	write(t, w, Outcome{Stored: 2}, batchOf("g", reading("d", "m", at, 1), reading("d", "m", at+hourMicros, 2)))
	refresh(t, pool)
	execute(t, pool, "DELETE FROM event")
	execute(t, pool, "DELETE FROM event_minute")
	got, err := pool.Buckets(t.Context(), seriesOf("d", "m"), readings.BucketQuery{
		Range: readings.Range{From: at, To: at + 3*hourMicros}, Width: time.Hour,
		Qualities: everyQuality, Aggregates: []readings.Aggregate{readings.Last},
	})
	want := readings.Buckets{Times: []telemetry.Micros{at, at + hourMicros}, Columns: [][]float64{{1, 2}}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v, buckets differ (-want +got):\n%s", err, diff)
	}
}

// TestMigrateFromMinutesToHours: after the migration of a database of version 5 its
// minutes stay, the roll-up makes their hours, and queries work without them until then.
func TestMigrateFromMinutesToHours(t *testing.T) {
	for _, flavour := range flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			pool := openPool(t, pgtest.NewDatabase(t))
			if err := pool.do(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
				done, err := migrate(ctx, conn, flavour, 5)
				if err == nil && done.Version != 5 {
					err = fmt.Errorf("migrated to version %d, want 5", done.Version)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
			now := telemetry.MicrosOf(time.Now())
			for _, table := range []string{"device", "metric"} { // for the writer; the column is of a later version
				execute(t, pool, "ALTER TABLE "+table+" ADD COLUMN reported bool NOT NULL DEFAULT true")
			}
			// Long gaps, and hours that are stale at the time of the migration.
			w := NewWriter(pool, WriterConfig{})
			w.asked.Store(math.MaxInt64) // no name was deleted: that table is of a later version
			ages := []telemetry.Micros{5000 * hourMicros, 5000*hourMicros - minuteMicros, 700 * hourMicros, 3 * hourMicros, 2 * hourMicros}
			for i, age := range ages {
				write(t, w, Outcome{Stored: 1}, batchOf("g", reading("d", "m", now-age, float64(i))))
			}
			execute(t, pool, allSeries+minuteRows,
				customPlan, (now - 9000*hourMicros).Time(), now.Time().Add(-RollupLag).Truncate(time.Minute))
			execute(t, pool, "DELETE FROM rollup_stale")
			write(t, w, Outcome{Stored: 2}, batchOf("g", reading("d", "m", now-4000*hourMicros, 5),
				reading("e", "m", now-6000*hourMicros, 6)))

			execute(t, pool, "ALTER TABLE device DROP COLUMN reported")
			execute(t, pool, "ALTER TABLE metric DROP COLUMN reported")
			if done, err := Migrate(t.Context(), pool, FlavourDetect); err != nil || done.Applied == 0 {
				t.Fatalf("got %+v, %v; want migrations applied", done, err)
			}
			r := rand.New(rand.NewPCG(5, 6))
			compare := func() {
				t.Helper()
				for _, width := range []time.Duration{time.Hour, 24 * time.Hour} {
					compareBuckets(t, pool, seriesOf("d", "m"), readings.BucketQuery{
						Range: readings.Range{From: now - 7000*hourMicros + telemetry.Micros(r.IntN(1e9)), To: now}, Width: width,
						Qualities: everyQuality, Aggregates: readings.Aggregates(),
					})
				}
			}
			compare()
			if n := query[int](t, pool, "SELECT count(*) FROM event_hour"); n != 0 {
				t.Errorf("the migration made %d hours, want 0: the roll-up makes them", n)
			}
			refresh(t, pool)
			if n := wantRolledUp(t, pool); n < 6 {
				t.Errorf("got %d hours, want 6", n)
			}
			compare()
		})
	}
}

// TestOlderRollupIsRejected: a version before event_hour would delete stale marks and
// rebuild the minutes only. A trigger rejects it.
func TestOlderRollupIsRejected(t *testing.T) {
	pool := migrated(t, FlavourDetect)
	late := telemetry.MicrosOf(time.Now().Add(-2 * time.Hour))
	write(t, NewWriter(pool, WriterConfig{}), Outcome{Stored: 1}, batchOf("g", reading("d", "m", late, 1)))
	if _, err := pool.pgx.Exec(t.Context(), "DELETE FROM rollup_stale"); !hasState(err, insufficientPrivilege) {
		t.Errorf("got error %v, want insufficient_privilege", err)
	}
	if n := query[int](t, pool, "SELECT count(*) FROM rollup_stale"); n != 1 {
		t.Errorf("got %d stale hours, want 1", n)
	}
}
