package stack

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// recompute.sql is what Prometheus is compared with.
//
//go:embed testdata/recompute.sql
var recompute string

// figure is one figure of one window.
type figure struct {
	name, gateway, device, metric, reason string
	end                                   int64 // of the window, s
}

// Whatever becomes of the processes on the way, each figure of each closed window is
// what the database makes of the same window: to the last count, and to the microsecond.
func TestFiguresAreThoseOfTheDatabase(t *testing.T) {
	t.Parallel()
	p := build(t)
	cfg := Config{State: t.TempDir(), Database: newDatabase(t), Functions: p.functions}
	s := startTest(t, cfg)

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
	until := time.Now().Unix() + 1
	gateways := []string{"fleet-001", "fleet-002", "fleet-003", "rough"}
	closeWindows(t, s, gateways, until)

	conn, err := pgx.Connect(t.Context(), cfg.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	want := expected(t, conn, gateways, until)
	got := received(t, s, until)
	compare(t, want, got)
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
		all, err := query(t.Context(), s.Info().Prometheus, "timestamp(insighthub_window_events)")
		n := 0
		for _, one := range all {
			for _, value := range one.samples {
				if end, err := strconv.ParseFloat(value, 64); err == nil && end >= float64(until) {
					n++
				}
			}
		}
		return err == nil && n == len(names)
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

// expected computes the figures from the rows of the database.
func expected(t *testing.T, conn *pgx.Conn, gateways []string, until int64) map[figure]float64 {
	t.Helper()
	rows, err := conn.Query(t.Context(), recompute, gateways, until)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[figure]float64)
	var f figure
	var value float64
	if _, err := pgx.ForEachRow(rows, []any{&f.name, &f.gateway, &f.device, &f.metric, &f.reason, &f.end, &value}, func() error {
		all[f] = value
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// received returns the samples of Prometheus.
func received(t *testing.T, s *Stack, until int64) map[figure]float64 {
	t.Helper()
	series, err := query(t.Context(), s.Info().Prometheus, `{__name__=~"insighthub_(window_.*|series_.*|freshness_seconds)"}[1h]`)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[figure]float64)
	for _, one := range series {
		l := one.labels
		if l["site"] != "plant-1" {
			t.Errorf("a series of site %q", l["site"])
		}
		for at, text := range one.samples {
			value, err := strconv.ParseFloat(text, 64)
			if err != nil || at%1000 != 0 {
				t.Fatalf("%v at %d: %q", l, at, text)
			}
			if at/1000 <= until {
				all[figure{strings.TrimPrefix(l["__name__"], "insighthub_"), l["gateway"], l["device"], l["metric"], l["reason"], at / 1000}] = value
			}
		}
	}
	return all
}

func compare(t *testing.T, want, got map[figure]float64) {
	t.Helper()
	wrong, compared := 0, make(map[string]int)
	report := func(format string, args ...any) {
		if wrong++; wrong <= 20 {
			t.Errorf(format, args...)
		}
	}
	duplicates := 0.0
	for f, value := range got {
		switch f.name {
		case "window_late_events", "window_early_events", "window_refused_events", "window_unverified_events", "window_crowded_events":
			if value != 0 {
				report("%+v is %g, want 0: the figures leave some events out", f, value)
			}
			continue
		case "window_duplicate_events":
			duplicates += value
			continue
		}
		if _, ok := want[f]; !ok {
			report("%+v is %g, the database has none", f, value)
		}
	}
	for f, value := range want {
		compared[f.name]++
		have, ok := got[f]
		// A mean is a sum of float64s rounded once; the database rounds each term.
		exact := have == value || f.name == "series_mean" && math.Abs(have-value) <= 1e-12*math.Max(1, math.Abs(value))
		if !ok || !exact {
			report("%+v is %v (%v), the database makes it %v", f, have, ok, value)
		}
	}
	if duplicates == 0 {
		t.Error("no event came twice: nothing tested")
	}
	for _, name := range []string{"window_events", "freshness_seconds", "window_bad_quality_events", "series_last", "window_down_seconds", "window_produced", "window_failures"} {
		if compared[name] < 4*12 {
			t.Errorf("%d figures %s: too few to test anything", compared[name], name)
		}
	}
	t.Logf("%d figures compared, %d wrong: %v", len(want), wrong, compared)
}
