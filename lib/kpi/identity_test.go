package kpi

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// ratios are the sums of the machines that take part in a ratio.
func ratios() map[Name]bool {
	out := map[Name]bool{}
	for _, d := range MachineSums() {
		if d.ofRatio() {
			out[d.Name] = true
		}
	}
	return out
}

// defaultRow is a rule for many devices, as a new database has it.
func defaultRow() MachineConfig {
	c := full()
	c.IdealCycle, c.Own = 2*time.Second, false
	return c
}

// TestConfigurationChanges: the window within which a machine's configuration changes is in no
// ratio, each other one in those of the configuration of its time, also when the processes
// before and after know nothing of each other. What only looks like a change is none.
func TestConfigurationChanges(t *testing.T) {
	configured := func(change func(*MachineConfig)) *MachineConfig {
		c := defaultRow()
		change(&c)
		return &c
	}
	for name, c := range map[string]struct {
		before, after *MachineConfig
		mixed         bool
		want          Name // in the windows after the change, and
		none          Name // not in them
	}{
		"a row of its own without an ideal cycle": {
			new(defaultRow()), with(func(c *MachineConfig) { c.IdealCycle = 0 }), true, QualityGood, OEEBusySeconds,
		},
		"another ideal cycle": {new(defaultRow()), with(func(*MachineConfig) {}), true, OEEBusySeconds, ""},
		"no good counter": {
			new(defaultRow()), configured(func(c *MachineConfig) { c.GoodMetric = "" }), true, IdealSeconds, OEEBusySeconds,
		},
		"another counter": {
			new(defaultRow()), configured(func(c *MachineConfig) { c.CountMetric = "strokes" }), true, OEEBusySeconds, "",
		},
		"other states":          {new(defaultRow()), configured(func(c *MachineConfig) { delete(c.States, 3) }), true, OEEBusySeconds, ""},
		"no machine before":     {nil, new(defaultRow()), true, OEEBusySeconds, ""},
		"a row of its own like": {new(defaultRow()), configured(func(c *MachineConfig) { c.Own = true }), false, OEEBusySeconds, ""},
		"the same, read again":  {new(defaultRow()), new(defaultRow()), false, OEEBusySeconds, ""},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, another process %t", name, restart), func(t *testing.T) {
				const at = 23 // the second before which the configuration changes
				samples := changing(t, c.before, c.after, at, restart)
				for end := telemetry.Micros(5); end <= 40; end += 5 {
					got := map[Name]bool{}
					for i := range samples {
						if samples[i].Time == noon+end*second {
							got[samples[i].Name] = true
						}
					}
					// At 23 s the window from 20 s is open, and the one before is closed.
					before, within := end <= 20, end == 25
					switch {
					case within && c.mixed:
						for ratio := range ratios() {
							if got[ratio] {
								t.Errorf("within, %d s: got %s, want none", end, ratio)
							}
						}
						if !got[BusySeconds] || !got[Produced] {
							t.Errorf("within, %d s: got no busy time or no items", end)
						}
					case before && got[OEEBusySeconds] != (c.before != nil && end > 5): // that of the counters' bases has none
						t.Errorf("before, %d s: got %s %t", end, OEEBusySeconds, got[OEEBusySeconds])
					case !before && (!got[c.want] || got[c.none]):
						t.Errorf("after, %d s: got %s %t and %s %t", end, c.want, got[c.want], c.none, got[c.none])
					}
				}
			})
		}
	}
}

// changing returns the samples of a press that reports each second for 40 s and is configured
// otherwise from a second on.
func changing(t *testing.T, before, after *MachineConfig, at int, restart bool) (out []Sample) {
	t.Helper()
	machines := machinesOf{}
	if before != nil {
		machines["press"] = newMachine(t, *before)
	}
	s := newShard(t, Config{Machines: machines})
	for i := range 45 {
		if i == at {
			if restart {
				p := s.AppendBinary(nil)
				s = newShard(t, Config{Machines: machines})
				if err := s.Decode(p); err != nil {
					t.Fatal(err)
				}
			}
			machines["press"] = newMachine(t, *after)
		}
		now := noon + telemetry.Micros(i)*second
		b := &telemetry.Batch{Gateway: "gw", Site: "plant", Received: now}
		if i < 40 {
			for metric, v := range map[telemetry.MetricName]float64{
				"state": 0, "cycle_count": float64(i), "good_count": float64(i / 2), "strokes": 1e6 + float64(2*i),
			} {
				b.Append(telemetry.Event{Device: "press", Metric: metric, Time: now, Value: v})
			}
		}
		s.Observe(b, now)
		out = append(out, collect(s)...)
	}
	return out
}

// TestAnotherCounterInAnotherProcess: a counter that replaces another one between two processes
// begins with a base of its own.
func TestAnotherCounterInAnotherProcess(t *testing.T) {
	strokes := defaultRow()
	strokes.CountMetric = "strokes"
	samples := changing(t, new(defaultRow()), &strokes, 23, true)
	// 20 s of the one, and of the other two a second from its first reading at 23 s.
	if got := totalsOf(samples, "press").Sums[Produced]; got != 19+2*16 {
		t.Errorf("got %v produced, want 51", got)
	}
}

