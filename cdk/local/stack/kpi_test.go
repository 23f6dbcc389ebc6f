package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
	"github.com/insighthub/insighthub/loadtest/kpicheck"
)

// windowLength is that of the test's assembly.
const windowLength = time.Second

// leastWindows is the least number of windows of each gateway that are compared.
const leastWindows = 12

// TestKPIsMatchTheDatabase: even if processes are killed, each KPI of each closed window has
// the value that the database computes for the window, to the microsecond.
func TestKPIsMatchTheDatabase(t *testing.T) {
	t.Parallel()
	p := build(t)
	cfg := Config{State: t.TempDir(), Database: pgtest.NewDatabase(t), Functions: p.functions, Assembly: measuredAssembly(t)}
	serveAPI(t, cfg.Assembly)
	scheduleAudit(t, cfg.Assembly)
	s := startTest(t, cfg)

	walkThrough(t, cfg.State)
	auditIt(t, s, cfg)
	// The load continues until the killed processes were restarted, and the checks below have seen
	// what they need: on a slow machine that takes long.
	loading, end := context.WithCancel(t.Context())
	defer end()
	var load sync.WaitGroup
	load.Go(func() { simulate(loading, t, p, cfg) })
	load.Go(func() { rough(loading, t, s, newGateway(t, s, "rough")) })
	killBridgeAndPrometheus(t, s)
	fleetIsDescribed(t, s, "fleet-003")
	gateways := []string{"fleet-001", "fleet-002", "fleet-003", "rough"}
	everyWindow(t, cfg, gateways, 0, leastWindows)

	odd := newWatched(t, s, "odd", "lathe-1", 1, time.Now().Add(-leastSamples*watchedEvery))
	for range 8 {
		odd.post(t, s, leastSamples/8)
	}
	everyPanelShows(t, s, "lathe-1")
	functionsMeasure(t, s)
	end()
	load.Wait()
	last := time.Now().Unix() + 1
	closeWindows(t, s, gateways, last)

	want, got := bothSides(t, s, gateways, last)
	same(t, want, got)
	duplicates, compared := 0.0, make(map[string]int)
	for f, value := range got {
		if f.Name == "window_duplicate_events" {
			duplicates += value
		}
		compared[f.Name]++
	}
	if duplicates == 0 {
		t.Error("got no duplicate events, want some")
	}
	for _, name := range []string{
		"window_events", "freshness_seconds", "window_bad_quality_events", "series_last", "window_down_seconds",
		"window_produced", "window_failures",
	} {
		if compared[name] < len(gateways)*leastWindows {
			t.Errorf("%s: compared %d samples, want at least %d", name, compared[name], len(gateways)*leastWindows)
		}
	}
}

// simulate runs a simulated fleet until ctx ends.
func simulate(ctx context.Context, t *testing.T, p built, cfg Config) {
	t.Helper()
	fleet := exec.CommandContext(ctx, p.loadtest, "simulate", "-state", cfg.State, "-prefix", "fleet",
		"-gateways", "3", "-machines", "3", "-samples", "2", "-rate", "300", "-quiet")
	fleet.Cancel = func() error { return fleet.Process.Signal(os.Interrupt) }
	if out, err := fleet.CombinedOutput(); !errors.Is(err, context.Canceled) {
		t.Errorf("simulated fleet: %v\n%s", err, out)
	}
}

// killBridgeAndPrometheus kills the bridge, Prometheus, and the bridge a second time, each
// time after the bridge's new processes have exported metrics.
func killBridgeAndPrometheus(t *testing.T, s *Stack) {
	t.Helper()
	instances := 0
	awaitInstance := func() {
		t.Helper()
		eventually.True(t, "metrics of a new process of the bridge", func() bool {
			all, err := query(t.Context(), s.Info().Prometheus,
				`count by (instance) (last_over_time(insighthub_invocations_total{function="bridge"}[1h]))`)
			if err != nil || len(all) <= instances {
				return false
			}
			instances = len(all)
			return true
		})
	}
	for _, victim := range []string{"bridge", "prometheus", "bridge"} {
		pids := []int{s.prometheus.pid()}
		if victim == "bridge" {
			awaitInstance()
			pids = program(t, s, "bridge").Stats().PIDs
		}
		time.Sleep(time.Second) // during an invocation, probably
		killed := 0
		for _, pid := range pids {
			if syscall.Kill(pid, syscall.SIGKILL) == nil {
				killed++
			}
		}
		if killed == 0 {
			t.Errorf("kill %s: none of the processes %v runs", victim, pids)
		}
	}
	awaitInstance()
}

