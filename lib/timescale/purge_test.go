package timescale

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

func removal() trail.Entry {
	return trail.Entry{Time: telemetry.MicrosOf(time.Now()), Actor: "ada", Action: "device.remove", Object: "x", Site: "plant-1"}
}

// TestRemovedNames deletes a device and a metric: both are gone at once, and so are their
// readings after the purge; a new one of the same name has its own.
func TestRemovedNames(t *testing.T) {
	for _, flavour := range flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			pool := migrated(t, flavour)
			now := time.Now()
			pool.config.Now = func() time.Time { return now }
			w := NewWriter(pool, WriterConfig{DevicesPerGateway: 2, MetricsPerGateway: 2})
			at := telemetry.MicrosOf(now.Add(-3 * time.Hour))
			conflict := batchOf("g", reading("device-0", "metric-0", at, -1))
			if _, err := w.Write(t.Context(), []*telemetry.Batch{grid("g", 2, 2, 50, at), conflict}); err != nil {
				t.Fatal(err)
			}
			if _, err := pool.RefreshRollup(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, _, err := pool.AddAnomalies(t.Context(), []directory.Anomaly{{
				Gateway: "g", Device: "device-0", Metric: "metric-1", Time: at, Kind: directory.ByScore, Severity: directory.Warning,
			}}); err != nil {
				t.Fatal(err)
			}
			if err := pool.RemoveDevice(t.Context(), "plant-1", "g", "device-0", 7, removal()); !errors.Is(err, directory.ErrVersion) {
				t.Errorf("another version: got %v, want ErrVersion", err)
			}
			for _, site := range []telemetry.SiteID{"plant-1", "plant-1", "plant-2"} {
				err := pool.RemoveDevice(t.Context(), site, "g", "device-0", 0, removal())
				if err != nil && !errors.Is(err, telemetry.ErrNotFound) {
					t.Errorf("%s: got %v", site, err)
				}
			}
			if got := query[int](t, pool, "SELECT count(*)::int FROM trail_pending"); got != 1 {
				t.Errorf("the trail has %d entries, want that of the one deletion", got)
			}
			if err := pool.RemoveMetric(t.Context(), "plant-1", "g", "metric-1", 1, removal()); err != nil {
				t.Fatal(err)
			}
			if got := query[int](t, pool, "SELECT count(*)::int FROM reading"); got != 50 {
				t.Errorf("%d readings are visible, want those of device-1 and metric-0", got)
			}
			_, err := pool.Points(t.Context(), seriesOf("device-0", "metric-0"), readings.PointQuery{})
			if !errors.Is(err, telemetry.ErrNotFound) {
				t.Errorf("readings of a deleted device: %v", err)
			}
			// A writer that has the old id in its cache, and one a second later: a new device.
			late := reading("device-0", "metric-0", at+1, 5)
			write(t, w, Outcome{Stored: 1}, batchOf("g", late))
			now = now.Add(forgetAfter)
			write(t, w, Outcome{Stored: 1, Crowded: []telemetry.GatewayID{"g"}}, batchOf("g", late))

			done, err := pool.PurgeDeleted(t.Context())
			if err != nil || done.Series != 3 || done.Incomplete {
				t.Errorf("got %+v, %v, want three series", done, err)
			}
			for table, want := range map[string]int{
				"event": 51, "conflict": 0, "conflict_hour": 0, "series": 2, "anomaly": 0, "deleted_name": 2, "event_hour": 1,
			} {
				if got := query[int](t, pool, "SELECT count(*)::int FROM "+table); got != want {
					t.Errorf("%s has %d rows, want %d", table, got, want)
				}
			}
			points, err := pool.Points(t.Context(), seriesOf("device-0", "metric-0"), readings.PointQuery{
				Range: readings.Range{From: 0, To: telemetry.MicrosOf(now)}, Qualities: everyQuality, Limit: 10,
			})
			if err != nil || len(points.Times) != 1 || points.Values[0] != 5 {
				t.Errorf("the new device has %+v, %v, want one reading", points, err)
			}
			// The ids are remembered until no writer can know them.
			execute(t, pool, "UPDATE deleted_name SET deleted_at = now() - interval '61 minutes'")
			if done, err := pool.PurgeDeleted(t.Context()); err != nil || done.Rows != 0 {
				t.Errorf("got %+v, %v", done, err)
			}
			if got := query[int](t, pool, "SELECT count(*)::int FROM deleted_name"); got != 0 {
				t.Errorf("%d ids are remembered, want none", got)
			}
		})
	}
}

