package timescale

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// continuous is event_minute as a real-time continuous aggregate.
const continuous = `CREATE MATERIALIZED VIEW minute_view WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
	SELECT device_id, metric_id, time_bucket('1 minute', time) AS minute, quality, count(*) AS count, sum(value) AS sum, min(value) AS min,
		max(value) AS max,
		min(time) AS first_at, first(value, time) AS first, max(time) AS last_at, last(value, time) AS last
	FROM event GROUP BY 1, 2, 3, 4 WITH NO DATA`

// BenchmarkLicensed compares the table of minutes with a continuous aggregate: the first
// roll-up, the refresh after late events, and the cost of inserts. The server runs in
// WebAssembly: only the ratios are meaningful. 50 series, 4 hours, an event each 10 s.
func BenchmarkLicensed(b *testing.B) {
	pool := licensed(b)
	if _, err := Migrate(b.Context(), pool, FlavourDetect); err != nil {
		b.Fatal(err)
	}
	until := query[time.Time](b, pool, "SELECT date_bin('1 day', now(), 'epoch')")
	from := until.Add(-4 * time.Hour)
	for _, statement := range []string{
		"INSERT INTO gateway (name, site, site_since) VALUES ('g', 'plant-1', now())",
		"INSERT INTO device (gateway_id, name) SELECT g.id, 'd' || n FROM gateway g, generate_series(0, 4) AS n",
		"INSERT INTO metric (gateway_id, name) SELECT g.id, 'm' || n FROM gateway g, generate_series(0, 9) AS n",
		"INSERT INTO series SELECT d.id, m.id FROM device d, metric m",
	} {
		execute(b, pool, statement)
	}
	// shift keeps the identities of repetitions apart.
	insert := func(from, until time.Time, shift int) {
		execute(b, pool, `INSERT INTO event SELECT t + make_interval(secs => $3 / 1000.0), device_id, metric_id, 1, 0
			FROM series, generate_series($1::timestamptz, $2::timestamptz - interval '1 second',
				interval '10 seconds') AS t`, from, until, shift)
	}
	insert(from, until, 0)
	shift := 0
	late := func(marked bool, times ...time.Time) {
		shift++
		if err := pgx.BeginFunc(b.Context(), pool.pgx, func(tx pgx.Tx) error {
			for _, at := range times {
				if _, err := tx.Exec(b.Context(), `INSERT INTO event SELECT $1, device_id, metric_id, 1, 0
					FROM series ORDER BY 2, 3 LIMIT 1`, at.Add(time.Duration(shift)*time.Millisecond)); err != nil {
					return err
				}
				if !marked {
					continue
				}
				if _, err := tx.Exec(b.Context(), `INSERT INTO rollup_stale SELECT device_id, metric_id, $1
					FROM series ORDER BY 1, 2 LIMIT 1`, at.Truncate(time.Hour)); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	refresh := func() {
		if _, err := pool.RefreshRollup(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	view := func() {
		execute(b, pool, fmt.Sprintf("CALL refresh_continuous_aggregate('minute_view', '%s', '%s')",
			from.Format(time.RFC3339), until.Format(time.RFC3339)))
	}
	one, two := []time.Time{from.Add(time.Minute)}, []time.Time{from.Add(time.Minute), until.Add(-time.Minute)}
	measure := func(name string, before, step func()) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				before()
				b.StartTimer()
				step()
			}
		})
	}
	measure("make/table", func() {
		execute(b, pool, "DELETE FROM event_minute")
		execute(b, pool, "DELETE FROM event_hour")
		execute(b, pool, "UPDATE rollup_watermark SET watermark = $1, hour_watermark = $1", from)
	}, refresh)
	measure("late/table", func() { late(true, one...) }, refresh)
	measure("late twice/table", func() { late(true, two...) }, refresh)
	measure("insert/table", func() { shift++ }, func() { insert(from, from.Add(time.Hour), shift) })
	execute(b, pool, "DELETE FROM event WHERE date_bin('10 seconds', time, 'epoch') <> time")
	execute(b, pool, continuous)
	measure("make/view", func() {
		execute(b, pool, "DROP MATERIALIZED VIEW minute_view")
		execute(b, pool, continuous)
	}, view)
	measure("late/view", func() { late(false, one...) }, view)
	measure("late twice/view", func() { late(false, two...) }, view)
	measure("insert/view", func() { shift++ }, func() { insert(from, from.Add(time.Hour), shift) })
}

// TestContinuousAggregateMissesLateEvents shows why minutes are a table of this package
// even if the licence offers continuous aggregates: a query lacks late events until the
// next refresh.
func TestContinuousAggregateMissesLateEvents(t *testing.T) {
	t.Parallel()
	pool := licensed(t)
	if _, err := Migrate(t.Context(), pool, FlavourDetect); err != nil {
		t.Fatal(err)
	}
	insertEvents(t, pool, 2)
	refresh(t, pool)
	execute(t, pool, continuous)
	execute(t, pool, "CALL refresh_continuous_aggregate('minute_view', NULL, now()::timestamptz)")
	count := func() int { return query[int](t, pool, "SELECT sum(count)::int FROM minute_view") }
	if n := count(); n != 288 {
		t.Fatalf("%d events, want 288", n)
	}
	at := query[time.Time](t, pool, "SELECT date_bin('1 day', now(), 'epoch') - interval '1 day'").Add(time.Second)
	execute(t, pool, "INSERT INTO event SELECT $1, device_id, metric_id, 1000, 0 FROM series", at)
	execute(t, pool, "INSERT INTO rollup_stale SELECT device_id, metric_id, $1 FROM series", at.Truncate(time.Hour))
	if n := count(); n != 288 {
		t.Errorf("the view has %d events, want it to lack the late one", n)
	}
	execute(t, pool, "CALL refresh_continuous_aggregate('minute_view', NULL, now()::timestamptz)")
	if n := count(); n != 289 {
		t.Errorf("after the refresh the view has %d events, want 289", n)
	}
	// A refresh of a range whose events were dropped deletes its minutes too.
	execute(t, pool, "SELECT drop_chunks('event', older_than => $1::timestamptz)", at.Truncate(24*time.Hour).Add(24*time.Hour))
	execute(t, pool, "INSERT INTO event SELECT $1, device_id, metric_id, 1, 0 FROM series", at)
	execute(t, pool, "CALL refresh_continuous_aggregate('minute_view', NULL, now()::timestamptz)")
	if n := count(); n >= 289 {
		t.Errorf("the view has %d events, want it to have lost those of the dropped day", n)
	}
}
