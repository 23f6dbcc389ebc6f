package timescale

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
)

// noon is 2026-11-23T12:00:00Z.
const noon telemetry.Micros = 1795435200_000_000

func batchOf(gateway telemetry.GatewayID, events ...telemetry.Event) *telemetry.Batch {
	b := &telemetry.Batch{Gateway: gateway, Site: "plant-1", Received: noon}
	for _, e := range events {
		b.Append(e)
	}
	return b
}

func reading(device, metric string, at telemetry.Micros, value float64) telemetry.Event {
	return telemetry.Event{Device: telemetry.DeviceName(device), Metric: telemetry.MetricName(metric), Time: at, Value: value}
}

// grid is a batch of devices × metrics × samples, one second apart.
func grid(gateway telemetry.GatewayID, devices, metrics, samples int, start telemetry.Micros) *telemetry.Batch {
	b := &telemetry.Batch{Gateway: gateway, Site: "plant-1", Received: noon}
	for s := range samples {
		for d := range devices {
			for m := range metrics {
				b.Append(reading(fmt.Sprintf("device-%d", d), fmt.Sprintf("metric-%d", m), start+telemetry.Micros(s)*1_000_000,
					float64(s*1000+d*10+m)))
			}
		}
	}
	return b
}

var ignoreCommitted = cmpopts.IgnoreFields(Outcome{}, "Committed")

func write(t *testing.T, w *Writer, want Outcome, batches ...*telemetry.Batch) {
	t.Helper()
	got, err := w.Write(t.Context(), batches)
	if err != nil {
		t.Fatal(err)
	}
	if got.Committed == 0 {
		t.Error("no commit time")
	}
	if diff := cmp.Diff(want, got, ignoreCommitted); diff != "" {
		t.Errorf("outcome differs (-want +got):\n%s", diff)
	}
}

func TestWriteStoresValues(t *testing.T) {
	for _, flavour := range flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			pool := migrated(t, flavour)
			w := NewWriter(pool, WriterConfig{})
			values := []float64{0, -1.5, 71.25, 1e-310, 1.7976931348623157e308, 0.1, math.Copysign(0, -1)}
			b := &telemetry.Batch{Gateway: "gw-1", Site: "plant-1", Received: noon}
			for i, v := range values {
				b.Append(telemetry.Event{
					Device: "press-ü", Metric: "temperature", Time: noon + telemetry.Micros(i), Value: v,
					Quality: telemetry.Quality(i % 3),
				})
			}
			b.Append(reading("press-ü", "temperature", -1, 4)) // before 1970
			write(t, w, Outcome{Stored: len(values) + 1}, b)
			for i, v := range values {
				got := query[string](t, pool, `SELECT concat_ws(' ', site, gateway, device, metric, value, quality) FROM reading
				WHERE time = timestamptz 'epoch' + $1 * interval '1 microsecond'`, int64(noon)+int64(i))
				want := fmt.Sprintf("plant-1 gw-1 press-ü temperature %s %s", query[string](t, pool, "SELECT $1::float8::text", v),
					telemetry.Quality(i%3))
				if got != want {
					t.Errorf("event %d: stored %q, want %q", i, got, want)
				}
			}
			if got := query[float64](t, pool, "SELECT value FROM event WHERE time < 'epoch'"); got != 4 {
				t.Errorf("event before 1970 = %v, want 4", got)
			}
		})
	}
}

func TestWriteDuplicatesAndConflicts(t *testing.T) {
	for _, flavour := range flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			pool := migrated(t, flavour)
			w := NewWriter(pool, WriterConfig{})
			first := reading("d", "m", noon, 1)
			write(t, w, Outcome{Stored: 1, Duplicates: 1, Conflicts: 1}, batchOf("g", first, first, reading("d", "m", noon, 2)))
			// All identities are stored: a conflict, a duplicate, the conflict again and the duplicate again.
			write(t, w, Outcome{Duplicates: 3, Conflicts: 1}, batchOf("g", reading("d", "m", noon, 3), first, reading("d", "m", noon, 3)),
				batchOf("g", first))
			// New identities together with a stored one.
			write(t, w, Outcome{Stored: 2, Duplicates: 1}, batchOf("g", reading("d", "m", noon-1, 1), first, reading("e", "m", noon, 1)))
			// Another quality is a conflict too.
			other := first
			other.Quality = telemetry.Bad
			write(t, w, Outcome{Conflicts: 1}, batchOf("g", other))

			if got := query[float64](t, pool, `SELECT value FROM event JOIN device ON device.id = device_id
				WHERE device.name = 'd' AND time = '2026-11-23T12:00:00Z'`); got != 1 {
				t.Errorf("stored value = %v, want the first", got)
			}
			const conflicts, want = "SELECT string_agg(value || '/' || quality, ' ' ORDER BY value, quality) FROM conflict", "1/2 2/0 3/0"
			if got := query[string](t, pool, conflicts); got != want {
				t.Errorf("got conflicts %q, want each once: %q", got, want)
			}
		})
	}
}

