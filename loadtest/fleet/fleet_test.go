package fleet

import (
	"encoding/json"
	"math"
	"testing"
	"time"
)

func newFleet(tb testing.TB, cfg Config) []*Gateway {
	tb.Helper()
	gs, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return gs
}

func config() Config {
	return Config{
		Prefix: "gw", Site: "plant-1", Seed: 7, Gateways: 2, Machines: 10, Samples: 10,
		Horizon: time.Hour, Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

type body struct {
	Events []struct {
		Device, Metric, Quality string
		Time                    time.Time
		Value                   float64
	}
}

func TestSumsOfBatches(t *testing.T) {
	cfg := config()
	g := newFleet(t, cfg)[0]
	var b Batch
	for k := range 3 {
		g.Fill(&b, cfg.Start.Add(time.Duration(k+1)*time.Second), 100*time.Millisecond)
		g.Acknowledge(&b)
	}
	g.Fill(&b, cfg.Start.Add(4*time.Second), 100*time.Millisecond) // never acknowledged

	var got body
	if err := json.Unmarshal(b.Body, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Events) != cfg.EventsPerBatch() || b.Events != len(got.Events) {
		t.Fatalf("got %d events, want %d", len(got.Events), cfg.EventsPerBatch())
	}
	seen := map[string]bool{}
	for _, e := range got.Events {
		id := e.Device + e.Metric + e.Time.String()
		if seen[id] {
			t.Fatalf("got event %s twice, want distinct identities", id)
		}
		seen[id] = true
	}
	for _, s := range g.Acknowledged() {
		if s.Count != 30 {
			t.Fatalf("%s %s: got %d events acknowledged, want 30", s.Device, s.Metric, s.Count)
		}
	}
	var sum float64
	for _, e := range got.Events {
		if e.Device == "press-01" && e.Metric == "temperature" {
			sum += e.Value
		}
	}
	if want := float64(b.sums[Temperature].ValueSum) / 1000; math.Abs(sum-want) > 1e-6 {
		t.Errorf("got values of sum %v, want %v", sum, want)
	}
}

func TestSameSeedSameFleet(t *testing.T) {
	cfg := config()
	a, b := newFleet(t, cfg)[1], newFleet(t, cfg)[1]
	var x, y Batch
	a.Fill(&x, cfg.Start.Add(time.Second), 10*time.Millisecond)
	b.Fill(&y, cfg.Start.Add(time.Second), 10*time.Millisecond)
	if string(x.Body) != string(y.Body) {
		t.Error("got two different batches of the same seed, want the same")
	}
	cfg.Seed++
	c := newFleet(t, cfg)[1]
	c.Fill(&y, cfg.Start.Add(time.Second), 10*time.Millisecond)
	if string(x.Body) == string(y.Body) {
		t.Error("got the same batch of another seed, want a different one")
	}
}

// TestFaultsChangeTheirSignals compares the signals in each fault with those just before
// it: faults must be visible in the data.
func TestFaultsChangeTheirSignals(t *testing.T) {
	changed := map[FaultKind]Metric{BearingWear: Vibration, Leak: Pressure, Overload: MotorCurrent, Breakdown: Speed}
	ratio := map[FaultKind][]float64{}
	for stream := range uint64(40) {
		m := newMachine("m", 1, stream, 2*time.Hour)
		var before, inside [metricCount]float64
		var nb, ni int
		next, running := 0, true
		for at := time.Second; at < 2*time.Hour && next < len(m.faults); at += time.Second {
			v := *m.Step(at)
			f := m.faults[next]
			steady := v[StateCode] == float64(Running)
			switch {
			case at > f.Begin-20*time.Second && at < f.Begin:
				running = running && steady
				add(&before, &v)
				nb++
			case at > f.Begin+(f.End-f.Begin)/2 && at < f.End:
				running = running && (steady || f.Kind == Breakdown)
				add(&inside, &v)
				ni++
			case at >= f.End:
				if metric, ok := changed[f.Kind]; ok && running && nb > 5 && ni > 5 {
					ratio[f.Kind] = append(ratio[f.Kind], inside[metric]/float64(ni)/(before[metric]/float64(nb)))
				}
				before, inside, nb, ni, running = [metricCount]float64{}, [metricCount]float64{}, 0, 0, true
				next++
			}
		}
	}
	within := map[FaultKind][2]float64{BearingWear: {2, 5}, Leak: {0.3, 0.85}, Overload: {1.15, 2}, Breakdown: {-0.01, 0.01}}
	for kind, want := range within {
		if len(ratio[kind]) < 5 {
			t.Errorf("%s: got %d faults without a change of state, want 5 or more", kind, len(ratio[kind]))
		}
		for _, r := range ratio[kind] {
			if r < want[0] || r > want[1] {
				metric := MetricNames()[changed[kind]]
				t.Errorf("%s: got %s changed by a factor of %.2f, want %.2f to %.2f", kind, metric, r, want[0], want[1])
			}
		}
	}
}

func add(sum, v *[metricCount]float64) {
	for i := range v {
		sum[i] += v[i]
	}
}

func TestAppendMilli(t *testing.T) {
	for in, want := range map[int64]string{
		0: "0", 1: "0.001", -1: "-0.001", 1000: "1", 71250: "71.25", -12345: "-12.345", 100100: "100.1",
	} {
		if got := string(appendMilli(nil, in)); got != want {
			t.Errorf("appendMilli(%d) = %s, want %s", in, got, want)
		}
	}
}

func BenchmarkFill(b *testing.B) {
	cfg := config()
	g := newFleet(b, cfg)[0]
	var batch Batch
	b.ReportAllocs()
	for k := 0; b.Loop(); k++ {
		g.Fill(&batch, cfg.Start.Add(time.Duration(k)*time.Second), 100*time.Millisecond)
	}
	b.SetBytes(int64(len(batch.Body)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch.Events), "ns/event")
	b.ReportMetric(float64(len(batch.Body))/float64(batch.Events), "B/event")
}