// TestPurgesInSteps: a series with more rows than one transaction deletes.
func TestPurgesInSteps(t *testing.T) {
	pool := migrated(t, FlavourDetect)
	w := NewWriter(pool, WriterConfig{})
	write(t, w, Outcome{Stored: 2}, batchOf("g", reading("d", "m", noon, 1), reading("e", "m", noon, 1)))
	execute(t, pool, `INSERT INTO event (time, device_id, metric_id, value, quality)
		SELECT timestamptz '2026-01-01' + n * interval '1 minute', d.id, m.id, 0, 0
		FROM generate_series(1, 45000) n, device d, metric m WHERE d.name = 'd'`)
	if err := pool.RemoveDevice(t.Context(), "plant-1", "g", "d", 0, removal()); err != nil {
		t.Fatal(err)
	}
	if done, err := pool.PurgeDeleted(t.Context()); err != nil || done.Rows != 45001 || done.Series != 1 {
		t.Errorf("got %+v, %v, want all rows", done, err)
	}
	if got := query[int](t, pool, "SELECT count(*)::int FROM event"); got != 1 {
		t.Errorf("%d events are left, want that of the other device", got)
	}
}

// TestConflictsAreListedAndCounted: a source clock that stands still.
func TestConflictsAreListedAndCounted(t *testing.T) {
	for _, flavour := range flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			pool := migrated(t, flavour)
			w := NewWriter(pool, WriterConfig{})
			stuck := func(device string, from, to int) *telemetry.Batch {
				b := batchOf("g")
				for v := from; v < to; v++ {
					b.Append(reading(device, "m", noon, float64(v)))
				}
				return b
			}
			none := reading("c", "m", noon, math.NaN())
			none.Quality = telemetry.Bad
			write(t, w, Outcome{Stored: 3}, stuck("a", 0, 1), stuck("b", 0, 1), batchOf("g", none))
			write(t, w, Outcome{Conflicts: 1300}, stuck("a", 1, 1301))
			write(t, w, Outcome{Conflicts: 4, Duplicates: 2}, stuck("a", 1298, 1301), stuck("b", 0, 2), batchOf("g", none))
			write(t, w, Outcome{Conflicts: 1}, stuck("c", 7, 8))
			write(t, w, Outcome{Conflicts: 1}, stuck("b", 2, 3))
			counts := func() []directory.ConflictCount {
				t.Helper()
				got, err := pool.ConflictCounts(t.Context(), directory.ConflictCountFilter{Site: "plant-1", Limit: 10})
				if err != nil {
					t.Fatal(err)
				}
				return got
			}
			want := []directory.ConflictCount{
				{Gateway: "g", Device: "a", Count: 1300, Metrics: []telemetry.MetricName{"m"}},
				{Gateway: "g", Device: "b", Count: 2, Metrics: []telemetry.MetricName{"m"}},
				{Gateway: "g", Device: "c", Count: 1, Metrics: []telemetry.MetricName{"m"}},
			}
			noTimes := cmpopts.IgnoreFields(directory.ConflictCount{}, "FirstSeen", "LastSeen")
			if diff := cmp.Diff(want, counts(), noTimes); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
			// The newest of a series stay.
			if pruned, err := pool.PruneConflicts(t.Context()); err != nil || pruned != 300 {
				t.Errorf("got %d pruned, %v, want 300", pruned, err)
			}
			if diff := cmp.Diff(want, counts(), noTimes); diff != "" {
				t.Errorf("counts after the pruning (-want +got):\n%s", diff)
			}
			var values []string
			f := directory.ConflictFilter{Site: "plant-1", From: noon.Time(), To: (noon + 1).Time(), Limit: 2}
			for range 2 {
				page, err := pool.Conflicts(t.Context(), f)
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range page {
					values = append(values, fmt.Sprint(
						c.Device, c.Value, c.Quality, c.Time == noon, c.Stored, c.StoredValue, c.StoredQuality))
					f.Before = c.ID
				}
			}
			if diff := cmp.Diff([]string{
				"b2 good true true 0 good", "c7 good true true NaN bad", "b1 good true true 0 good", "a1300 good true true 0 good",
			}, values); diff != "" {
				t.Errorf("conflicts (-want +got):\n%s", diff)
			}
			for _, f := range []directory.ConflictFilter{
				{Site: "plant-2"},
				{Site: "plant-1", Device: "d"},
				{Site: "plant-1", To: noon.Time()},
				{Site: "plant-1", From: (noon + 1).Time()},
			} {
				f.Limit = 10
				if got, err := pool.Conflicts(t.Context(), f); err != nil || len(got) > 0 {
					t.Errorf("%+v: got %+v, %v, want none", f, got, err)
				}
			}
			// Both end.
			execute(t, pool, "UPDATE conflict SET seen_at = now() - interval '91 days'")
			execute(t, pool, "UPDATE conflict_hour SET hour = now() - interval '91 days'")
			if pruned, err := pool.PruneConflicts(t.Context()); err != nil || pruned != 1003+3 || len(counts()) > 0 {
				t.Errorf("got %d pruned, %v, want all", pruned, err)
			}
		})
	}
}

