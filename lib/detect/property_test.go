package detect

import (
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/insighthub/insighthub/lib/anomaly"
	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/shardstate/shardstatetest"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// oracle returns the score of each anomaly of a stream, by lib/anomaly alone. A series'
// events are in order of arrival, those of a batch in order of time, without duplicates.
func oracle(stream *testStream) map[string]float64 {
	type key struct{ gateway, device, metric string }
	detectors, newest := map[key]*anomaly.Detector{}, map[key]telemetry.Micros{}
	out := map[string]float64{}
	for _, r := range stream.records {
		for _, b := range r.batches {
			events := make([]telemetry.Event, b.Len())
			for i := range events {
				events[i] = b.Event(i)
			}
			slices.SortStableFunc(events, func(a, b telemetry.Event) int { return int(a.Time - b.Time) })
			for _, e := range events {
				k := key{string(b.Gateway), string(e.Device), string(e.Metric)}
				if e.Metric == "state" || newest[k] != 0 && e.Time <= newest[k] {
					continue
				}
				newest[k] = e.Time
				if e.Quality == telemetry.Bad {
					continue
				}
				if detectors[k] == nil {
					detectors[k] = new(anomaly.Detector)
				}
				if score, anomalous := detectors[k].Push(int64(e.Time), e.Value); anomalous {
					a := directory.Anomaly{Gateway: b.Gateway, Device: e.Device, Metric: e.Metric, Time: e.Time, Kind: directory.ByScore}
					out[ID(&a)] = score
				}
			}
		}
	}
	return out
}

func TestScoresEqualOracle(t *testing.T) {
	stream := plant(rand.New(rand.NewPCG(1, 2)), 500)
	want := oracle(stream)
	f := newFixture(t, stream)
	f.all(7)
	got := map[string]float64{}
	for id, a := range f.anomalies.stored {
		if a.Kind == directory.ByScore {
			got[id] = a.Score
		}
	}
	if diff := cmp.Diff(want, got); len(want) < 50 || diff != "" {
		t.Errorf("got %d anomalies, want %d, at least 50 (-want +got):\n%s", len(got), len(want), diff)
	}
	if n := f.counter("insighthub_anomalies_total", "score"); n != float64(len(got)) {
		t.Errorf("got %v anomalies counted, want %d", n, len(got))
	}
	if n := f.counter("insighthub_detect_series", "s"); n != 16 {
		t.Errorf("got %v series, want 16", n)
	}
}

// TestMachineAlarmsEqualOracle compares with an anomaly.Machine that gets the moments of
// one device.
func TestMachineAlarmsEqualOracle(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	stream := &testStream{}
	metrics := []string{"flow", "heat", "power"}
	machine := new(anomaly.Machine)
	if err := machine.Reset(len(metrics)); err != nil {
		t.Fatal(err)
	}
	var want []telemetry.Micros
	raised := false
	for n := range 2000 {
		at := start + telemetry.Micros(n)*second
		var events []telemetry.Event
		values := []float64{math.NaN(), math.NaN(), math.NaN()}
		for i, m := range metrics {
			v := random.NormFloat64()
			if n > 1000 && n < 1200 {
				v += 12
			}
			if n > 500 && random.IntN(50) == 0 {
				continue // missing
			}
			values[i] = v
			events = append(events, event("press", m, at, v))
		}
		events = append(events, event("press", "state", at, 1))
		stream.add(at+1000, batch("a", events...))
		// The handler makes it after minMoments; the last moment is not complete.
		if n > minMoments && n < 2000-1 {
			_, anomalous := machine.Push(int64(at), values)
			if anomalous && !raised {
				want = append(want, at)
			}
			raised = anomalous
		}
	}
	f := newFixture(t, stream)
	f.all(9)
	var got []telemetry.Micros
	for _, a := range f.anomalies.stored {
		if a.Kind == directory.ByMachine {
			if a.Metric != "" || a.Value != nil || a.Device != "press" {
				t.Errorf("got %+v, want device press without metric and value", a)
			}
			got = append(got, a.Time)
		}
	}
	slices.Sort(got)
	if len(want) == 0 || !slices.Equal(want, got) {
		t.Errorf("got alarms at %v, want %v", got, want)
	}
}

func kinds() []directory.AnomalyKind {
	return []directory.AnomalyKind{
		directory.ByScore, directory.ByMachine, directory.ByThreshold, directory.ByRate, directory.ByNoData,
	}
}

// TestFaults divides a stream into random invocations, with redeliveries, an unavailable
// database, and processes that crash before or after the state is saved. It expects the
// anomalies of a run record by record.
func TestFaults(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		stream := withOddTimes(random, plant(random, 100))
		straight := newFixture(t, stream, rules()...)
		straight.all(1)
		objects := &shardstatetest.Crashing{}
		f := newFixture(t, stream, rules()...)
		f.objects = objects
		f.restart()
		for done := 0; done < len(stream.records); {
			next := min(len(stream.records), done+rapid.IntRange(1, 60).Draw(rt, "records"))
			from := max(0, done-rapid.SampledFrom([]int{0, 0, 3, 30}).Draw(rt, "redelivered"))
			fault := rapid.IntRange(0, 6).Draw(rt, "fault")
			objects.Before, objects.After, f.anomalies.err = fault == 0, fault == 1, nil
			if fault == 2 {
				f.anomalies.err = telemetry.ErrUnavailable
			}
			err := f.invoke("s", from, next)
			if err == nil {
				done = next
			} else if fault > 2 {
				rt.Fatal(err)
			}
			if objects.Crashed || rapid.IntRange(0, 9).Draw(rt, "restart") == 0 {
				f.restart()
			}
			objects.Before, objects.After, objects.Crashed = false, false, false
		}
		if f.anomalies.conflict != "" {
			rt.Errorf("got another anomaly after a redelivery: %s", f.anomalies.conflict)
		}
		want, got := strings.Join(straight.anomalies.order, "\n"), strings.Join(f.anomalies.order, "\n")
		if got != want {
			rt.Errorf("got\n%s\nwant\n%s", got, want)
		}
		for _, kind := range kinds() {
			if want, got := straight.anomalies.of(kind), f.anomalies.of(kind); got != want {
				rt.Errorf("%s: got\n%s\nwant\n%s", kind, got, want)
			}
		}
		if n := len(straight.anomalies.unknown) + len(f.anomalies.unknown); n > 0 {
			rt.Errorf("got %d ends of anomalies that are not stored: %v", n, straight.anomalies.unknown)
		}
	})
}

