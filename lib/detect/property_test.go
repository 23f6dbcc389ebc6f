package detect

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/insighthub/insighthub/lib/anomaly"
	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/shardstate/shardstatetest"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// oracle scores a tape's events with lib/anomaly alone, series by series: each
// one's events in the order of arrival, those of a batch in the order of time,
// each time once.
func oracle(p *tape) map[string]float64 {
	type key struct{ gateway, device, metric string }
	detectors, newest := map[key]*anomaly.Detector{}, map[key]telemetry.Micros{}
	out := map[string]float64{}
	for _, r := range p.records {
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

func TestScoresAreThoseOfTheDetectorAlone(t *testing.T) {
	p := plant(rand.New(rand.NewPCG(1, 2)), 500)
	want := oracle(p)
	b := newBench(t, p)
	b.all(7)
	got := map[string]float64{}
	for id, a := range b.book.kept {
		if a.Kind == directory.ByScore {
			got[id] = a.Score
		}
	}
	if len(want) < 50 || !maps.Equal(want, got) {
		t.Errorf("%d anomalies, want the %d of the detector alone", len(got), len(want))
	}
	if n := b.counter("insighthub_anomalies_total", "score"); n != float64(len(got)) {
		t.Errorf("counted %v of %d", n, len(got))
	}
	if n := b.counter("insighthub_detect_series", "s"); n != 16 {
		t.Errorf("%v series, want 16", n)
	}
}

// TestMachinesAreThoseOfTheDetectorAlone gives one device's moments to a Machine.
func TestMachinesAreThoseOfTheDetectorAlone(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	p := &tape{}
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
		p.add(at+1000, batch("a", events...))
		// It is made once thirty moments had as many as the one before, and given the next ones.
		if n > minMoments && n < 2000-1 {
			_, anomalous := machine.Push(int64(at), values)
			if anomalous && !raised {
				want = append(want, at)
			}
			raised = anomalous
		}
	}
	b := newBench(t, p)
	b.all(9)
	var got []telemetry.Micros
	for _, a := range b.book.kept {
		if a.Kind == directory.ByMachine {
			if a.Metric != "" || a.Value != nil || a.Device != "press" {
				t.Errorf("%+v: want it to be about the machine", a)
			}
			got = append(got, a.Time)
		}
	}
	slices.Sort(got)
	if len(want) == 0 || !slices.Equal(want, got) {
		t.Errorf("alarms at %v, want %v", got, want)
	}
}

// dying is a store of objects whose client dies.
type dying struct {
	shardstatetest.Memory

	before, after, dead bool
}

var errDead = fmt.Errorf("%w: the process is dead", telemetry.ErrUnavailable)

func (d *dying) GetTagged(ctx context.Context, key, known string) ([]byte, string, error) {
	if d.dead {
		return nil, "", errDead
	}
	return d.Memory.GetTagged(ctx, key, known)
}

func (d *dying) PutIf(ctx context.Context, key string, body []byte, etag string) (string, error) {
	if d.before || d.dead {
		d.dead = true
		return "", errDead
	}
	etag, err := d.Memory.PutIf(ctx, key, body, etag)
	if d.after {
		d.dead = true
		return "", errDead
	}
	return etag, err
}

// TestFaultsChangeNothing cuts a stream into invocations at random, with replays,
// a database that goes away, and processes that die between the effect and the
// save; what is found is that of a run record by record.
func TestFaultsChangeNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := plant(rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0)), 100)
		straight := newBench(t, p, rules()...)
		straight.all(1)
		objects := &dying{}
		b := newBench(t, p, rules()...)
		b.objects = objects
		b.cold()
		for done := 0; done < len(p.records); {
			next := min(len(p.records), done+rapid.IntRange(1, 60).Draw(rt, "records"))
			from := max(0, done-rapid.SampledFrom([]int{0, 0, 3, 30}).Draw(rt, "again"))
			fault := rapid.IntRange(0, 6).Draw(rt, "fault")
			objects.before, objects.after, b.book.err = fault == 0, fault == 1, nil
			if fault == 2 {
				b.book.err = telemetry.ErrUnavailable
			}
			err := b.invoke("s", from, next)
			if err == nil {
				done = next
			} else if fault > 2 {
				rt.Fatal(err)
			}
			if objects.dead || rapid.IntRange(0, 9).Draw(rt, "cold") == 0 {
				b.cold()
			}
			objects.before, objects.after, objects.dead = false, false, false
		}
		if b.book.contradiction != "" {
			rt.Errorf("found otherwise the second time: %s", b.book.contradiction)
		}
		if a, c := strings.Join(straight.book.order, "\n"), strings.Join(b.book.order, "\n"); a != c {
			rt.Errorf("found\n%s\nwant\n%s", c, a)
		}
	})
}