// TestMachineOfVersion1: such a state has no identities and is loaded, also when it is saved again
// before the machine is seen; its windows are those of the present configuration.
func TestMachineOfVersion1(t *testing.T) {
	p := []byte{1, 1}
	for _, v := range []telemetry.Micros{5 * second, noon} {
		p = binary.AppendUvarint(p, uint64(v))
	}
	p = append(appendName(appendName(append(binary.AppendVarint(p, int64(noon)), 1), "gw"), "plant"), 0, 0, 0, 1)
	p = binary.AppendUvarint(append(appendName(p, "press"), byte(hasAlive|hasState|hasCount|hasGood)), uint64(second))
	for _, v := range []float64{0, 10, 7} { // state, count, good count
		p = binary.LittleEndian.AppendUint64(p, math.Float64bits(v))
	}
	p = append(p, 1, 0) // a series without windows
	p = append(appendName(p, "state"), 1)
	s := newShard(t, Config{Machines: machinesOf{"press": newMachine(t, defaultRow())}})
	if err := s.Decode(p); err != nil {
		t.Fatal(err)
	}
	if err := s.Decode(s.AppendBinary(nil)); err != nil {
		t.Fatal(err)
	}
	s.Observe(one("press", "cycle_count", noon+second, 12), noon+second)
	s.Observe(one("press", "good_count", noon+second, 8), noon+second)
	s.Advance(noon + 7*second)
	got := totalsOf(collect(s), "press").Sums
	for name, want := range map[Name]float64{
		Produced: 2, Good: 1, OEEGoodIdealSeconds: 2, OEEBusySeconds: 5, PerformanceProductionSeconds: 5,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s: got %v, %t, want %v", name, v, ok, want)
		}
	}
}

// TestParentsOfTwoConfigurations: of two shards that become one, one has not seen the change of a
// machine's configuration. Their window is of both.
func TestParentsOfTwoConfigurations(t *testing.T) {
	strokes := defaultRow()
	strokes.CountMetric = "strokes"
	for _, swap := range []bool{false, true} {
		old, present := newMachine(t, defaultRow()), newMachine(t, strokes)
		machines := machinesOf{"press": old}
		a, b := newShard(t, Config{Machines: machines}), newShard(t, Config{Machines: machines})
		for _, metric := range []telemetry.MetricName{"state", "cycle_count", "good_count"} {
			a.Observe(one("press", metric, noon+second, 5), noon+second)
		}
		machines["press"] = present
		b.Observe(one("press", "strokes", noon+second, 1e6), noon+second)
		if swap {
			a, b = b, a
		}
		a.EmitClosed(func(*Sample) {})
		b.EmitClosed(func(*Sample) {})
		if err := a.Merge(b); err != nil {
			t.Fatal(err)
		}
		for i, metric := range []telemetry.MetricName{"strokes", "state", "good_count"} {
			at := noon + telemetry.Micros(2+i)*second
			a.Observe(one("press", metric, at, 1e6+1), at)
			at += 5 * second
			a.Observe(one("press", metric, at, 1e6+3), at)
		}
		a.Advance(noon + 30*second)
		ofRatio := ratios()
		after := false
		for _, sample := range collect(a) {
			after = after || sample.Time == noon+10*second && sample.Name == OEEBusySeconds
			if sample.Time == noon+5*second && ofRatio[sample.Name] {
				t.Errorf("swapped %t: got %s within", swap, sample.Name)
			}
			if sample.Name == Produced && sample.Value > 3 {
				t.Errorf("swapped %t: got %v produced", swap, sample.Value)
			}
		}
		if !after {
			t.Errorf("swapped %t: got no OEE afterwards", swap)
		}
	}
}

// TestWhatWasMeasuredStays: a machine that is forgotten overnight reports its state first, and
// its counters later, or not any more; what it has done the day before does not change.
func TestWhatWasMeasuredStays(t *testing.T) {
	for name, afterNight := range map[string]*MachineConfig{
		"as before": new(defaultRow()),
		"a counter removed": func() *MachineConfig {
			c := defaultRow()
			c.GoodMetric = ""
			return &c
		}(),
	} {
		machines := machinesOf{"press": newMachine(t, defaultRow())}
		s := newShard(t, Config{Machines: machines, Forget: time.Minute})
		report := func(i int, values map[telemetry.MetricName]float64) []Sample {
			now := noon + telemetry.Micros(i)*second
			b := &telemetry.Batch{Gateway: "gw", Site: "plant", Received: now}
			for metric, v := range values {
				b.Append(telemetry.Event{Device: "press", Metric: metric, Time: now, Value: v})
			}
			s.Observe(b, now)
			return collect(s)
		}
		var day []Sample
		for i := range 60 {
			day = append(day, report(i, producing(0.5, 0.25)(i))...)
		}
		day = append(day, report(600, nil)...) // night
		yesterday := totalsOf(day, "press")
		machines["press"] = newMachine(t, *afterNight)
		var next []Sample
		for i := 1000; i < 1060; i++ {
			next = append(next, report(i, map[telemetry.MetricName]float64{"state": 0})...)
		}
		today := totalsOf(next, "press")
		if today.Machines[BusySeconds] != 1 || today.Machines[OEEBusySeconds] != 0 || yesterday.Machines[OEEBusySeconds] != 1 {
			t.Fatalf("%s: got %+v and %+v", name, yesterday, today)
		}
		both := kpisOf(totalsOf(append(day, next...), "press"), time.Hour, true)
		for _, kpi := range []string{OEE, Performance, Quality} {
			if want := kpisOf(yesterday, time.Hour, true)[kpi]; want == 0 || both[kpi] != want {
				t.Errorf("%s: %s: got %v, want %v", name, kpi, both[kpi], want)
			}
		}
	}
}

