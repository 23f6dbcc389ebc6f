package kpi

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Element is a time element of ISO 22400-2, as which the time of a machine in a state
// counts; OPC 40001-1 Annex C.2 proposes a mapping from the states of machines.
type Element uint8

// The time elements. All but NotPlanned and Unknown are parts of the planned busy time.
const (
	// Unknown is the time in which the state is not configured, was never reported, or
	// the machine has been silent for longer than its stale limit.
	Unknown Element = iota
	// Production is actual production time (APT).
	Production
	// Idle is actual delay time (ADET): the machine has an order and does not produce,
	// for example because it waits for material.
	Idle
	// Setup is actual setup time (AUST).
	Setup
	// Down is actual down time (ADOT), with a reason.
	Down
	// NotPlanned is time within a shift that is not busy time: a break, preventive
	// maintenance, no order.
	NotPlanned
	elements = iota // their number
)

// State is the meaning of a state code. Reason is for Down only.
type State struct {
	Element Element
	Reason  string
}

// Shift is a planned part of the week, [Start, End), as offsets from Monday 00:00 UTC. A
// shift across the end of the week is configured as two.
type Shift struct{ Start, End time.Duration }

// MachineConfig is an operator's configuration of a machine. A metric with an empty name
// is not reported by the machine, and its KPIs have no samples.
type MachineConfig struct {
	// StateMetric reports state codes: whole numbers.
	StateMetric telemetry.MetricName
	States      map[int]State
	// CountMetric and GoodMetric report counters of produced items and of good items.
	CountMetric, GoodMetric telemetry.MetricName
	// AssumeGood says that every produced item is good. It is for machines that do not
	// report good items.
	AssumeGood bool
	// CounterModulus is the number of values of the counters, such as 65,536 for 16 bits:
	// after the last one they continue with the first. 0: they do not roll over.
	CounterModulus int64
	// IdealCycle is the planned runtime per item (PRI); 0 if it is not known.
	IdealCycle time.Duration
	// Shifts are the planned time. Nil: all time is planned; empty, but not nil: none is.
	Shifts []Shift
	// StaleLimit is the silence after which the state is unknown: default 60 s.
	StaleLimit time.Duration
	// Own says that the device is configured by its name, so it is a machine whatever it
	// reports. One that a rule for many devices matches is a machine once it has reported
	// its state or a counter.
	Own bool
}

// Machine is a validated MachineConfig. It is immutable, so it may be shared.
type Machine struct {
	state, count, good telemetry.MetricName
	states             map[int]meaning
	reasons            []string // sorted
	modulus            float64  // 0: none
	ideal              time.Duration
	always             bool // all time is planned
	shifts             []shift
	stale              telemetry.Micros
	assumeGood, own    bool
	identity           identity

	revoked, provisional bool
}

type meaning struct {
	element Element
	reason  int // index into reasons
}

type shift struct{ start, end telemetry.Micros }

const (
	week      = 7 * 24 * time.Hour
	maxStates = 256
	// maxInteger is the greatest integer up to which a float64 holds all of them.
	maxInteger = 1 << 53
	// firstMonday is the Monday of the week that contains the Unix epoch.
	firstMonday = telemetry.Micros(-3 * 24 * time.Hour / time.Microsecond)
)