// TestEverythingIsFound guards the tests above against streams that show nothing.
func TestEverythingIsFound(t *testing.T) {
	b := newBench(t, plant(rand.New(rand.NewPCG(5, 6)), 600), rules()...)
	b.all(5)
	kinds := map[directory.AnomalyKind]int{}
	for _, a := range b.book.kept {
		kinds[a.Kind]++
	}
	for _, kind := range []directory.AnomalyKind{directory.ByScore, directory.ByMachine, directory.ByThreshold, directory.ByRate, directory.ByNoData} {
		if kinds[kind] == 0 {
			t.Errorf("none by %s in %v", kind, kinds)
		}
	}
	for _, outcome := range []string{"scored", "unscored", "late", "bad"} {
		if b.counter("insighthub_detect_events_total", outcome) == 0 {
			t.Errorf("no events %s", outcome)
		}
	}
	if b.counter("insighthub_detect_poison_records_total", "") == 0 {
		t.Error("no rubbish")
	}
}

func TestZombie(t *testing.T) {
	p := plant(rand.New(rand.NewPCG(7, 8)), 60)
	straight := newBench(t, p, rules()...)
	straight.all(1)
	one := newBench(t, p, rules()...)
	if err := one.invoke("s", 0, 20); err != nil {
		t.Fatal(err)
	}
	lease, err := one.config.States.Load(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	two := newBench(t, p, rules()...)
	two.objects, two.book = one.objects, one.book
	two.cold()
	if err := two.invoke("s", 20, 40); err != nil {
		t.Fatal(err)
	}
	if err := lease.Save(t.Context(), "31"); !errors.Is(err, telemetry.ErrConflict) {
		t.Errorf("the zombie has saved: %v", err)
	}
	if err := one.invoke("s", 30, len(p.records)); err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(straight.book.kept, one.book.kept, func(a, b directory.Anomaly) bool { return describe(a) == describe(b) }) {
		t.Errorf("found %d, want %d", len(one.book.kept), len(straight.book.kept))
	}
}

// TestSplitAndMerge lets gateway a's records go to one shard and b's to another,
// and both to a third again.
func TestSplitAndMerge(t *testing.T) {
	p := plant(rand.New(rand.NewPCG(9, 10)), 300)
	straight := newBench(t, p, rules()...)
	straight.all(1)
	b := newBench(t, p, rules()...)
	b.family = lineage{"low": {"s"}, "high": {"s"}, "merged": {"low", "high"}}
	b.cold()
	third := len(p.records) / 3
	if err := b.invoke("s", 0, third); err != nil {
		t.Fatal(err)
	}
	for i := third; i < 2*third; i++ {
		shard := "low"
		if r := p.records[i]; len(r.batches) > 0 && r.batches[0].Gateway == "b" {
			shard = "high"
		}
		if err := b.invoke(shard, i, i+1); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.invoke("merged", 2*third, len(p.records)); err != nil {
		t.Fatal(err)
	}
	// Silences are seen by another clock meanwhile; what they are called is the same.
	if !maps.EqualFunc(straight.book.kept, b.book.kept, func(a, b directory.Anomaly) bool { return describe(a) == describe(b) }) {
		t.Errorf("found %d, want %d", len(b.book.kept), len(straight.book.kept))
	}
	if b.book.contradiction != "" {
		t.Error(b.book.contradiction)
	}
}
