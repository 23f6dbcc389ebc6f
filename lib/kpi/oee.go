package kpi

import (
	"math"
	"time"
)

// Sums are the times and counts of a machine in a window, in planned time except Calendar.
type Sums struct {
	// Calendar is all time, Planned the time in shifts.
	Calendar, Planned time.Duration
	// Busy is the planned busy time (PBT) in known states: the sum of Production, Idle,
	// Setup and Down.
	Busy time.Duration
	// Production is the actual production time (APT).
	Production time.Duration
	// Idle, Setup and Down are the actual delay, setup and down times (ADET, AUST, ADOT).
	Idle, Setup, Down time.Duration
	// Unknown is the planned time in unknown states.
	Unknown time.Duration
	// Produced and Good are the produced and the good quantity (PQ, GQ).
	Produced, Good float64
	// BusyProduced and BusyGood are the part of them that was made in busy time.
	BusyProduced, BusyGood float64
	// Failures is the number of transitions to down (failure events, FE).
	Failures uint64
}

// needs returns what the machine reports or has, given what it has reported until now.
func (m *Machine) needs(reported carried) Needs {
	var n Needs
	if m.state != "" && reported&hasState != 0 {
		n |= NeedState
	}
	if m.count != "" && reported&hasCount != 0 {
		n |= NeedCount
	}
	if m.good != "" && reported&hasGood != 0 || m.assumeGood && n&NeedCount != 0 {
		n |= NeedGood
	}
	if m.ideal > 0 {
		n |= NeedIdealCycle
	}
	return n
}

// isMachine reports whether a device is a machine, given what it reports: one that is
// configured by its name always is, any other by a state or counter.
func (d *device) isMachine(n Needs) bool { return d.own() || n&(NeedState|NeedCount|NeedGood) != 0 }

// sums emits the sums of a machine's window for which it reports what they need. Those of the
// ratios need counters that were reported before the window: it has only a part of the items
// of one whose first reading is in it. In a mixed window before is 0, so it has none of them.
func (c *closer) sums(machine *Machine, n, before Needs, s *Sums, m *machineWindow) {
	for i := range c.shard.machineSums {
		d := &c.shard.machineSums[i]
		switch {
		case n&d.Needs != d.Needs, d.ofRatio() && before&d.counters() != d.counters():
		case d.Name == DownSeconds:
			for i, reason := range machine.reasons {
				c.sample.Reason = reason
				c.put(DownSeconds, seconds(m.down[i]))
			}
			c.sample.Reason = ""
			if len(machine.reasons) == 0 { // never down, which is not the same as unknown
				c.put(DownSeconds, 0)
			}
		default:
			c.put(d.Name, s.of(d.Name, machine.ideal))
		}
	}
}

// of returns the sum of that name.
func (s *Sums) of(name Name, ideal time.Duration) float64 {
	switch name { //nolint:exhaustive // those of machines
	case CalendarSeconds:
		return seconds(micros(s.Calendar))
	case PlannedSeconds:
		return seconds(micros(s.Planned))
	case BusySeconds, OEEBusySeconds:
		return seconds(micros(s.Busy))
	case ProductionSeconds, PerformanceProductionSeconds:
		return seconds(micros(s.Production))
	case IdleSeconds:
		return seconds(micros(s.Idle))
	case SetupSeconds:
		return seconds(micros(s.Setup))
	case UnknownSeconds:
		return seconds(micros(s.Unknown))
	case Failures:
		return float64(s.Failures)
	case Produced, QualityProduced:
		return s.Produced
	case Good, QualityGood:
		return s.Good
	case IdealSeconds:
		return idealTime(ideal, s.BusyProduced)
	case QualityIdealSeconds:
		return idealTime(ideal, s.Produced)
	case QualityGoodIdealSeconds:
		return idealTime(ideal, s.Good)
	case OEEGoodIdealSeconds:
		return idealTime(ideal, s.BusyGood)
	}
	return math.NaN() // MachineSums has a name that is missing here; a test finds it
}

// idealTime returns the ideal time of items in seconds.
func idealTime(cycle time.Duration, items float64) float64 {
	return float64(cycle/time.Microsecond) * items / 1e6
}
