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

// licensed is a pool on a TimescaleDB with the Timescale licence, in WebAssembly: one
// connection, no COPY, and no scheduler, so that policies are there and never run.
func licensed(tb testing.TB) *Pool {
	tb.Helper()
	folder := filepath.Join("testdata", "pglite")
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "@electric-sql", "pglite")); err != nil {
		const message = "lib/timescale/testdata/pglite is not installed: make tools, or npm ci there"
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
		tb.Fatalf("the database said %q: %v", line, err)
	}
	pool, err := Open(tb.Context(), PoolConfig{
		DSN: fmt.Sprintf("postgres://postgres:postgres@127.0.0.1:%d/template1?sslmode=disable", port), MaxConnections: 1, StatementTimeout: 5 * time.Minute,
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(pool.Close)
	return pool
}

func run(tb testing.TB, pool *Pool, statement string, arguments ...any) {
	tb.Helper()
	if _, err := pool.pgx.Exec(tb.Context(), statement, arguments...); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
}

// policies lists what is scheduled: procedure, table, and after how many days.
func policies(tb testing.TB, pool *Pool) string {
	tb.Helper()
	return query[string](tb, pool, `SELECT coalesce(string_agg(format('%s %s %s%s', proc_name, hypertable_name,
			(extract(epoch FROM coalesce(config->>'drop_after', config->>'compress_after')::interval) / 86400)::int, CASE WHEN scheduled THEN '' ELSE ' rests' END), ', ' ORDER BY proc_name, hypertable_name), '')
		FROM timescaledb_information.jobs WHERE hypertable_name LIKE 'event%'`)
}

const columnstorePolicies = "policy_compression event 7, policy_compression event_hour 7, policy_compression event_minute 7"

// fillSQL stores an event each 10 minutes of some days, the last of which is yesterday, as
// the writer would: there is no COPY here. All of it is late.
func fillSQL(tb testing.TB, pool *Pool, days int) {
	tb.Helper()
	run(tb, pool, "INSERT INTO gateway (name, site, site_since) VALUES ('g', 'plant-1', now())")
	run(tb, pool, "INSERT INTO device (gateway_id, name) SELECT id, 'd' FROM gateway")
	run(tb, pool, "INSERT INTO metric (gateway_id, name) SELECT id, 'm' FROM gateway")
	run(tb, pool, "INSERT INTO series SELECT d.id, m.id FROM device d, metric m")
	run(tb, pool, `INSERT INTO event (time, device_id, metric_id, value, quality)
		SELECT t, d.id, m.id, extract(day FROM t), extract(hour FROM t)::int % 3
		FROM device d, metric m, generate_series(date_bin('1 day', now(), 'epoch') - make_interval(days => $1), date_bin('1 day', now(), 'epoch') - interval '1 second', interval '10 minutes') AS t`, days)
	run(tb, pool, "INSERT INTO rollup_stale SELECT DISTINCT device_id, metric_id, date_bin('1 hour', time, 'epoch') FROM event")
}

// TestTimescaleLicence takes the whole way with that licence: the migrations, the roll-up
// over chunks that are columnar, late events for them, and retention by policies.
func TestTimescaleLicence(t *testing.T) {
	t.Parallel()
	pool := licensed(t)
	first, err := Migrate(t.Context(), pool, FlavourDetect)
	if err != nil || first.Licence != LicenceTimescale || first.Flavour != FlavourTimescale {
		t.Fatalf("%+v, %v", first, err)
	}
	if again, err := Migrate(t.Context(), pool, FlavourDetect); err != nil || again.Applied != 0 {
		t.Errorf("the second time: %+v, %v", again, err)
	}
	if got := policies(t, pool); got != columnstorePolicies {
		t.Errorf("policies %s", got)
	}
	fillSQL(t, pool, 60)
	refresh(t, pool)
	if n := wantRolledUp(t, pool); n != 60*24 {
		t.Errorf("%d hours, want 1440", n)
	}
	// All that there are: a year's hours may not be over.
	for table, least := range map[string]int{"event": 60, "event_minute": 2, "event_hour": 1} {
		if n := query[int](t, pool, "SELECT count(*) FROM (SELECT compress_chunk(c) FROM show_chunks($1::regclass) AS c) AS done", table); n < least {
			t.Errorf("%d chunks of %s became columnar, want %d", n, table, least)
		}
	}
	// Late events for columnar chunks, one of them for an identity that is there.
	at := telemetry.MicrosOf(query[time.Time](t, pool, "SELECT date_bin('1 day', now(), 'epoch') - interval '40 days'"))
	run(t, pool, `INSERT INTO event SELECT t, device_id, metric_id, 1000, 0 FROM series, unnest($1::timestamptz[]) AS t ON CONFLICT DO NOTHING`,
		[]time.Time{at.Time(), (at + 1).Time(), (at + minuteMicros).Time()})
	run(t, pool, "INSERT INTO rollup_stale SELECT device_id, metric_id, $1 FROM series", at.Time())
	q := readings.BucketQuery{Range: readings.Range{From: at - 50*hourMicros, To: at + 50*hourMicros + 1}, Width: time.Hour, Qualities: everyQuality, Aggregates: readings.Aggregates()}
	for range 2 { // stale, and made again
		got, err := pool.Buckets(t.Context(), seriesOf("d", "m"), q)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(bucketsOfEvents(t, pool, seriesOf("d", "m"), q), got); diff != "" {
			t.Errorf("answer differs (-events +got):\n%s", diff)
		}
		refresh(t, pool)
	}
	wantRolledUp(t, pool)
	if n := query[int](t, pool, "SELECT max(count) FROM event_hour"); n != 8 {
		t.Errorf("%d events in the fullest hour, want 8", n)
	}
}

// TestRetentionPolicies: with the licence the policies are as configured, rest while
// minutes are missing, and what they do, when they run, is what was settled.
func TestRetentionPolicies(t *testing.T) {
	t.Parallel()
	pool := licensed(t)
	if _, err := Migrate(t.Context(), pool, FlavourDetect); err != nil {
		t.Fatal(err)
	}
	fillSQL(t, pool, 50)
	want := func(r Retention, retention string) Retained {
		t.Helper()
		done := applied(t, pool, r)
		if got := policies(t, pool); got != columnstorePolicies+retention {
			t.Errorf("%+v: policies %s, want also%s", r, got, retention)
		}
		return done
	}
	want(Retention{}, "")
	// The events that are due have no minutes yet.
	want(Retention{EventDays: 30, MinuteDays: 730}, ", policy_retention event 31 rests, policy_retention event_minute 731")
	refresh(t, pool)
	done := want(Retention{EventDays: 30, MinuteDays: 730}, ", policy_retention event 31, policy_retention event_minute 731")
	// Nobody schedules here.
	run(t, pool, fmt.Sprintf("CALL run_job(%d)", query[int](t, pool, "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention' AND hypertable_name = 'event'")))
	if oldest := query[time.Time](t, pool, "SELECT min(time) FROM event"); done.EventsSince.Sub(oldest) != 24*time.Hour {
		t.Errorf("events from %v on, settled from %v", oldest, done.EventsSince)
	}
	if n := query[int](t, pool, "SELECT count(*) FROM event_hour"); n != 50*24 {
		t.Errorf("%d hours, want 1200", n)
	}
	want(Retention{EventDays: 40, MinuteDays: 40, HourDays: 3653}, ", policy_retention event 41, policy_retention event_hour 3654, policy_retention event_minute 41")
	want(Retention{EventDays: 40}, ", policy_retention event 41")
}
