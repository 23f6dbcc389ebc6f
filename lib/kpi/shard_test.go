package kpi

import (
	"testing"

	"github.com/insighthub/insighthub/lib/telemetry"
)

const second = telemetry.Micros(1_000_000)

func newShard(tb testing.TB, c Config) *Shard {
	tb.Helper()
	s, err := NewShard(c)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func newMachine(tb testing.TB, c MachineConfig) *Machine {
	tb.Helper()
	m, err := NewMachine(c)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// collect emits the closed windows and returns the samples.
func collect(s *Shard) []Sample {
	var out []Sample
	s.EmitClosed(func(sample *Sample) {
		c := *sample
		if c.Lags != nil {
			lags := *c.Lags
			c.Lags = &lags
		}
		out = append(out, c)
	})
	return out
}

func value(samples []Sample, f Name) float64 {
	for _, s := range samples {
		if s.Name == f {
			return s.Value
		}
	}
	return -1
}

func TestWindowOfOneSeries(t *testing.T) {
	s := newShard(t, Config{})
	b := &telemetry.Batch{Gateway: "gw", Site: "plant", Received: 101 * second}
	for i, v := range []float64{3, 1, 2} {
		b.Append(telemetry.Event{Device: "press", Metric: "temperature", Time: 100*second + telemetry.Micros(i)*1000, Value: v})
	}
	if r := s.Observe(b, 101*second); r.Accepted != 3 {
		t.Fatalf("%+v", r)
	}
	if r := s.Observe(b, 106*second+999_999); r.Duplicates != 3 {
		t.Fatalf("%+v", r)
	}
	if got := collect(s); len(got) > 0 && got[len(got)-1].Time > 100*second {
		t.Fatalf("got a sample of an open window: %+v", got[len(got)-1])
	}
	s.Advance(107 * second)
	got := collect(s)
	for f, want := range map[Name]float64{
		SeriesMin: 1, SeriesMax: 3, SeriesMean: 2, SeriesLast: 2, SeriesSamples: 3, Events: 3, DuplicateEvents: 3, IngestLag: 3,
	} {
		if v := value(got, f); v != want {
			t.Errorf("%s: got %v, want %v", f, v, want)
		}
	}
	if len(collect(s)) != 0 {
		t.Error("a window was emitted twice")
	}
}
