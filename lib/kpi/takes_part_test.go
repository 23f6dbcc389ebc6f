package kpi

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/insighthub/insighthub/lib/telemetry"
)

type eachSecond = func(int) map[telemetry.MetricName]float64

// from reports what of does, but the metric only from a second on.
func from(second int, metric telemetry.MetricName, of eachSecond) eachSecond {
	return func(i int) map[telemetry.MetricName]float64 {
		out := of(i)
		if i < second {
			delete(out, metric)
		}
		return out
	}
}

// TestNoScrapInTheWindowOfABase: a counter counts nothing until its first reading, so the window
// of that has only a part of its items, and is in no ratio that needs it.
func TestNoScrapInTheWindowOfABase(t *testing.T) {
	assumed := with(func(c *MachineConfig) { c.GoodMetric, c.AssumeGood = "", true })
	all := map[string]float64{Quality: 1, Scrap: 0, Performance: 1, OEE: 1}
	for name, c := range map[string]struct {
		of       sends
		want     map[string]float64
		produced float64 // in the sums of quality
	}{
		"a good counter at 30 s": {
			sends{new(full()), from(30, "good_count", producing(1, 1))}, all, 25,
		},
		"within a window": {
			sends{new(full()), from(33, "good_count", producing(1, 1))}, all, 25,
		},
		"the count at 31 s": {
			sends{new(full()), from(31, "cycle_count", producing(1, 0.5))},
			map[string]float64{Quality: 0.5, Scrap: 0.5, Performance: 1, OEE: 0.5},
			25,
		},
		"assumed good": {
			sends{assumed, from(31, "cycle_count", producing(1, 0))}, all, 25,
		},
		"no ideal cycle": {
			sends{with(func(c *MachineConfig) { c.IdealCycle = 0 }), from(31, "good_count", producing(1, 1))},
			map[string]float64{Quality: 1, Scrap: 0},
			25,
		},
		"in the last window": {
			sends{new(full()), from(56, "good_count", producing(1, 1))}, map[string]float64{Performance: 1}, 0,
		},
	} {
		totals := totalsOf(plantOf{"press": c.of}.run(t, 60), "")
		got := kpisOf(totals, time.Minute, false)
		for _, other := range []string{Availability, TEEP, Throughput} {
			delete(got, other)
		}
		if diff := cmp.Diff(c.want, got, cmpopts.EquateApprox(0, 1e-12)); diff != "" {
			t.Errorf("%s: KPIs differ (-want +got):\n%s", name, diff)
		}
		if got := totals.Sums[QualityProduced]; got != c.produced {
			t.Errorf("%s: got %v items in the quality, want %v", name, got, c.produced)
		}
	}
}

// TestNoScrapWhenACounterBeginsAnew: it does when its machine was forgotten, or another metric
// replaces it.
func TestNoScrapWhenACounterBeginsAnew(t *testing.T) {
	rule := newMachine(t, defaultRow())
	other := defaultRow()
	other.GoodMetric = "fine"
	for name, c := range map[string]struct {
		after  *Machine
		forget time.Duration
	}{"forgotten": {rule, time.Minute}, "another metric": {newMachine(t, other), time.Hour}} {
		machines := machinesOf{"press": rule}
		s := newShard(t, Config{Machines: machines, Forget: c.forget})
		var samples []Sample
		report := func(from, to int, metrics ...telemetry.MetricName) {
			for i := from; i < to; i++ {
				now := noon + telemetry.Micros(i)*second
				b := &telemetry.Batch{Gateway: "gw", Site: "plant", Received: now}
				for _, metric := range metrics {
					value := float64(i)
					if metric == "state" {
						value = 0
					}
					b.Append(telemetry.Event{Device: "press", Metric: metric, Time: now, Value: value})
				}
				s.Observe(b, now)
				samples = append(samples, collect(s)...)
			}
		}
		report(0, 60, "state", "cycle_count", "good_count")
		report(600, 601)
		machines["press"] = c.after
		report(1000, 1031, "state", "cycle_count")
		report(1031, 1060, "state", "cycle_count", "good_count", "fine")
		s.Advance(noon + 1070*second)
		totals := totalsOf(append(samples, collect(s)...), "press")
		if got := totals.Sums[QualityProduced]; got != 55+25 || totals.Sums[QualityGood] != got {
			t.Errorf("%s: got %v of %v items, want 80 of 80", name, totals.Sums[QualityGood], got)
		}
	}
}