// everyWindow waits until more than least windows of each gateway since a time (in seconds)
// have events in the database.
func everyWindow(t *testing.T, cfg Config, gateways []string, since int64, least int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), cfg.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, gateway := range gateways {
		eventually.True(t, fmt.Sprintf("%d windows of %s", least, gateway), func() bool {
			windows := 0
			const count = "SELECT count(DISTINCT date_trunc('second', time)) FROM reading " +
				"WHERE gateway = $1 AND time >= to_timestamp($2::bigint)"
			if err := conn.QueryRow(t.Context(), count, gateway, since).Scan(&windows); err != nil {
				t.Fatal(err)
			}
			return windows > least // the last one may be incomplete
		})
	}
}

// rough sends the events of a machine with an inaccurate clock and a bad connection: in any
// order within two seconds, in duplicate batches, with bad quality, with counter resets,
// and with states shorter than a window; until ctx ends.
func rough(ctx context.Context, t *testing.T, s *Stack, g gateway) {
	t.Helper()
	type event struct {
		Device  string  `json:"device"`
		Metric  string  `json:"metric"`
		Time    int64   `json:"time"`
		Value   float64 `json:"value"`
		Quality string  `json:"quality"`
	}
	random := rand.New(rand.NewPCG(7, 11))
	for k := 0; ctx.Err() == nil; k++ {
		var events []event
		for _, device := range []string{"lathe-1", "lathe-2"} {
			at := time.Now().Add(-time.Duration(random.IntN(2000)) * time.Millisecond).UnixMicro()
			quality := [...]string{"good", "good", "uncertain", "good", "bad"}[random.IntN(5)]
			// Four items a second of the events' own time, which is not that of their arrival; reset
			// each half minute. Both sides see a reset, not a dip, while there is no gap of ten seconds.
			count := float64(at % 30_000_000 / 250_000)
			for metric, value := range map[string]float64{
				"state": float64(random.IntN(4)), "cycle_count": count, "good_count": math.Floor(count / 2),
				"torque":      random.NormFloat64(),
				"temperature": 60, "vibration": 2, "pressure": 5, "motor_current": 11, "power": 7, // what a machine's dashboard shows
				"speed": 1400,
			} {
				events = append(events, event{device, metric, at, value, quality})
			}
		}
		raw, err := json.Marshal(map[string]any{"events": events})
		if err != nil {
			t.Error(err)
			return
		}
		for range 1 + k%2 { // every second batch twice
			if err := g.post(t.Context(), s.Info().HTTP, raw); err != nil {
				t.Error(err)
				return
			}
		}
		time.Sleep(60 * time.Millisecond)
	}
}

// lenient returns a template of the test's assembly whose bridge accepts events that are
// three times as late: on a slow machine a batch can take seconds.
func lenient(t *testing.T, template string) string {
	t.Helper()
	changed := regexp.MustCompile(`("LATENESS_SECONDS": ?)"10"`).ReplaceAllString(template, `$1"30"`)
	if changed == template {
		t.Fatal("the assembly has no bridge with LATENESS_SECONDS 10")
	}
	return changed
}

// closeWindows sends events that advance each shard's clock until all windows that end by
// then are exported.
func closeWindows(t *testing.T, s *Stack, names []string, until int64) {
	t.Helper()
	eventually.NoError(t, fmt.Sprintf("the windows until %d", until), func() error {
		for _, name := range names {
			batch := fmt.Appendf(nil, `{"events":[{"device":"clock","metric":"tick","time":%d,"value":1}]}`, time.Now().UnixMicro())
			if err := newGateway(t, s, name).post(t.Context(), s.Info().HTTP, batch); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(300 * time.Millisecond)
		newest, err := kpicheck.Newest(t.Context(), kpicheck.Server(s.Info().Prometheus), names)
		if err == nil && len(newest) != len(names) {
			err = fmt.Errorf("windows of %d gateways, want %d", len(newest), len(names))
		}
		for name, end := range newest {
			if end < until {
				err = fmt.Errorf("the newest window of %s ends at %d", name, end)
			}
		}
		return err
	})
	// The store has to process what it has, too.
	eventually.True(t, "an idle stream", s.Idle)
}

// bothSides returns the KPIs of all windows until then: as the database computes them, and
// as Prometheus stores them.
func bothSides(t *testing.T, s *Stack, gateways []string, until int64) (database, prometheus kpicheck.Samples) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.cfg.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if database, err = kpicheck.FromDatabase(t.Context(), conn, gateways, windowLength, until); err != nil {
		t.Fatal(err)
	}
	if prometheus, err = kpicheck.FromPrometheus(t.Context(), kpicheck.Server(s.Info().Prometheus), gateways, until); err != nil {
		t.Fatal(err)
	}
	return database, prometheus
}

// same reports the KPIs that differ.
func same(t *testing.T, database, prometheus kpicheck.Samples) {
	t.Helper()
	differences := kpicheck.Compare(database, prometheus)
	for _, d := range differences[:min(20, len(differences))] {
		t.Errorf("%s: %+v: Prometheus has %v, the database %v", d.Kind, d.Key, d.Prometheus, d.Database)
	}
	t.Logf("%d samples compared, %d differ", len(database), len(differences))
}
