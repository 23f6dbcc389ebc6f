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

// Both tables as their definitions have them, of the events alone. Values are whole
// numbers in these tests, so that sums do not depend on their order.
const (
	minutesOfEvents = `SELECT device_id, metric_id, date_bin('1 minute', time, 'epoch') AS at, quality, count(*)::int AS count, sum(value) AS sum, min(value) AS min, max(value) AS max,
			min(time) AS first_at, (array_agg(value ORDER BY time))[1] AS first, max(time) AS last_at, (array_agg(value ORDER BY time DESC))[1] AS last
		FROM event, rollup_watermark WHERE time < watermark GROUP BY 1, 2, 3, 4`
	hoursOfEvents = `SELECT device_id, metric_id, date_bin('1 hour', time, 'epoch') AS at, quality, count(*)::int AS count, sum(value) AS sum, min(value) AS min, max(value) AS max,
			min(time) AS first_at, (array_agg(value ORDER BY time))[1] AS first, max(time) AS last_at, (array_agg(value ORDER BY time DESC))[1] AS last
		FROM event, rollup_watermark WHERE time < hour_watermark GROUP BY 1, 2, 3, 4`
)

// wantRolledUp compares both tables with what the events make, and returns how many hours there are.
func wantRolledUp(t *testing.T, pool *Pool) int {
	t.Helper()
	for table, c := range map[string]struct{ column, want string }{"event_minute": {"minute", minutesOfEvents}, "event_hour": {"hour", hoursOfEvents}} {
		have := "SELECT device_id, metric_id, " + c.column + " AS at, quality, count, sum, min, max, first_at, first, last_at, last FROM " + table
		if n := query[int](t, pool, `WITH want AS (`+c.want+`), have AS (`+have+`)
			SELECT count(*) FROM ((SELECT * FROM want EXCEPT SELECT * FROM have) UNION ALL (SELECT * FROM have EXCEPT SELECT * FROM want)) AS d`); n != 0 {
			t.Errorf("%d rows of %s differ from their events", n, table)
		}
	}
	if behind := query[string](t, pool, "SELECT (date_bin('1 hour', watermark, 'epoch') - hour_watermark)::text FROM rollup_watermark"); behind != "00:00:00" {
		t.Errorf("the hours are %s behind", behind)
	}
	return query[int](t, pool, "SELECT count(*) FROM event_hour")
}

// TestHoursAreThoseOfTheEvents writes late, again, with other values and out of order over
// three days, while the watermarks go from their beginning to now, and compares both
// tables with the events and answers by hour and day with those made of single readings.
func TestHoursAreThoseOfTheEvents(t *testing.T) {
	for _, flavour := range flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			pool := migrated(t, flavour)
			r := rand.New(rand.NewPCG(3, 4))
			now := telemetry.MicrosOf(time.Now())
			const days3 = 72 * time.Hour
			var written []telemetry.Event
			for round := range 10 {
				w := NewWriter(pool, WriterConfig{})
				b := &telemetry.Batch{Gateway: "g", Site: "plant-1", Received: now}
				for range 1 + r.IntN(600) {
					e := reading(fmt.Sprint("d", r.IntN(2)), fmt.Sprint("m", r.IntN(2)), now-telemetry.Micros(r.Int64N(days3.Microseconds())), math.Round(r.NormFloat64()*100))
					e.Quality = telemetry.Quality(r.IntN(3))
					if len(written) > 0 && r.IntN(4) == 0 {
						e = written[r.IntN(len(written))]
						e.Value += float64(r.IntN(2))
					}
					b.Append(e)
					written = append(written, e)
				}
				if _, err := w.Write(t.Context(), []*telemetry.Batch{b}); err != nil {
					t.Fatal(err)
				}
				// As if the roll-up had never run, or had stood still: the tables lack what follows.
				if round%4 == 0 {
					at := now.Time().Add(-time.Duration(r.Int64N(int64(days3)))).Truncate(time.Minute)
					standStill(t, pool, at, at.Add(-time.Duration(r.IntN(30))*time.Hour).Truncate(time.Hour))
				}
				compareHours(t, pool, r, now)
				if round%2 == 0 {
					if done, err := pool.RefreshRollup(t.Context()); err != nil || done.Behind {
						t.Fatalf("%+v, %v", done, err)
					}
					if n := wantRolledUp(t, pool); n < 50 {
						t.Errorf("only %d hours were made", n)
					}
					compareHours(t, pool, r, now)
				}
			}
		})
	}
}

