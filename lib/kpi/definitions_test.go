package kpi

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// plantOf is the devices of a gateway: how they are configured, and what they send.
type plantOf map[telemetry.DeviceName]sends

type sends struct {
	config *MachineConfig // nil: not a machine
	// each returns what the device reports at second i of the run.
	each func(i int) map[telemetry.MetricName]float64
}

type machinesOf map[telemetry.DeviceName]*Machine

func (m machinesOf) Machine(_ telemetry.GatewayID, d telemetry.DeviceName) *Machine { return m[d] }

// run returns the samples of the plant's windows from noon on. It reports each second; from a
// window before, in which the counters have their bases.
func (p plantOf) run(t *testing.T, length int) []Sample {
	t.Helper()
	machines := machinesOf{}
	for name, d := range p {
		if d.config != nil {
			machines[name] = newMachine(t, *d.config)
		}
	}
	s := newShard(t, Config{Machines: machines})
	var out []Sample
	for i := -5; i < length; i++ {
		at := noon + telemetry.Micros(i)*second
		b := &telemetry.Batch{Gateway: "gw", Site: "plant", Received: at}
		for name, d := range p {
			for metric, v := range d.each(i) {
				b.Append(telemetry.Event{Device: name, Metric: metric, Time: at, Value: v})
			}
		}
		s.Observe(b, at)
		out = append(out, collect(s)...)
	}
	s.Advance(noon + telemetry.Micros(length+10)*second)
	out = append(out, collect(s)...)
	end := noon + telemetry.Micros(length)*second // no window after the last reading
	kept := out[:0]
	for _, sample := range out {
		if sample.Time > noon && sample.Time <= end {
			kept = append(kept, sample)
		}
	}
	return kept
}

// totalsOf adds up samples as promquery does; of all devices if none is named.
func totalsOf(samples []Sample, device telemetry.DeviceName) Totals {
	t := Totals{Sums: map[Name]float64{}, Machines: map[Name]int64{}}
	seen := map[key]bool{}
	for i := range samples {
		s := &samples[i]
		if s.Device == "" || s.Metric != "" || device != "" && s.Device != device {
			continue
		}
		t.Sums[s.Name] += s.Value
		for _, name := range Counted() {
			if k := (key{name: name, device: s.Device}); s.Name == name && !seen[k] {
				seen[k] = true
				t.Machines[name]++
			}
		}
		if s.Name == CalendarSeconds {
			t.Windows++
		}
	}
	return t
}

// kpisOf returns the KPIs that are defined.
func kpisOf(t Totals, clock time.Duration, group bool) map[string]float64 {
	t = t.WithClock(clock)
	out := map[string]float64{}
	for _, d := range Definitions() {
		if v, ok := d.Of(t, group); ok {
			out[d.Name] = v
		}
	}
	return out
}

// full is a machine that reports everything, with an ideal cycle of a second.
func full() MachineConfig {
	c := pressConfig()
	c.IdealCycle, c.Own = time.Second, true
	return c
}

func with(change func(*MachineConfig)) *MachineConfig {
	c := full()
	change(&c)
	return &c
}

// producing reports a machine in production that makes so many items and good ones a second.
func producing(items, good float64) func(int) map[telemetry.MetricName]float64 {
	return func(i int) map[telemetry.MetricName]float64 {
		return map[telemetry.MetricName]float64{"state": 0, "cycle_count": items * float64(i), "good_count": good * float64(i)}
	}
}

func without(metrics []telemetry.MetricName, of func(int) map[telemetry.MetricName]float64) func(int) map[telemetry.MetricName]float64 {
	return func(i int) map[telemetry.MetricName]float64 {
		out := of(i)
		for _, m := range metrics {
			delete(out, m)
		}
		return out
	}
}

type names = []telemetry.MetricName

