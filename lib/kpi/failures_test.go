package kpi

import (
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// TestFailuresAreChangesToDown counts a failure when a machine goes down, and none
// while it stays down, whatever it reports.
func TestFailuresAreChangesToDown(t *testing.T) {
	type reading struct {
		after time.Duration
		state float64
	}
	const s = time.Second
	config := pressConfig()
	config.States[4] = State{Element: Down, Reason: "jam"}
	for name, tc := range map[string]struct {
		readings []reading
		want     []float64 // failures of the windows that end at 5 and at 10 s
	}{
		"runs":                            {[]reading{{-1 * s, 0}, {2 * s, 0}, {7 * s, 0}}, []float64{0, 0}},
		"goes down":                       {[]reading{{-1 * s, 0}, {2 * s, 3}, {7 * s, 0}}, []float64{1, 0}},
		"says twice that it is down":      {[]reading{{-1 * s, 0}, {2 * s, 3}, {3 * s, 3}, {7 * s, 0}}, []float64{1, 0}},
		"is down for another reason":      {[]reading{{-1 * s, 0}, {2 * s, 3}, {3 * s, 4}, {7 * s, 0}}, []float64{1, 0}},
		"is down across two windows":      {[]reading{{-1 * s, 0}, {2 * s, 3}, {7 * s, 3}}, []float64{1, 0}},
		"for another reason in the next":  {[]reading{{-1 * s, 0}, {2 * s, 3}, {7 * s, 4}}, []float64{1, 0}},
		"goes down, is idle, goes down":   {[]reading{{-1 * s, 0}, {1 * s, 3}, {2 * s, 1}, {3 * s, 4}, {7 * s, 0}}, []float64{2, 0}},
		"goes down once in each window":   {[]reading{{-1 * s, 0}, {2 * s, 3}, {4 * s, 0}, {7 * s, 3}}, []float64{1, 1}},
		"is down at the first reading":    {[]reading{{2 * s, 3}, {3 * s, 3}, {7 * s, 0}}, []float64{0, 0}},
		"down, unknown code, down":        {[]reading{{-1 * s, 0}, {2 * s, 3}, {4 * s, 9}, {7 * s, 4}}, []float64{1, 0}},
		"runs, unknown code, down":        {[]reading{{-1 * s, 0}, {2 * s, 9}, {7 * s, 3}}, []float64{0, 1}},
		"unknown code first, then down":   {[]reading{{2 * s, 9}, {3 * s, 3}, {7 * s, 0}}, []float64{0, 0}},
		"goes down in a window by itself": {[]reading{{-1 * s, 0}, {2 * s, 0}, {7 * s, 3}, {8 * s, 3}, {9 * s, 4}}, []float64{0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			shard := newShard(t, Config{Machines: everyDevice{newMachine(t, config)}})
			b := &telemetry.Batch{Gateway: "gw", Site: "plant", Received: noon}
			for _, r := range tc.readings {
				b.Append(telemetry.Event{Device: "press", Metric: "state", Time: noon + micros(r.after), Value: r.state})
			}
			shard.Observe(b, noon)
			// The state is saved and loaded between the two windows.
			shard.Advance(noon + 8*second)
			samples := collect(shard)
			if err := shard.Decode(shard.AppendBinary(nil)); err != nil {
				t.Fatal(err)
			}
			shard.Advance(noon + 12*second)
			samples = append(samples, collect(shard)...)
			for i, want := range tc.want {
				end := noon + telemetry.Micros(i+1)*5*second
				got := -1.0
				for _, sample := range samples {
					if sample.Time == end && sample.Name == Failures {
						got = sample.Value
					}
				}
				if got != want {
					t.Errorf("window that ends at %d s: got %v failures, want %v", 5*(i+1), got, want)
				}
			}
		})
	}
}

// TestOneFailureAcrossSilenceAndBreaks: a machine that is down, then silent for longer than
// the stale limit or outside its shifts, and down again had one failure.
func TestOneFailureAcrossSilenceAndBreaks(t *testing.T) {
	config := pressConfig()
	config.Shifts = []Shift{{0, 12*time.Hour + 5*time.Minute}, {12*time.Hour + 10*time.Minute, 7 * 24 * time.Hour}}
	for name, tc := range map[string]struct {
		states map[int]float64 // by seconds after noon
		want   float64
	}{
		"silence":                      {map[int]float64{0: 0, 10: 3, 200: 3}, 1},
		"a break":                      {map[int]float64{0: 0, 280: 3, 620: 3}, 1},
		"begins in the break":          {map[int]float64{0: 0, 310: 3, 620: 3}, 0},
		"is repaired in the break":     {map[int]float64{0: 0, 280: 3, 400: 0, 620: 3}, 2},
		"silent while in production":   {map[int]float64{0: 0, 200: 3}, 1},
		"silent, repaired, and broken": {map[int]float64{0: 0, 10: 3, 200: 0, 210: 3}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			shard := newShard(t, Config{Machines: everyDevice{newMachine(t, config)}})
			got := 0.0
			for at := range 700 {
				now := noon + telemetry.Micros(at)*second
				if v, ok := tc.states[at]; ok {
					shard.Observe(one("press", "state", now, v), now)
				}
				shard.Advance(now)
				for _, s := range collect(shard) {
					if s.Name == Failures {
						got += s.Value
					}
				}
			}
			if got != tc.want {
				t.Errorf("got %v failures, want %v", got, tc.want)
			}
		})
	}
}