// NewMachine validates c. Its error wraps telemetry.ErrInvalid and names every problem.
func NewMachine(c MachineConfig) (*Machine, error) {
	c.StaleLimit = cmp.Or(c.StaleLimit, time.Minute)
	var p problems
	p.expect(c.StaleLimit > 0 && c.StaleLimit <= maxForget, "stale limit %s: want more than 0 and at most 366 days", c.StaleLimit)
	p.expect(c.IdealCycle >= 0, "ideal cycle %s: want 0 or more", c.IdealCycle)
	p.expect(len(c.States) <= maxStates, "%d states: want at most %d", len(c.States), maxStates)
	for _, name := range []telemetry.MetricName{c.StateMetric, c.CountMetric, c.GoodMetric} {
		if name != "" {
			err := telemetry.ValidName(name)
			p.expect(err == nil, "metric: %v", err)
		}
	}
	p.expect(c.StateMetric == "" || c.StateMetric != c.CountMetric && c.StateMetric != c.GoodMetric,
		"state metric %q: want another than for the counters", c.StateMetric)
	p.expect(c.CountMetric == "" || c.CountMetric != c.GoodMetric, "count metric %q: want another for good items", c.CountMetric)
	p.expect(!c.AssumeGood || c.CountMetric != "" && c.GoodMetric == "", "assume good: want a count metric and no good metric")
	p.expect(c.CounterModulus == 0 || c.CounterModulus >= 2 && c.CounterModulus <= maxInteger,
		"counter modulus %d: want 2 to %d", c.CounterModulus, int64(maxInteger))
	m := &Machine{
		state: c.StateMetric, count: c.CountMetric, good: c.GoodMetric, ideal: c.IdealCycle,
		modulus: float64(c.CounterModulus), always: c.Shifts == nil,
		stale: micros(c.StaleLimit), states: make(map[int]meaning, len(c.States)),
		assumeGood: c.AssumeGood, own: c.Own,
	}
	for _, code := range slices.Sorted(maps.Keys(c.States)) {
		s := c.States[code]
		p.expect(code >= -maxInteger && code <= maxInteger, "state %d: want at most 2^53", code)
		p.expect(s.Element < Element(elements), "state %d: unknown element %d", code, s.Element)
		p.expect(s.Element == Down || s.Reason == "", "state %d: want no reason unless it is down", code)
		if s.Element == Down {
			m.reasons = append(m.reasons, s.Reason)
		}
	}
	slices.Sort(m.reasons)
	m.reasons = slices.Compact(m.reasons)
	for code, s := range c.States {
		reason, _ := slices.BinarySearch(m.reasons, s.Reason)
		m.states[code] = meaning{s.Element, reason}
	}
	for _, s := range c.Shifts {
		p.expect(s.Start >= 0 && s.Start < s.End && s.End <= week,
			"shift from %s to %s: want a start before the end, within the week", s.Start, s.End)
		m.shifts = append(m.shifts, shift{micros(s.Start), micros(s.End)})
	}
	slices.SortFunc(m.shifts, func(a, b shift) int { return int(a.start - b.start) })
	for i := 1; i < len(m.shifts); i++ {
		p.expect(m.shifts[i-1].end <= m.shifts[i].start, "shifts overlap")
	}
	if err := p.join("machine"); err != nil {
		return nil, err
	}
	m.identity = m.identify(&c)
	return m, nil
}

// Revoked returns the machine of a gateway that may send nothing more: it ends with its stale
// limit, even if it is configured by its name.
func (m *Machine) Revoked() *Machine {
	c := *m
	c.revoked = true
	return &c
}

// Provisional returns a machine that stands for a configuration that has not been read: a
// device that was configured by its name is still a machine.
func (m *Machine) Provisional() *Machine {
	c := *m
	c.provisional = true
	return &c
}

// meaningOf returns the meaning of state code v.
func (m *Machine) meaningOf(v float64) meaning {
	code := int(v)
	if float64(code) != v {
		return meaning{}
	}
	return m.states[code]
}

// planned returns how much of the time from a to b is planned.
func (m *Machine) planned(a, b telemetry.Micros) telemetry.Micros {
	if a >= b {
		return 0
	}
	if m.always {
		return b - a
	}
	var sum telemetry.Micros
	for monday := floor(a-firstMonday, micros(week)) + firstMonday; monday < b; monday += micros(week) {
		for _, s := range m.shifts {
			sum += max(0, min(b, monday+s.end)-max(a, monday+s.start))
		}
	}
	return sum
}

// isPlanned reports whether the microsecond at t is planned.
func (m *Machine) isPlanned(t telemetry.Micros) bool { return m.planned(t, t+1) > 0 }