// TestPlantHasAllKinds expects the stream of the tests above to have anomalies and events
// of all kinds.
func TestPlantHasAllKinds(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	f := newFixture(t, withOddTimes(random, plant(random, 600)), rules()...)
	f.all(5)
	found, ended, reasons := map[directory.AnomalyKind]int{}, map[directory.AnomalyKind]int{}, map[directory.EndReason]int{}
	for _, a := range f.anomalies.stored {
		if found[a.Kind]++; !a.Active() {
			ended[a.Kind]++
			reasons[a.EndReason]++
		}
	}
	for _, kind := range kinds() {
		if found[kind] == 0 || ended[kind] == 0 {
			t.Errorf("got %d anomalies of kind %s, %d of them ended, want some", found[kind], kind, ended[kind])
		}
	}
	if reasons[directory.EndPast] == 0 || reasons[directory.EndSuperseded] == 0 || reasons[directory.EndCleared] == 0 {
		t.Errorf("got ends %v, want past, superseded and cleared ones", reasons)
	}
	for _, outcome := range []string{"scored", "unscored", "late", "bad", "held"} {
		if f.counter("insighthub_detect_events_total", outcome) == 0 {
			t.Errorf("got no event of outcome %s", outcome)
		}
	}
	if f.counter("insighthub_detect_poison_records_total", "") == 0 {
		t.Error("got no poison record")
	}
}

// TestConcurrentProcesses has a process save a state that another one has replaced.
func TestConcurrentProcesses(t *testing.T) {
	stream := plant(rand.New(rand.NewPCG(7, 8)), 60)
	straight := newFixture(t, stream, rules()...)
	straight.all(1)
	one := newFixture(t, stream, rules()...)
	if err := one.invoke("s", 0, 20); err != nil {
		t.Fatal(err)
	}
	lease, err := one.config.States.Load(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	two := newFixture(t, stream, rules()...)
	two.objects, two.anomalies = one.objects, one.anomalies
	two.restart()
	if err := two.invoke("s", 20, 40); err != nil {
		t.Fatal(err)
	}
	if err := lease.Save(t.Context(), "31"); !errors.Is(err, telemetry.ErrConflict) {
		t.Errorf("saving a stale state: got %v, want an error that wraps telemetry.ErrConflict", err)
	}
	if err := one.invoke("s", 30, len(stream.records)); err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(straight.anomalies.stored, one.anomalies.stored, equalAnomalies) {
		t.Errorf("got %d anomalies, want %d with the same content", len(one.anomalies.stored), len(straight.anomalies.stored))
	}
}

// TestSplitAndMerge sends gateway a's records to one child shard and b's to another, and
// then both to the merged shard.
func TestSplitAndMerge(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	stream := withOddTimes(random, plant(random, 300))
	straight := newFixture(t, stream, rules()...)
	straight.all(1)
	f := newFixture(t, stream, rules()...)
	f.lineage = shardstatetest.Lineage{"low": {"s"}, "high": {"s"}, "merged": {"low", "high"}}
	f.restart()
	third := len(stream.records) / 3
	if err := f.invoke("s", 0, third); err != nil {
		t.Fatal(err)
	}
	for i := third; i < 2*third; i++ {
		shard := "low"
		if r := stream.records[i]; len(r.batches) > 0 && r.batches[0].Gateway == "b" {
			shard = "high"
		}
		if err := f.invoke(shard, i, i+1); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.invoke("merged", 2*third, len(stream.records)); err != nil {
		t.Fatal(err)
	}
	// The shards' clocks differ, but not the time of a no_data alarm.
	for _, kind := range kinds() {
		if diff := cmp.Diff(strings.Split(straight.anomalies.of(kind), ", "), strings.Split(f.anomalies.of(kind), ", ")); diff != "" {
			t.Errorf("%s: other anomalies (-want +got):\n%s", kind, diff)
		}
	}
	if f.anomalies.conflict != "" {
		t.Errorf("got another anomaly after a redelivery: %s", f.anomalies.conflict)
	}
}