// standStill sets the watermarks back to what they were when the roll-up stopped.
func standStill(t *testing.T, pool *Pool, watermark, hours time.Time) {
	t.Helper()
	for _, statement := range []string{"DELETE FROM event_minute WHERE minute >= $1", "UPDATE rollup_watermark SET watermark = least(watermark, $1)"} {
		if _, err := pool.pgx.Exec(t.Context(), statement, watermark); err != nil {
			t.Fatal(err)
		}
	}
	for _, statement := range []string{"DELETE FROM event_hour WHERE hour >= $1", "UPDATE rollup_watermark SET hour_watermark = least(hour_watermark, $1)"} {
		if _, err := pool.pgx.Exec(t.Context(), statement, hours); err != nil {
			t.Fatal(err)
		}
	}
}

func compareHours(t *testing.T, pool *Pool, r *rand.Rand, now telemetry.Micros) {
	t.Helper()
	for range 4 {
		s := seriesOf(fmt.Sprint("d", r.IntN(2)), fmt.Sprint("m", r.IntN(2)))
		from := now - telemetry.Micros(r.Int64N(int64(80*time.Hour/time.Microsecond)))
		q := readings.BucketQuery{
			Range: readings.Range{From: from, To: from + telemetry.Micros(r.Int64N(int64(80*time.Hour/time.Microsecond))) + 1}, Width: []time.Duration{time.Hour, 24 * time.Hour}[r.IntN(2)],
			Qualities: everyQuality[r.IntN(2) : 2+r.IntN(2)], Aggregates: readings.Aggregates(),
		}
		got, err := pool.Buckets(t.Context(), s, q)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(bucketsOfEvents(t, pool, s, q), got); diff != "" {
			t.Fatalf("%+v %+v: answer differs (-events +got):\n%s", s, q, diff)
		}
	}
}

// TestHoursAreRead takes events and minutes away: whole hours are answered from hours.
func TestHoursAreRead(t *testing.T) {
	pool := migrated(t, FlavourDetect)
	w := NewWriter(pool, WriterConfig{})
	at := floorTo(telemetry.MicrosOf(time.Now()), hourMicros) - 3*hourMicros
	write(t, w, Outcome{Stored: 2}, batchOf("g", reading("d", "m", at, 1), reading("d", "m", at+hourMicros, 2)))
	if _, err := pool.RefreshRollup(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"event", "event_minute"} {
		if _, err := pool.pgx.Exec(t.Context(), "DELETE FROM "+table); err != nil {
			t.Fatal(err)
		}
	}
	q := readings.BucketQuery{Range: readings.Range{From: at, To: at + 3*hourMicros}, Width: time.Hour, Qualities: everyQuality, Aggregates: []readings.Aggregate{readings.Last}}
	got, err := pool.Buckets(t.Context(), seriesOf("d", "m"), q)
	if diff := cmp.Diff(readings.Buckets{Times: []telemetry.Micros{at, at + hourMicros}, Columns: [][]float64{{1, 2}}}, got); err != nil || diff != "" {
		t.Errorf("%v, answer differs (-want +got):\n%s", err, diff)
	}
}