// inState reports a machine that makes an item a second, all of them good, and is in a state
// from one second to another; otherwise it is in production.
func inState(state float64, from, to int) eachSecond {
	return func(i int) map[telemetry.MetricName]float64 {
		out := producing(1, 1)(i)
		if i >= from && i < to {
			out["state"] = state
		}
		return out
	}
}

// TestItemsOfUnknownTimeAreInNoIdealTime: the items of time that is not in the denominator of
// performance and OEE are not in the numerator either. They are produced, and in the quality.
func TestItemsOfUnknownTimeAreInNoIdealTime(t *testing.T) {
	const unconfigured, pause = 99, 7
	press := with(func(c *MachineConfig) { c.States[pause] = State{Element: NotPlanned} })
	shift := with(func(c *MachineConfig) { c.Shifts = []Shift{shiftFrom(noon+20*second, noon+50*second)} })
	sparse := func(each int) eachSecond {
		return func(i int) map[telemetry.MetricName]float64 {
			if i%each != 0 {
				return nil
			}
			return producing(1, 1)(i)
		}
	}
	for name, c := range map[string]struct {
		of                              sends
		ideal, production, busy, pieces float64 // pieces are the produced ones, all of them good
	}{
		"production":                   {sends{press, producing(1, 1)}, 60, 60, 60, 60},
		"a code without a meaning":     {sends{press, inState(unconfigured, 20, 50)}, 30, 30, 30, 60},
		"a break":                      {sends{press, inState(pause, 20, 40)}, 40, 40, 40, 60},
		"a break within a window":      {sends{press, inState(pause, 22, 24)}, 58, 58, 58, 60},
		"idle":                         {sends{press, inState(1, 20, 40)}, 60, 40, 60, 60},
		"before the first state":       {sends{press, from(30, "state", producing(1, 1))}, 29, 30, 30, 60},
		"always silent for 4 s of 2 s": {sends{with(func(c *MachineConfig) { c.StaleLimit = 2 * time.Second }), sparse(4)}, 0, 30, 30, 60},
		"silent for as long as it may": {sends{with(func(c *MachineConfig) { c.StaleLimit = 4 * time.Second }), sparse(4)}, 60, 60, 60, 60},
		// The reading at its begin shows an item of before; that at its end is after it.
		"a shift of 30 s": {sends{shift, producing(1, 1)}, 29, 30, 30, 30},
	} {
		sums := totalsOf(plantOf{"press": c.of}.run(t, 60), "").Sums
		for sum, want := range map[Name]float64{
			IdealSeconds: c.ideal, OEEGoodIdealSeconds: c.ideal, PerformanceProductionSeconds: c.production, OEEBusySeconds: c.busy,
			Produced: c.pieces, Good: c.pieces, QualityIdealSeconds: c.pieces, QualityGoodIdealSeconds: c.pieces, QualityProduced: c.pieces,
		} {
			if got := sums[sum]; got != want {
				t.Errorf("%s: %s: got %v, want %v", name, sum, got, want)
			}
		}
	}
}

// shiftFrom returns a shift of the week of those times.
func shiftFrom(from, to telemetry.Micros) Shift {
	start := time.Duration((from-firstMonday)%micros(week)) * time.Microsecond
	return Shift{Start: start, End: start + time.Duration(to-from)*time.Microsecond}
}