// TestReadingsWithoutAValue: they are stored and listed, and in no bucket.
func TestReadingsWithoutAValue(t *testing.T) {
	for _, flavour := range flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			pool := migrated(t, flavour)
			w := NewWriter(pool, WriterConfig{})
			start := telemetry.MicrosOf(time.Now().Add(-5 * time.Hour).Truncate(time.Hour))
			b := batchOf("g")
			for i := range 8 {
				e := reading("d", "m", start+telemetry.Micros(i)*1_000_000, float64(i))
				if i%2 == 1 {
					e.Quality = telemetry.Bad
				}
				if i > 4 {
					e.Value, e.Quality = math.NaN(), telemetry.Bad
				}
				b.Append(e)
			}
			write(t, w, Outcome{Stored: 8}, b)
			write(t, w, Outcome{Duplicates: 8}, b)
			if got := query[int](t, pool, "SELECT count(*)::int FROM reading WHERE value IS NULL AND quality = 'bad'"); got != 3 {
				t.Errorf("%d readings without a value, want 3", got)
			}
			check := func(when string) {
				t.Helper()
				whole := readings.Range{From: start, To: start + hourMicros}
				points, err := pool.Points(t.Context(), seriesOf("d", "m"), readings.PointQuery{
					Range: whole, Qualities: everyQuality, Limit: 10,
				})
				want := []float64{0, 1, 2, 3, 4, math.NaN(), math.NaN(), math.NaN()}
				if diff := cmp.Diff(want, points.Values, cmpopts.EquateNaNs()); err != nil || diff != "" {
					t.Errorf("%s: %v, points (-want +got):\n%s", when, err, diff)
				}
				for _, width := range []time.Duration{time.Second * 10, time.Minute, time.Hour} {
					buckets, err := pool.Buckets(t.Context(), seriesOf("d", "m"), readings.BucketQuery{
						Range: whole, Qualities: everyQuality, Width: width, Aggregates: readings.Aggregates(),
					})
					want := [][]float64{{0}, {4}, {2}, {10}, {5}, {0}, {4}} // min, max, mean, sum, count, first, last
					if diff := cmp.Diff(want, buckets.Columns); err != nil || diff != "" {
						t.Errorf("%s, %v: %v (-want +got):\n%s", when, width, err, diff)
					}
				}
			}
			check("from events")
			if _, err := pool.RefreshRollup(t.Context()); err != nil {
				t.Fatal(err)
			}
			check("rolled up")
		})
	}
}