// TestMigrateMakesHoursOfOldMinutes: a database of version 5 keeps its minutes, gets the
// hours of them from the roll-up, and does without them until then.
func TestMigrateMakesHoursOfOldMinutes(t *testing.T) {
	for _, flavour := range flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			pool := openPool(t, pgtest.NewDatabase(t))
			withConnection(t, pool, func(ctx context.Context, conn *pgx.Conn) error {
				done, err := migrate(ctx, conn, flavour, 5)
				if err == nil && done.Version != 5 {
					err = fmt.Errorf("migrated to %d", done.Version)
				}
				return err
			})
			now := telemetry.MicrosOf(time.Now())
			// Long gaps, and hours that are stale when the migration comes.
			at := []telemetry.Micros{now - 5000*hourMicros, now - 5000*hourMicros + minuteMicros, now - 700*hourMicros, now - 3*hourMicros, now - 2*hourMicros}
			w := NewWriter(pool, WriterConfig{})
			for i, x := range at {
				write(t, w, Outcome{Stored: 1}, batchOf("g", reading("d", "m", x, float64(i))))
			}
			if _, err := pool.pgx.Exec(t.Context(), `WITH wanted AS (SELECT device_id, metric_id, $1::timestamptz AS since, $2::timestamptz AS until FROM series)`+minuteRows,
				planned, (now - 9000*hourMicros).Time(), now.Time().Add(-RollupLag).Truncate(time.Minute)); err != nil {
				t.Fatal(err)
			}
			if _, err := pool.pgx.Exec(t.Context(), "DELETE FROM rollup_stale"); err != nil {
				t.Fatal(err)
			}
			write(t, w, Outcome{Stored: 2}, batchOf("g", reading("d", "m", now-4000*hourMicros, 5), reading("e", "m", now-6000*hourMicros, 6)))

			if done, err := Migrate(t.Context(), pool, FlavourDetect); err != nil || done.Applied == 0 {
				t.Fatalf("%+v, %v", done, err)
			}
			r := rand.New(rand.NewPCG(5, 6))
			ask := func() {
				for _, width := range []time.Duration{time.Hour, 24 * time.Hour} {
					q := readings.BucketQuery{Range: readings.Range{From: now - 7000*hourMicros + telemetry.Micros(r.IntN(1e9)), To: now}, Width: width, Qualities: everyQuality, Aggregates: readings.Aggregates()}
					got, err := pool.Buckets(t.Context(), seriesOf("d", "m"), q)
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(bucketsOfEvents(t, pool, seriesOf("d", "m"), q), got); diff != "" {
						t.Fatalf("answer differs (-events +got):\n%s", diff)
					}
				}
			}
			ask()
			if n := query[int](t, pool, "SELECT count(*) FROM event_hour"); n != 0 {
				t.Errorf("the migration made %d hours: that is the roll-up's", n)
			}
			if done, err := pool.RefreshRollup(t.Context()); err != nil || done.Behind {
				t.Fatalf("%+v, %v", done, err)
			}
			if n := wantRolledUp(t, pool); n < 6 {
				t.Errorf("%d hours, want 6", n)
			}
			ask()
		})
	}
}

// TestOlderRollupIsRefused: what an earlier version does to stale hours would leave the
// table of hours wrong.
func TestOlderRollupIsRefused(t *testing.T) {
	pool := migrated(t, FlavourDetect)
	write(t, NewWriter(pool, WriterConfig{}), Outcome{Stored: 1}, batchOf("g", reading("d", "m", telemetry.MicrosOf(time.Now().Add(-2*time.Hour)), 1)))
	if _, err := pool.pgx.Exec(t.Context(), "DELETE FROM rollup_stale"); !hasState(err, insufficientPrivilege) {
		t.Errorf("error = %v, want it refused", err)
	}
	if n := query[int](t, pool, "SELECT count(*) FROM rollup_stale"); n != 1 {
		t.Errorf("%d stale hours, want 1", n)
	}
}

func withConnection(t *testing.T, pool *Pool, f func(context.Context, *pgx.Conn) error) {
	t.Helper()
	if err := pool.do(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}