func TestWriteAcrossDays(t *testing.T) {
	for _, flavour := range flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			pool := migrated(t, flavour)
			w := NewWriter(pool, WriterConfig{})
			b := &telemetry.Batch{Gateway: "g", Site: "s"}
			for day := range 40 {
				b.Append(reading("d", "m", noon-telemetry.Micros(day)*86400_000_000, float64(day)))
			}
			write(t, w, Outcome{Stored: 40}, b)
			write(t, w, Outcome{Duplicates: 40}, b)
		})
	}
}

func TestWriteScopesNamesByGateway(t *testing.T) {
	pool := migrated(t, FlavourDetect)
	w := NewWriter(pool, WriterConfig{})
	write(t, w, Outcome{Stored: 2}, batchOf("g-1", reading("d", "m", noon, 1)), batchOf("g-2", reading("d", "m", noon, 2)))
	if got := query[int](t, pool, "SELECT count(DISTINCT device_id)::int FROM event"); got != 2 {
		t.Errorf("%d devices, want one of each gateway", got)
	}
}

func TestWriteMovesGatewayToItsSite(t *testing.T) {
	pool := migrated(t, FlavourDetect)
	w := NewWriter(pool, WriterConfig{})
	at := func(site telemetry.SiteID, received telemetry.Micros) *telemetry.Batch {
		b := batchOf("g", reading("d", "m", received, 1))
		b.Site, b.Received = site, received
		return b
	}
	for _, b := range []*telemetry.Batch{at("old", noon), at("new", noon+10), at("old", noon+5)} {
		write(t, w, Outcome{Stored: 1}, b)
	}
	if got := query[string](t, pool, "SELECT site FROM gateway"); got != "new" {
		t.Errorf("site = %q, want the one named last", got)
	}
}

func TestWriteLimitsNames(t *testing.T) {
	pool := migrated(t, FlavourDetect)
	w := NewWriter(pool, WriterConfig{DevicesPerGateway: 3, MetricsPerGateway: 2})
	write(t, w, Outcome{Stored: 6, Crowded: []telemetry.GatewayID{"g"}}, grid("g", 3, 2, 1, noon))
	// One known and one new name: the known one is stored, wherever the new one is.
	for kind, c := range map[string]struct {
		event  telemetry.Event
		reason string
	}{
		"metric": {reading("device-0", "new", noon+1, 1), `metric "new" is new, and the gateway has its 2 metrics already`},
		"device": {reading("new", "metric-0", noon+1, 1), `device "new" is new, and the gateway has its 3 devices already`},
	} {
		for i := range 2 {
			events := []telemetry.Event{
				reading("device-0", "metric-1", noon+2+telemetry.Micros(i), 1),
				reading("device-1", "metric-0", noon+2+telemetry.Micros(i), 1),
			}
			want := Outcome{Stored: 2, Rejected: []telemetry.RejectedEvent{{Batch: 1, Event: 1 - i, Reason: c.reason}}}
			if kind == "device" {
				want.Stored, want.Duplicates = 0, 2
			}
			events = slices.Insert(events, 1-i, c.event)
			got, err := w.Write(t.Context(), []*telemetry.Batch{
				batchOf("other", reading("d", "m", noon+telemetry.Micros(i), 1)), batchOf("g", events...),
			})
			if err != nil {
				t.Fatal(err)
			}
			if got.Rejected = slices.Clip(got.Rejected); got.Stored+got.Duplicates != 3 {
				t.Errorf("%s: got %+v, want the others stored", kind, got)
			}
			if diff := cmp.Diff(want.Rejected, got.Rejected); diff != "" {
				t.Errorf("%s: rejected (-want +got):\n%s", kind, diff)
			}
		}
	}
	if got := query[int](t, pool, "SELECT count(*)::int FROM device WHERE name IN ('d', 'new')"); got != 1 {
		t.Errorf("%d devices, want d of the other gateway", got)
	}
	// New names that are more than there is room for: the first of them by name.
	got, err := w.Write(t.Context(), []*telemetry.Batch{grid("h", 5, 1, 2, noon)})
	if err != nil || got.Stored != 6 || len(got.Rejected) != 4 {
		t.Errorf("got %+v, %v, want 3 of 5 devices stored", got, err)
	}
	pgtest.Exec(t, pool.config.DSN, "DELETE FROM device WHERE gateway_id IN (SELECT id FROM gateway WHERE name IN ('h', 'other'))")
	pgtest.Exec(t, pool.config.DSN, "DELETE FROM metric WHERE gateway_id IN (SELECT id FROM gateway WHERE name IN ('h', 'other'))")
	if got := query[int](t, pool, "SELECT (SELECT count(*) FROM device)::int * 10 + (SELECT count(*) FROM metric)::int"); got != 32 {
		t.Errorf("devices and metrics = %d, want 3 and 2", got)
	}
	write(t, w, Outcome{Stored: 4, Crowded: []telemetry.GatewayID{"i"}}, grid("i", 2, 2, 1, noon))
}