// TestRemovedNamesTakeWhatIsTheirs: the KPI configuration and the alarm rules of a deleted
// device go with it, and the trail's entry says so; those of others stay.
func TestRemovedNamesTakeWhatIsTheirs(t *testing.T) {
	pool := migrated(t, FlavourDetect)
	w := NewWriter(pool, WriterConfig{})
	write(t, w, Outcome{Stored: 3}, batchOf("g",
		reading("press*", "m", noon, 1), reading("press-1", "m", noon, 1), reading("sql", "m", noon, 1)))
	execute(t, pool, `INSERT INTO device_kpi (gateway_pattern, device_pattern, exact, priority, state_metric) VALUES
		('g', 'press*', true, 1000, 'own'), ('g', 'press*', false, 100, 'many'), ('g', 'press-1', true, 1000, 'other'),
		('h', 'press*', true, 1000, 'elsewhere'), ('g', 'sql', false, 100, 'by hand'), ('*', 'sql', false, 100, 'all gateways')`)
	execute(t, pool, `INSERT INTO alarm_rule (site, gateway, device, metric, kind, high) VALUES
		('plant-1', 'g', 'press*', 'm', 'threshold', 1), ('plant-1', 'g', 'press*', 'n', 'threshold', 1),
		('plant-1', 'g', 'press-1', 'm', 'threshold', 1), ('plant-1', 'h', 'press*', 'm', 'threshold', 1),
		('plant-1', 'g', 'press-1', 'n', 'threshold', 1)`)
	configs := func() (out []string) {
		t.Helper()
		all, err := pool.KPIConfigs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range all[:len(all)-1] { // the last one is that of a new database
			out = append(out, string(c.StateMetric))
		}
		return out
	}
	detail := func() (d removedByName) {
		t.Helper()
		detail := query[string](t, pool, "SELECT detail FROM trail_pending ORDER BY id DESC LIMIT 1")
		if err := json.Unmarshal([]byte(detail), &d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	rules := func() int { t.Helper(); return query[int](t, pool, "SELECT count(*)::int FROM alarm_rule") }
	err := pool.RemoveDevice(t.Context(), "plant-1", "g", "press*", 2, removal())
	if !errors.Is(err, directory.ErrVersion) || rules() != 5 {
		t.Errorf("another version: got %v and %d rules, want ErrVersion and all", err, rules())
	}
	if err := pool.RemoveDevice(t.Context(), "plant-1", "g", "press*", 0, removal()); err != nil {
		t.Fatal(err)
	}
	var own struct {
		State   string `json:"state_metric"`
		Pattern string `json:"device_pattern"`
	}
	d := detail()
	if err := json.Unmarshal(d.KPIConfig, &own); err != nil || own.State != "own" || own.Pattern != "" ||
		len(d.AlarmRules) != 2 || rules() != 3 {
		t.Errorf("got %s, %v, rules %v of which %d are left", d.KPIConfig, err, d.AlarmRules, rules())
	}
	if diff := cmp.Diff([]string{"other", "elsewhere", "many", "by hand", "all gateways"}, configs(), sorted); diff != "" {
		t.Errorf("configurations (-want +got):\n%s", diff)
	}
	if err := pool.RemoveDevice(t.Context(), "plant-1", "g", "sql", 0, removal()); err != nil || len(detail().AlarmRules) != 0 {
		t.Errorf("got %v, detail %+v", err, detail())
	}
	if diff := cmp.Diff([]string{"other", "elsewhere", "many", "all gateways"}, configs(), sorted); diff != "" {
		t.Errorf("configurations after a row that was written with SQL (-want +got):\n%s", diff)
	}
	if err := pool.RemoveMetric(t.Context(), "plant-1", "g", "m", 0, removal()); err != nil {
		t.Fatal(err)
	}
	if d := detail(); d.KPIConfig != nil || len(d.AlarmRules) != 1 || rules() != 2 || len(configs()) != 4 {
		t.Errorf("metric: got %+v, %d rules, configurations %v", d, rules(), configs())
	}
}

// sorted compares lists of texts whatever their order.
var sorted = cmpopts.SortSlices(func(a, b string) bool { return a < b })

// TestKPIConfigsOfRevokedGateways: those of one device say that the gateway is revoked.
func TestKPIConfigsOfRevokedGateways(t *testing.T) {
	pool := migrated(t, FlavourDetect)
	execute(t, pool, "INSERT INTO gateway (name, site, site_since, revoked_at) VALUES ('g', 's', now(), now()), ('h', 's', now(), NULL)")
	execute(t, pool, `INSERT INTO device_kpi (gateway_pattern, device_pattern, exact, state_metric) VALUES
		('g', 'd', true, 'g/d'), ('g', 'e', false, 'g/e'), ('g', '*', false, 'g/*'), ('h', 'd', true, 'h/d'), ('i', 'd', true, 'i/d')`)
	all, err := pool.KPIConfigs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var revoked []string
	for _, c := range all {
		if c.Revoked {
			revoked = append(revoked, string(c.StateMetric))
		}
	}
	if diff := cmp.Diff([]string{"g/d", "g/e"}, revoked, sorted); diff != "" {
		t.Errorf("revoked (-want +got):\n%s", diff)
	}
}