// TestQualityIsOfThoseThatAreCounted: of several machines only those with an ideal cycle are in
// the quality of all.
func TestQualityIsOfThoseThatAreCounted(t *testing.T) {
	drill := sends{with(func(c *MachineConfig) { c.IdealCycle = 0 }), producing(2, 1)}
	press := sends{new(full()), producing(1, 1)}
	for name, c := range map[string]struct {
		plant plantOf
		want  int64
	}{
		"one without an ideal cycle": {plantOf{"drill": drill}, 1},
		"two without":                {plantOf{"drill": drill, "mill": drill}, 0},
		"one with and one without":   {plantOf{"drill": drill, "press": press}, 1},
		"two with and one without":   {plantOf{"drill": drill, "press": press, "saw": press}, 2},
	} {
		totals := totalsOf(c.plant.run(t, 30), "")
		for _, d := range Definitions() {
			if d.Name != Quality {
				continue
			}
			if got := d.Machines(totals, true); got != c.want {
				t.Errorf("%s: got %d machines in the quality, want %d", name, got, c.want)
			}
		}
	}
}

// TestConfigurationChangesHoweverBatchesAreCut changes the configuration of random fleets
// between two records. The samples are the same however the records are cut, and whichever
// process had seen which configuration; no ratio is of readings from before and after.
func TestConfigurationChangesHoweverBatchesAreCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, next := drawFleet(t), drawFleet(t)
		f.config.Limits = Limits{Runs: testRuns, Changes: testRuns}
		offers := drawOffers(t, 120)
		cut := rapid.IntRange(0, len(offers)).Draw(t, "change")
		for cut > 0 && cut < len(offers) && offers[cut].arrival == offers[cut-1].arrival { // not within a record
			cut--
		}
		for d := range next.machines { // some change a little, or not at all
			switch c := f.machines[d]; rapid.IntRange(0, 3).Draw(t, "what changes") {
			case 0:
				next.machines[d] = c
			case 1:
				c.IdealCycle = max(0, 400-c.IdealCycle)
				next.machines[d] = c
			case 2:
				delete(next.machines, d)
			}
		}
		run := func(chance func() bool) result {
			got := result{}
			emit := func(sample *Sample) { got.add(t, sample) }
			config := f.config
			machines := fleet{checked: map[telemetry.DeviceName]*Machine{}}
			config.Machines = machines
			read := func(configs map[telemetry.DeviceName]MachineConfig) { // as another process does
				clear(machines.checked)
				for d, c := range configs {
					m, err := NewMachine(c)
					if err != nil {
						t.Fatal(err)
					}
					machines.checked[d] = m
				}
			}
			s, err := NewShard(config)
			if err != nil {
				t.Fatal(err)
			}
			for i, configs := range []map[telemetry.DeviceName]MachineConfig{f.machines, next.machines} {
				part := [][]offer{offers[:cut], offers[cut:]}[i]
				if read(configs); chance() {
					reload(t, s)
				}
				feed(t, s, part, chance, func() bool {
					if chance() {
						read(configs)
						return true
					}
					return false
				}, emit)
				s.EmitClosed(emit)
			}
			s.Advance(noon + 60_000)
			s.EmitClosed(emit)
			return got
		}
		want := run(func() bool { return false })
		compare(t, want, run(func() bool { return rapid.IntRange(0, 3).Draw(t, "chance") == 0 }))

		// The windows that are open at the change and have readings are in no ratio.
		ofRatio := ratios()
		o := oracle{c: f.config, machines: f.machines}
		if cut == 0 || cut == len(offers) {
			return
		}
		o.reduce(offers[:cut], 0)
		for _, of := range o.accepted {
			d := of.event.Device
			one, is := next.machines[d]
			if !is || f.checked[d] == nil || f.checked[d].identity == check(t, one).identity {
				continue
			}
			end := o.endOf(of.event.Time)
			if end+micros(f.config.Lateness) <= offers[cut-1].arrival {
				continue // was closed
			}
			for k := range want {
				if k.gateway == of.gateway && k.device == d && k.end == end && ofRatio[k.name] {
					t.Errorf("%+v: is of two configurations", k)
				}
			}
		}
	})
}

func check(t *rapid.T, c MachineConfig) *Machine {
	m, err := NewMachine(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
