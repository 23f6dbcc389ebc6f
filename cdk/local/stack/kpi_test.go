package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/loadtest/figures"
)

// windowLength is that of the test's assembly.
const windowLength = time.Second

// Whatever becomes of the processes on the way, each figure of each closed window is
// what the database makes of the same window: to the last count, and to the microsecond.
func TestFiguresAreThoseOfTheDatabase(t *testing.T) {
	t.Parallel()
	p := build(t)
	cfg := Config{State: t.TempDir(), Database: newDatabase(t), Functions: p.functions, Assembly: measuredAssembly(t)}
	serveAPI(t, cfg.Assembly)
	scheduleAudit(t, cfg.Assembly)
	s := startTest(t, cfg)

	walkThrough(t, cfg.State)
	auditIt(t, s, cfg)
	var load sync.WaitGroup
	load.Go(func() {
		out, err := exec.CommandContext(t.Context(), p.loadtest, "simulate", "-state", cfg.State, "-prefix", "fleet",
			"-gateways", "3", "-machines", "3", "-samples", "2", "-rate", "300", "-duration", "12s", "-quiet").CombinedOutput()
		if err != nil {
			t.Errorf("the fleet: %v\n%s", err, out)
		}
	})
	load.Go(func() { rough(t, s, newGateway(t, s, "rough"), 12*time.Second) })
	// Two deaths of the bridge and one of Prometheus.
	for _, victim := range []string{"bridge", "prometheus", "bridge"} {
		time.Sleep(3 * time.Second)
		pids := []int{s.prometheus.pid()}
		if victim == "bridge" {
			pids = program(t, s, "bridge").Stats().PIDs
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Errorf("kill %s: %v", victim, err)
			}
		}
	}
	load.Wait()
	fleetIsDescribed(t, s, "fleet-003")
	until := time.Now().Unix() + 1
	gateways := []string{"fleet-001", "fleet-002", "fleet-003", "rough"}
	closeWindows(t, s, gateways, until)

	odd := newWatched(t, s, "odd", "lathe-1", 1, time.Now().Add(-leastSamples*watchedEvery))
	for range 8 {
		odd.post(t, s, leastSamples/8)
	}
	everyPanelShows(t, s, "lathe-1")
	functionsMeasure(t, s)

	want, got := bothSides(t, s, gateways, until)
	same(t, want, got)
	duplicates, compared := 0.0, make(map[string]int)
	for f, value := range got {
		if f.Name == "window_duplicate_events" {
			duplicates += value
		}
		compared[f.Name]++
	}
	if duplicates == 0 {
		t.Error("no event came twice: nothing tested")
	}
	for _, name := range []string{"window_events", "freshness_seconds", "window_bad_quality_events", "series_last", "window_down_seconds", "window_produced", "window_failures"} {
		if compared[name] < 4*12 {
			t.Errorf("%d figures %s: too few to test anything", compared[name], name)
		}
	}
}

// rough sends what a machine with a bad clock and a bad line does: readings in any
// order within two seconds, batches twice, bad values, counters that start again, and
// changes of state that are shorter than a window.
func rough(t *testing.T, s *Stack, g gateway, length time.Duration) {
	t.Helper()
	type event struct {
		Device  string  `json:"device"`
		Metric  string  `json:"metric"`
		Time    int64   `json:"time"`
		Value   float64 `json:"value"`
		Quality string  `json:"quality"`
	}
	random := rand.New(rand.NewPCG(7, 11))
	start := time.Now()
	for k := 0; time.Since(start) < length; k++ {
		var events []event
		for _, device := range []string{"lathe-1", "lathe-2"} {
			at := time.Now().Add(-time.Duration(random.IntN(2000)) * time.Millisecond).UnixMicro()
			quality := [...]string{"good", "good", "uncertain", "good", "bad"}[random.IntN(5)]
			for metric, value := range map[string]float64{
				"state": float64(random.IntN(4)), "cycle_count": float64(k % 30), "good_count": float64(k % 30 / 2), "torque": random.NormFloat64(),
				"temperature": 60, "vibration": 2, "pressure": 5, "motor_current": 11, "power": 7, "speed": 1400, // what a machine's dashboard shows
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

// closeWindows moves each shard's clock on, until all windows that end by then are written.
func closeWindows(t *testing.T, s *Stack, names []string, until int64) {
	t.Helper()
	written := func() bool {
		newest, err := figures.Newest(t.Context(), figures.Server(s.Info().Prometheus), names)
		for _, end := range newest {
			if end < until {
				return false
			}
		}
		return err == nil && len(newest) == len(names)
	}
	for range 300 {
		for _, name := range names {
			batch := fmt.Appendf(nil, `{"events":[{"device":"clock","metric":"tick","time":%d,"value":1}]}`, time.Now().UnixMicro())
			if err := newGateway(t, s, name).post(t.Context(), s.Info().HTTP, batch); err != nil {
				t.Fatal(err)
			}
		}
		if written() {
			// The store, too, has to be done with what it has.
			for !s.Idle() {
				time.Sleep(20 * time.Millisecond)
			}
			return
		}
		time.Sleep(300 * time.Millisecond)
	}
	t.Fatalf("the windows until %d are not written", until)
}

// bothSides returns the figures of all windows until then: as the database makes them,
// and as Prometheus has them.
func bothSides(t *testing.T, s *Stack, gateways []string, until int64) (database, prometheus figures.Set) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.cfg.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if database, err = figures.FromDatabase(t.Context(), conn, gateways, windowLength, until); err != nil {
		t.Fatal(err)
	}
	if prometheus, err = figures.FromPrometheus(t.Context(), figures.Server(s.Info().Prometheus), gateways, until); err != nil {
		t.Fatal(err)
	}
	return database, prometheus
}

// same reports each figure that is not the same on both sides.
func same(t *testing.T, database, prometheus figures.Set) {
	t.Helper()
	differences := figures.Compare(database, prometheus)
	for _, d := range differences[:min(20, len(differences))] {
		t.Errorf("%s: %+v is %v, the database makes it %v", d.Kind, d.Figure, d.Prometheus, d.Database)
	}
	t.Logf("%d figures compared, %d differ", len(database), len(differences))
}
