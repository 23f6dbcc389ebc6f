package kpi

import (
	"errors"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

type everyDevice struct{ machine *Machine }

func (e everyDevice) Machine(telemetry.GatewayID, telemetry.DeviceName) *Machine { return e.machine }

func pressConfig() MachineConfig {
	return MachineConfig{
		StateMetric: "state", CountMetric: "cycle_count", GoodMetric: "good_count", IdealCycle: 500 * time.Millisecond,
		States: map[int]State{0: {Element: Production}, 1: {Element: Idle}, 2: {Element: Setup}, 3: {Element: Down, Reason: "fault"}},
	}
}

// TestMachineWindowByHand computes a window of 5 s of a press: it is in production at
// first, down from 1 s to 2.5 s, then idle, and in production from 4 s on.
func TestMachineWindowByHand(t *testing.T) {
	s := newShard(t, Config{Machines: everyDevice{newMachine(t, pressConfig())}})
	b := &telemetry.Batch{Gateway: "gw", Site: "plant", Received: noon}
	put := func(metric telemetry.MetricName, after time.Duration, v float64) {
		b.Append(telemetry.Event{Device: "press", Metric: metric, Time: noon + micros(after), Value: v})
	}
	put("state", -time.Second, 0)
	put("cycle_count", -time.Second, 100)
	put("good_count", -time.Second, 90)
	put("state", 4*time.Second, 0) // not in order
	put("state", time.Second, 3)
	put("state", 2500*time.Millisecond, 1)
	put("cycle_count", 4500*time.Millisecond, 2) // reset to 0 after 104, then 2
	put("cycle_count", 500*time.Millisecond, 104)
	put("good_count", 4500*time.Millisecond, 95)
	s.Observe(b, noon)
	s.Advance(noon + 7*second)
	var last []Sample
	for _, sample := range collect(s) {
		if sample.Time == noon+5*second {
			last = append(last, sample)
		}
	}
	want := map[Name]float64{
		CalendarSeconds: 5, PlannedSeconds: 5, BusySeconds: 5, ProductionSeconds: 2, IdleSeconds: 1.5, SetupSeconds: 0,
		DownSeconds: 1.5, UnknownSeconds: 0, Failures: 1, Produced: 6, Good: 5, IdealSeconds: 3,
	}
	for f, w := range want {
		if got := value(last, f); got != w {
			t.Errorf("%s: got %v, want %v", f, got, w)
		}
	}
}

// TestSecondsAreRoundedOnce checks that seconds are the float64 nearest to the time, as
// every parser of the decimal fraction returns.
func TestSecondsAreRoundedOnce(t *testing.T) {
	const production = 2_597_478 // µs; Duration.Seconds returns 2.5974779999999997
	s := newShard(t, Config{Machines: everyDevice{newMachine(t, pressConfig())}})
	b := &telemetry.Batch{Gateway: "gw", Site: "plant", Received: noon}
	for _, change := range []struct {
		at    telemetry.Micros
		state float64
	}{{0, 0}, {production, 1}, {5 * second, 2}, {5*second + production, 0}} {
		b.Append(telemetry.Event{Device: "press", Metric: "state", Time: noon + change.at, Value: change.state})
	}
	s.Observe(b, noon)
	s.Advance(noon + 12*second)
	all := collect(s)
	at := func(end telemetry.Micros) (samples []Sample) {
		for _, sample := range all {
			if sample.Time == end {
				samples = append(samples, sample)
			}
		}
		return samples
	}
	first, next := at(noon+5*second), at(noon+10*second)
	for name, c := range map[string]struct{ got, want float64 }{
		"production": {value(first, ProductionSeconds), 2.597478}, "idle": {value(first, IdleSeconds), 2.402522},
		"setup": {value(next, SetupSeconds), 2.597478}, "busy": {value(next, BusySeconds), 5},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %v, want %v", name, c.got, c.want)
		}
	}
}

func TestPlannedTime(t *testing.T) {
	c := pressConfig()
	c.Shifts = []Shift{{6 * time.Hour, 14 * time.Hour}, {6*24*time.Hour + 22*time.Hour, 7 * 24 * time.Hour}} // Monday early, Sunday night
	m := newMachine(t, c)
	monday := noon - 12*3600*second
	for _, test := range []struct {
		name     string
		from, to telemetry.Micros
		want     telemetry.Micros
	}{
		{"inside", noon, noon + second, second},
		{"across the end", monday + 14*3600*second - 1, monday + 15*3600*second, 1},
		{"before the start", monday + 6*3600*second - 2, monday + 6*3600*second, 0},
		{"across the week", monday - 7*second, monday + 7*3600*second, 7*second + 3600*second},
		{"a whole week", noon, noon + 7*86400*second, 10 * 3600 * second},
		{"before 1970", -7 * 86400 * second, 0, 10 * 3600 * second},
		{"nothing", noon, noon, 0},
	} {
		if got := m.planned(test.from, test.to); got != test.want {
			t.Errorf("%s: got %d, want %d", test.name, got, test.want)
		}
	}
}

func TestInvalidConfigurationIsRejected(t *testing.T) {
	for name, change := range map[string]func(*MachineConfig){
		"a shift backwards":     func(c *MachineConfig) { c.Shifts = []Shift{{2 * time.Hour, time.Hour}} },
		"a shift past the week": func(c *MachineConfig) { c.Shifts = []Shift{{0, 8 * 24 * time.Hour}} },
		"shifts that overlap":   func(c *MachineConfig) { c.Shifts = []Shift{{0, 2 * time.Hour}, {time.Hour, 3 * time.Hour}} },
		"a reason for running":  func(c *MachineConfig) { c.States[0] = State{Production, "why"} },
		"an unknown element":    func(c *MachineConfig) { c.States[0] = State{Element: 99} },
		"one metric for two":    func(c *MachineConfig) { c.GoodMetric = c.CountMetric },
		"a negative cycle":      func(c *MachineConfig) { c.IdealCycle = -1 },
		"an invalid name":       func(c *MachineConfig) { c.StateMetric = "a\nb" },
	} {
		c := pressConfig()
		change(&c)
		if _, err := NewMachine(c); !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := NewShard(Config{Window: time.Microsecond, Lateness: -1}); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}
