package timescale

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// licensed returns a pool on a TimescaleDB with the Timescale licence, in WebAssembly: one
// connection, no COPY, and no scheduler, so that policies exist and never run.
func licensed(tb testing.TB) *Pool {
	tb.Helper()
	folder := filepath.Join("testdata", "pglite")
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "@electric-sql", "pglite")); err != nil {
		const message = "lib/timescale/testdata/pglite is not installed: run make tools, or npm ci in that folder"
		if os.Getenv("CI") == "true" || os.Getenv("INSIGHTHUB_TEST_REQUIRED") == "1" {
			tb.Fatal(message)
		}
		tb.Skip(message)
	}
	server := exec.CommandContext(tb.Context(), "node", "serve.mjs")
	server.Dir, server.Stderr = folder, tb.Output()
	in, err := server.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := server.Start(); err != nil {
		tb.Fatalf("node: %v", err)
	}
	tb.Cleanup(func() {
		_ = in.Close()
		_ = server.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	port, portErr := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || portErr != nil {
		tb.Fatalf("node printed %q, want a port: %v", line, err)
	}
	pool, err := Open(tb.Context(), PoolConfig{
		DSN:            fmt.Sprintf("postgres://postgres:postgres@127.0.0.1:%d/template1?sslmode=disable", port),
		MaxConnections: 1, StatementTimeout: 5 * time.Minute,
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(pool.Close)
	return pool
}

// policies lists the policies: procedure, table, and after how many days.
func policies(tb testing.TB, pool *Pool) string {
	tb.Helper()
	return query[string](tb, pool, `SELECT coalesce(string_agg(format('%s %s %s%s', proc_name, hypertable_name,
			(extract(epoch FROM coalesce(config->>'drop_after', config->>'compress_after')::interval) / 86400)::int,
				CASE WHEN scheduled THEN '' ELSE ' paused' END), ', ' ORDER BY proc_name, hypertable_name), '')
		FROM timescaledb_information.jobs WHERE hypertable_name LIKE 'event%'`)
}

const columnstorePolicies = "policy_compression event 7, policy_compression event_hour 7, policy_compression event_minute 7"

// insertEvents inserts an event each 10 minutes of some days until yesterday, as late
// events, in place of the writer: this server has no COPY.
func insertEvents(tb testing.TB, pool *Pool, days int) {
	tb.Helper()
	execute(tb, pool, "INSERT INTO gateway (name, site, site_since) VALUES ('g', 'plant-1', now())")
	execute(tb, pool, "INSERT INTO device (gateway_id, name) SELECT id, 'd' FROM gateway")
	execute(tb, pool, "INSERT INTO metric (gateway_id, name) SELECT id, 'm' FROM gateway")
	execute(tb, pool, "INSERT INTO series SELECT d.id, m.id FROM device d, metric m")
	execute(tb, pool, `INSERT INTO event (time, device_id, metric_id, value, quality)
		SELECT t, d.id, m.id, extract(day FROM t), extract(hour FROM t)::int % 3
		FROM device d, metric m, generate_series(date_bin('1 day', now(), 'epoch') - make_interval(days => $1), date_bin('1 day', now(),
			'epoch') - interval '1 second', interval '10 minutes') AS t`, days)
	execute(tb, pool, "INSERT INTO rollup_stale SELECT DISTINCT device_id, metric_id, date_bin('1 hour', time, 'epoch') FROM event")
}

// TestTimescaleLicence tests with that licence: the migrations, the roll-up of columnar
// chunks, late events in them, and retention by policies.
func TestTimescaleLicence(t *testing.T) {
	t.Parallel()
	pool := licensed(t)
	first, err := Migrate(t.Context(), pool, FlavourDetect)
	if err != nil || first.Licence != LicenceTimescale || first.Flavour != FlavourTimescale {
		t.Fatalf("got %+v, %v; want the Timescale licence", first, err)
	}
	if again, err := Migrate(t.Context(), pool, FlavourDetect); err != nil || again.Applied != 0 {
		t.Errorf("second migration: got %+v, %v; want none applied", again, err)
	}
	if got := policies(t, pool); got != columnstorePolicies {
		t.Errorf("got policies %s, want %s", got, columnstorePolicies)
	}
	insertEvents(t, pool, 60)
	refresh(t, pool)
	if n := wantRolledUp(t, pool); n != 60*24 {
		t.Errorf("%d hours, want 1440", n)
	}
	// All chunks of these tables: there may be one of hours, which spans a year.
	for table, least := range map[string]int{"event": 60, "event_minute": 2, "event_hour": 1} {
		if n := query[int](t, pool, "SELECT count(*) FROM (SELECT compress_chunk(c) FROM show_chunks($1::regclass) AS c) AS done",
			table); n < least {
			t.Errorf("%d chunks of %s became columnar, want %d", n, table, least)
		}
	}
	// Late events in columnar chunks, one of them with a stored identity.
	at := telemetry.MicrosOf(query[time.Time](t, pool, "SELECT date_bin('1 day', now(), 'epoch') - interval '40 days'"))
	execute(t, pool, `INSERT INTO event SELECT t, device_id, metric_id, 1000, 0 FROM series, unnest($1::timestamptz[]) AS t
		ON CONFLICT DO NOTHING`,
		[]time.Time{at.Time(), (at + 1).Time(), (at + minuteMicros).Time()})
	execute(t, pool, "INSERT INTO rollup_stale SELECT device_id, metric_id, $1 FROM series", at.Time())
	q := readings.BucketQuery{
		Range: readings.Range{From: at - 50*hourMicros, To: at + 50*hourMicros + 1}, Width: time.Hour,
		Qualities: everyQuality, Aggregates: readings.Aggregates(),
	}
	for range 2 { // stale, and rebuilt
		got, err := pool.Buckets(t.Context(), seriesOf("d", "m"), q)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(bucketsOfEvents(t, pool, seriesOf("d", "m"), q), got); diff != "" {
			t.Errorf("buckets differ (-events +got):\n%s", diff)
		}
		refresh(t, pool)
	}
	wantRolledUp(t, pool)
	if n := query[int](t, pool, "SELECT max(count) FROM event_hour"); n != 8 {
		t.Errorf("%d events in the fullest hour, want 8", n)
	}
}

// TestRetentionPolicies: with the licence the policies are as configured, are paused while
// events are not rolled up, and drop what is before the start when they run.
func TestRetentionPolicies(t *testing.T) {
	t.Parallel()
	pool := licensed(t)
	if _, err := Migrate(t.Context(), pool, FlavourDetect); err != nil {
		t.Fatal(err)
	}
	insertEvents(t, pool, 50)
	want := func(r Retention, retention string) Retained {
		t.Helper()
		done := applied(t, pool, r)
		if got := policies(t, pool); got != columnstorePolicies+retention {
			t.Errorf("%+v: policies %s, want also%s", r, got, retention)
		}
		return done
	}
	want(Retention{}, "")
	// The events past the retention are not rolled up yet.
	want(Retention{EventDays: 30, MinuteDays: 730}, ", policy_retention event 31 paused, policy_retention event_minute 731")
	refresh(t, pool)
	done := want(Retention{EventDays: 30, MinuteDays: 730}, ", policy_retention event 31, policy_retention event_minute 731")
	// There is no scheduler.
	execute(t, pool, fmt.Sprintf("CALL run_job(%d)", query[int](t, pool,
		"SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention' AND hypertable_name = 'event'")))
	if oldest := query[time.Time](t, pool, "SELECT min(time) FROM event"); done.EventsSince.Sub(oldest) != 24*time.Hour {
		t.Errorf("got events from %v on, want the start %v", oldest, done.EventsSince)
	}
	if n := query[int](t, pool, "SELECT count(*) FROM event_hour"); n != 50*24 {
		t.Errorf("%d hours, want 1200", n)
	}
	want(Retention{EventDays: 40, MinuteDays: 40, HourDays: 3653},
		", policy_retention event 41, policy_retention event_hour 3654, policy_retention event_minute 41")
	want(Retention{EventDays: 40}, ", policy_retention event 41")
}