// TestNotReportedIsNotZero: a KPI that needs what a machine does not report has no value,
// and the machine is in none of the sums in which it cannot take part.
func TestNotReportedIsNotZero(t *testing.T) {
	press := sends{new(full()), producing(0.8, 0.4)}
	conveyor := sends{
		with(func(c *MachineConfig) { c.CountMetric, c.GoodMetric, c.IdealCycle = "", "", 0 }),
		func(int) map[telemetry.MetricName]float64 { return map[telemetry.MetricName]float64{"state": 1} },
	}
	// In 300 s it makes 240 items, 120 good ones.
	pressAlone := map[string]float64{
		Availability: 1, Performance: 240. / 300, Quality: 0.5, Scrap: 0.5, OEE: 120. / 300, TEEP: 120. / 300, Throughput: 240 * 12,
	}
	for name, c := range map[string]struct {
		plant plantOf
		want  map[string]float64
	}{
		"everything reported": {plantOf{"press": press}, pressAlone},
		"no good metric configured": {
			plantOf{"press": {with(func(c *MachineConfig) { c.GoodMetric = "" }), producing(1, 1)}},
			map[string]float64{Availability: 1, Performance: 1, Throughput: 300 * 12},
		},
		"a good metric configured and not reported": {
			plantOf{"press": {new(full()), without(names{"good_count"}, producing(1, 1))}},
			map[string]float64{Availability: 1, Performance: 1, Throughput: 300 * 12},
		},
		"every item is good by configuration": {
			plantOf{"press": {with(func(c *MachineConfig) { c.GoodMetric, c.AssumeGood = "", true }), producing(1, 0)}},
			map[string]float64{
				Availability: 1, Performance: 1, Quality: 1, Scrap: 0, OEE: 1, TEEP: 1, Throughput: 300 * 12,
			},
		},
		"no count reported": {
			plantOf{"press": {new(full()), without(names{"cycle_count"}, producing(1, 1))}},
			map[string]float64{Availability: 1},
		},
		"no state reported": {
			plantOf{"press": {new(full()), without(names{"state"}, producing(1, 0.5))}},
			map[string]float64{Quality: 0.5, Scrap: 0.5, Throughput: 300 * 12},
		},
		"no ideal cycle": {
			plantOf{"press": {with(func(c *MachineConfig) { c.IdealCycle = 0 }), producing(1, 0.5)}},
			map[string]float64{Availability: 1, Quality: 0.5, Scrap: 0.5, Throughput: 300 * 12},
		},
		"counters that stand still": {
			plantOf{"press": {new(full()), producing(0, 0)}},
			map[string]float64{Availability: 1, Performance: 0, OEE: 0, TEEP: 0, Throughput: 0},
		},
		"only a temperature": {
			plantOf{"press": {new(full()), func(int) map[telemetry.MetricName]float64 {
				return map[telemetry.MetricName]float64{"temperature": 20}
			}}},
			map[string]float64{},
		},
		"a press and a conveyor that reports only its state": {
			plantOf{"press": press, "conveyor": conveyor},
			map[string]float64{
				Availability: 0.5, Performance: 240. / 300, Quality: 0.5, Scrap: 0.5, OEE: 120. / 300, TEEP: 120. / 300,
				Throughput: 240 * 12,
			},
		},
		"a press and a saw without a good counter": {
			plantOf{"press": press, "saw": {with(func(c *MachineConfig) { c.GoodMetric = "" }), producing(1, 1)}},
			map[string]float64{
				Availability: 1, Performance: 540. / 600, Quality: 0.5, Scrap: 0.5, OEE: 120. / 300, TEEP: 120. / 300,
				Throughput: (240 + 300) * 12,
			},
		},
		"a press and two drills without an ideal cycle": {
			plantOf{
				"press":  press,
				"drill1": {with(func(c *MachineConfig) { c.IdealCycle = 0 }), producing(2, 0)},
				"drill2": {with(func(c *MachineConfig) { c.IdealCycle = 0 }), producing(2, 0)},
			},
			map[string]float64{
				Availability: 1, Performance: 240. / 300, Quality: 0.5, Scrap: 0.5, OEE: 120. / 300, TEEP: 120. / 300,
				Throughput: (240 + 4*300) * 12,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := kpisOf(totalsOf(c.plant.run(t, 300), ""), 300*time.Second, true)
			if diff := cmp.Diff(c.want, got, cmpopts.EquateApprox(0, 1e-9)); diff != "" {
				t.Errorf("KPIs differ (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPiecesOfDifferentMachinesNeverWeighEachOther: a slow press whose items are all good and
// a fast one whose items are all scrap, busy for the same time.
func TestPiecesOfDifferentMachinesNeverWeighEachOther(t *testing.T) {
	cycle := func(d time.Duration) *MachineConfig { return with(func(c *MachineConfig) { c.IdealCycle = d }) }
	samples := plantOf{
		"slow": {cycle(10 * time.Second), func(i int) map[telemetry.MetricName]float64 {
			n := math.Min(7, float64(i/10))
			return map[telemetry.MetricName]float64{"state": 0, "cycle_count": n, "good_count": n}
		}},
		"fast": {cycle(100 * time.Millisecond), func(i int) map[telemetry.MetricName]float64 {
			return map[telemetry.MetricName]float64{"state": 0, "cycle_count": max(0, min(700, float64(10*i))), "good_count": 0}
		}},
	}.run(t, 130)
	slow, fast := kpisOf(totalsOf(samples, "slow"), 130*time.Second, false), kpisOf(totalsOf(samples, "fast"), 130*time.Second, false)
	both := kpisOf(totalsOf(samples, ""), 130*time.Second, true)
	for name, c := range map[string]struct{ got, want float64 }{
		"OEE of the slow press":     {slow[OEE], 70. / 130},
		"OEE of the fast press":     {fast[OEE], 0},
		"OEE of both":               {both[OEE], 70. / 260},
		"quality of the slow press": {slow[Quality], 1},
		"quality of both":           {both[Quality], 0.5}, // by ideal time: 70 s of 140 s
		"scrap of both":             {both[Scrap], 0.5},
		"throughput of both":        {both[Throughput], 707. * 3600 / 130},
	} {
		if math.Abs(c.got-c.want) > 1e-12 {
			t.Errorf("%s: got %v, want %v", name, c.got, c.want)
		}
	}
}

// TestOneMachineAloneNeedsNoIdealCycleForQuality: not as a device, and not as its gateway's
// only one. Several without an ideal cycle cannot be weighed.
func TestOneMachineAloneNeedsNoIdealCycleForQuality(t *testing.T) {
	drill := sends{with(func(c *MachineConfig) { c.IdealCycle = 0 }), producing(2, 1)}
	conveyor := sends{with(func(c *MachineConfig) { c.CountMetric, c.GoodMetric = "", "" }), producing(0, 0)}
	alone := plantOf{"drill": drill, "conveyor": conveyor}.run(t, 60)
	for _, group := range []bool{false, true} {
		device := map[bool]telemetry.DeviceName{false: "drill"}[group]
		if got := kpisOf(totalsOf(alone, device), time.Minute, group)[Quality]; got != 0.5 {
			t.Errorf("alone, as a group %t: got %v", group, got)
		}
	}
	two := kpisOf(totalsOf(plantOf{"drill": drill, "mill": drill}.run(t, 60), ""), time.Minute, true)
	if v, ok := two[Quality]; ok {
		t.Errorf("two without an ideal cycle: got %v, want none", v)
	}
}

// TestCalendarTimeComesFromTheClock: sensors are no machines, and a range without windows is
// calendar time.
func TestCalendarTimeComesFromTheClock(t *testing.T) {
	p := plantOf{"press": {new(full()), producing(0.5, 0.5)}}
	many := with(func(c *MachineConfig) { c.Own = false }) // a rule for many devices, which matches the tanks too
	for _, name := range []telemetry.DeviceName{"1", "2", "3", "4", "5", "6", "7", "8", "9"} {
		p["tank-"+name] = sends{many, func(int) map[telemetry.MetricName]float64 {
			return map[telemetry.MetricName]float64{"temperature": 20}
		}}
	}
	totals := totalsOf(p.run(t, 300), "")
	if n := totals.Machines[CalendarSeconds]; n != 1 {
		t.Errorf("got %d machines, want the press alone", n)
	}
	if got := kpisOf(totals, 5*time.Minute, true)[TEEP]; math.Abs(got-150./300) > 1e-12 {
		t.Errorf("five minutes: got TEEP %v", got)
	}
	day := kpisOf(totals, 24*time.Hour, true)
	if math.Abs(day[TEEP]-150./86400) > 1e-12 || math.Abs(day[Throughput]-150./24) > 1e-12 {
		t.Errorf("five minutes in a day: got TEEP %v and throughput %v", day[TEEP], day[Throughput])
	}
	if got := totals.WithClock(24 * time.Hour).Sums[UnreportedSeconds]; got != 86100 {
		t.Errorf("got %v s unreported, want 86100", got)
	}
}

// TestDevicesThatAreMachines: a device with a configuration of its own is one whatever it
// reports; one that a rule for many matches is one from its first state or counter on.
func TestDevicesThatAreMachines(t *testing.T) {
	for metric, want := range map[telemetry.MetricName][2]bool{ // own, rule for many
		"temperature": {true, false}, "state": {true, true}, "cycle_count": {true, true}, "good_count": {true, true},
	} {
		for i, own := range []bool{true, false} {
			config := with(func(c *MachineConfig) { c.Own = own })
			samples := plantOf{"d": {config, func(int) map[telemetry.MetricName]float64 {
				return map[telemetry.MetricName]float64{metric: 0, "pressure": 3}
			}}}.run(t, 20)
			if got := totalsOf(samples, "").Machines[CalendarSeconds] == 1; got != want[i] {
				t.Errorf("%s, configuration of its own %t: got a machine %t, want %t", metric, own, got, want[i])
			}
		}
	}
}

// TestConfiguredMachineIsNotForgotten: a machine with a configuration of its own has windows
// however long it is silent, also after its state was saved, until the configuration is removed.
func TestConfiguredMachineIsNotForgotten(t *testing.T) {
	own := newMachine(t, full())
	machines := machinesOf{"press": own, "tank": newMachine(t, *with(func(c *MachineConfig) { c.Own = false }))}
	s := newShard(t, Config{Machines: machines, Forget: time.Minute})
	b := &telemetry.Batch{Gateway: "gw", Site: "plant", Received: noon}
	for _, device := range []telemetry.DeviceName{"press", "tank"} {
		for metric, v := range producing(1, 1)(7) {
			b.Append(telemetry.Event{Device: device, Metric: metric, Time: noon, Value: v})
		}
	}
	s.Observe(b, noon)
	window := func(at telemetry.Micros) []Sample {
		s.Advance(noon + at + 2*second)
		var out []Sample
		for _, sample := range collect(s) {
			if sample.Time == noon+at && sample.Device != "" && sample.Metric == "" {
				out = append(out, sample)
			}
		}
		if err := s.Decode(s.AppendBinary(nil)); err != nil {
			t.Fatal(err)
		}
		return out
	}
	late := window(3600 * second)
	want := map[Name]float64{
		CalendarSeconds: 5, PlannedSeconds: 5, UnknownSeconds: 5, BusySeconds: 0, Produced: 0, OEEBusySeconds: 0, OEEGoodIdealSeconds: 0,
	}
	for name, v := range want {
		if got := totalsOf(late, "press"); got.Sums[name] != v || got.Machines[OEEBusySeconds] != 1 {
			t.Errorf("after an hour: %s: got %+v, want %v", name, got, v)
		}
	}
	if got := totalsOf(late, "tank"); got.Windows != 0 {
		t.Errorf("a machine without a configuration of its own: got %+v, want nothing", got)
	}
	delete(machines, "press")
	if got := window(7200 * second); len(got) != 0 || len(s.gateways) != 0 {
		t.Errorf("after its configuration was removed: got %v and %d gateways, want none", got, len(s.gateways))
	}
}

// TestNeverDownIsNotUnknown: a machine that has no down state was down for 0 s.
func TestNeverDownIsNotUnknown(t *testing.T) {
	config := with(func(c *MachineConfig) { delete(c.States, 3) })
	for metric, want := range map[telemetry.MetricName]bool{"state": true, "temperature": false} {
		samples := plantOf{"press": {config, func(int) map[telemetry.MetricName]float64 {
			return map[telemetry.MetricName]float64{metric: 0}
		}}}.run(t, 10)
		totals := totalsOf(samples, "")
		for _, name := range []Name{DownSeconds, Failures} {
			if v, ok := totals.Sums[name]; ok != want || v != 0 {
				t.Errorf("%s alone: %s: got %v, %t, want 0, %t", metric, name, v, ok, want)
			}
		}
	}
}

// TestAnotherCounterIsAnotherBase: what was remembered of a metric is no base for the one
// that replaces it in the configuration.
func TestAnotherCounterIsAnotherBase(t *testing.T) {
	machines := machinesOf{"press": newMachine(t, full())}
	s := newShard(t, Config{Machines: machines})
	var samples []Sample
	for i := range 40 {
		if i == 20 {
			c := full()
			c.CountMetric, c.GoodMetric = "strokes", ""
			machines["press"] = newMachine(t, c)
		}
		at := noon + telemetry.Micros(i)*second
		b := &telemetry.Batch{Gateway: "gw", Site: "plant", Received: at}
		for metric, v := range map[telemetry.MetricName]float64{"cycle_count": float64(i), "good_count": 0, "strokes": 1e6 + float64(i)} {
			b.Append(telemetry.Event{Device: "press", Metric: metric, Time: at, Value: v})
		}
		s.Observe(b, at)
		samples = append(samples, collect(s)...)
	}
	produced := totalsOf(samples, "").Sums[Produced]
	if produced < 20 || produced > 40 {
		t.Errorf("got %v produced, want the increases of both counters, and not their difference", produced)
	}
	for i := range samples {
		if samples[i].Name == QualityProduced && samples[i].Time > noon+30*second {
			t.Errorf("without a good counter: got %s at %d", QualityProduced, samples[i].Time)
		}
	}
}

// TestDefinitionsAreComplete: each sum has a value and each KPI known sums.
func TestDefinitionsAreComplete(t *testing.T) {
	known := map[Name]bool{ClockSeconds: true, AllCalendarSeconds: true, OEECalendarSeconds: true, "": true}
	var s Sums
	for _, d := range MachineSums() {
		known[d.Name] = true
		if v := s.of(d.Name, time.Second); d.Name != DownSeconds && math.IsNaN(v) {
			t.Errorf("%s has no value", d.Name)
		}
	}
	for _, d := range Definitions() {
		for _, name := range []Name{d.Over, d.Under, d.GroupOver, d.GroupUnder} {
			if !known[name] {
				t.Errorf("%s: unknown sum %q", d.Name, name)
			}
		}
	}
}