func TestWriteRejectsWhatPostgresCannotStore(t *testing.T) {
	pool := migrated(t, FlavourDetect)
	w := NewWriter(pool, WriterConfig{})
	good := reading("d", "m", noon, 1)
	for name, bad := range map[string]telemetry.Event{
		"time":       reading("d", "m", oldestTime-1, 1),
		"NUL":        reading("d\x00", "m", noon, 1),
		"not UTF-8":  reading("d", "m\xff", noon, 1),
		"far future": reading("d", "m", 1<<63-1, 1),
		"year 10000": reading("d", "m", newestTime+1, 1),
	} {
		good.Time++
		got, err := w.Write(t.Context(), []*telemetry.Batch{batchOf("g", bad, good)})
		if err != nil || got.Stored != 1 || len(got.Rejected) != 1 || got.Rejected[0].Event != 0 {
			t.Errorf("%s: got %+v, %v; want the other event stored", name, got, err)
		}
	}
	write(t, w, Outcome{Stored: 2}, batchOf("g", reading("d", "m", oldestTime, 1), reading("d", "m", newestTime, 1)))
	if _, err := w.Write(t.Context(), []*telemetry.Batch{batchOf("g\x00", good)}); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("gateway: %v, want ErrInvalid", err)
	}
	write(t, w, Outcome{}, batchOf("g"))
	write(t, w, Outcome{})
}

func TestWriteForgetsNamesOfAnotherDatabase(t *testing.T) {
	pool := migrated(t, FlavourDetect)
	w := NewWriter(pool, WriterConfig{})
	write(t, w, Outcome{Stored: 2}, batchOf("g", reading("a", "m", noon, 1), reading("b", "m", noon, 1)))

	// The tables are emptied and all connections are lost, as when a database is restored.
	pgtest.Exec(t, pool.config.DSN, "TRUNCATE gateway, device, metric, event RESTART IDENTITY CASCADE")
	pgtest.Exec(t, pool.config.DSN, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'insighthub'`)

	write(t, w, Outcome{Stored: 1}, batchOf("g", reading("b", "m", noon, 7)))
	if got := query[string](t, pool, "SELECT device || value FROM reading"); got != "b7" {
		t.Errorf("reading = %q, want b7", got)
	}
}

func TestConcurrentWritesStoreEachEventOnce(t *testing.T) {
	for _, flavour := range flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			pool := migrated(t, flavour)
			const writers, rounds = 6, 8
			var wg sync.WaitGroup
			outcomes := make([]Outcome, writers)
			for i := range writers {
				// Each writer has its own cache, as execution environments have.
				w := NewWriter(pool, WriterConfig{})
				wg.Go(func() {
					for round := range rounds {
						// All write the same rows, in two orders of the batches.
						batches := []*telemetry.Batch{
							grid("g-1", 4, 3, 20, noon+telemetry.Micros(round)*10_000_000),
							grid("g-2", 4, 3, 20, noon+telemetry.Micros(round)*10_000_000),
						}
						if i%2 == 1 {
							batches[0], batches[1] = batches[1], batches[0]
						}
						o, err := w.Write(t.Context(), batches)
						if err != nil {
							t.Error(err)
							return
						}
						outcomes[i].Stored += o.Stored
						outcomes[i].Conflicts += o.Conflicts
					}
				})
			}
			wg.Wait()
			// Rounds overlap by half: times 0..19, 10..29, … seconds; the values differ there.
			const want = 2 * 4 * 3 * (10*rounds + 10)
			if got := query[int](t, pool, "SELECT count(*)::int FROM event"); got != want {
				t.Errorf("%d rows, want %d", got, want)
			}
			stored := 0
			for _, o := range outcomes {
				stored += o.Stored
			}
			if stored != want {
				t.Errorf("the writers report %d stored rows, want %d", stored, want)
			}
			if got := query[int](t, pool, "SELECT count(*)::int FROM device"); got != 8 {
				t.Errorf("%d devices, want 8", got)
			}
		})
	}
}
