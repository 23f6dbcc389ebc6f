package kpi

import (
	"errors"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

func one(device telemetry.DeviceName, metric telemetry.MetricName, at telemetry.Micros, v float64) *telemetry.Batch {
	b := &telemetry.Batch{Gateway: "gw", Site: "plant", Received: at}
	b.Append(telemetry.Event{Device: device, Metric: metric, Time: at, Value: v})
	return b
}

// TestMergeCarriesTheStateOn merges a parent that has the state of a machine with one that
// has its count.
func TestMergeCarriesTheStateOn(t *testing.T) {
	c := Config{Machines: everyDevice{newMachine(t, pressConfig())}}
	a, b := newShard(t, c), newShard(t, c)
	a.Observe(one("press", "state", noon, 0), noon)
	b.Observe(one("press", "cycle_count", noon+second, 10), noon)
	for _, s := range []*Shard{a, b} {
		s.Advance(noon + 8*second)
		if s == a {
			if err := a.Merge(b); !errors.Is(err, telemetry.ErrConflict) {
				t.Fatalf("merge parents with windows to emit: got %v, want ErrConflict", err)
			}
		}
		s.EmitClosed(func(*Sample) {})
	}
	if err := b.Merge(a); err != nil {
		t.Fatal(err)
	}
	b.Observe(one("press", "cycle_count", noon+9*second, 14), noon+9*second)
	b.Advance(noon + 12*second)
	got := collect(b)
	for f, want := range map[Name]float64{ProductionSeconds: 5, Produced: 4} {
		if v := value(got, f); v != want {
			t.Errorf("%s: got %v, want %v", f, v, want)
		}
	}
}

// TestSeriesComesBackAfterItWasForgotten observes the same dictionaries before and after
// a series is deleted: the deleted one must not be written to.
func TestSeriesComesBackAfterItWasForgotten(t *testing.T) {
	s := newShard(t, Config{Forget: 5 * time.Second})
	s.Observe(one("press", "speed", noon, 1), noon)
	s.Observe(one("pump", "speed", noon+20*second, 1), noon+20*second)
	s.Observe(one("press", "speed", noon, 1), noon+20*second) // late; its dictionary is the last one
	s.Advance(noon + 27*second)
	s.EmitClosed(func(*Sample) {})
	s.Observe(one("press", "speed", noon+27*second, 3), noon+27*second)
	s.Advance(noon + 40*second)
	if v := value(collect(s), SeriesLast); v != 3 {
		t.Errorf("got %v, want 3", v)
	}
}
