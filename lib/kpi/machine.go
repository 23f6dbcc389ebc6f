package kpi

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Element is what a machine's time in a state counts as, after the time
// elements of ISO 22400-2; OPC 40001-1 Annex C.2 proposes how the states that
// machines report map to them.
type Element uint8

// The elements. All but NotPlanned and Unknown are parts of the planned busy time.
const (
	// Unknown: the state has no meaning in the configuration, was never
	// reported, or the machine has been silent for longer than its stale limit.
	Unknown Element = iota
	// Production is actual production time (APT).
	Production
	// Idle is actual delay time (ADET): there is work and the machine does none,
	// as when it waits for material.
	Idle
	// Setup is actual setup time (AUST).
	Setup
	// Down is actual down time (ADOT), with a reason.
	Down
	// NotPlanned is time inside the calendar that the plan takes out of the busy
	// time after all: a break, preventive maintenance, no order.
	NotPlanned
	elements = iota // how many there are
)

// State is what one state code means. Reason is for Down alone.
type State struct {
	Element Element
	Reason  string
}

// Shift is a planned part of the week, from Start to before End, as offsets from
// Monday 00:00 UTC. One that passes the end of the week is written as two.
type Shift struct{ Start, End time.Duration }

// MachineConfig is what an operator says about a machine. A metric without a
// name is one that the machine does not report, and its figures stay away.
type MachineConfig struct {
	// StateMetric reports state codes: whole numbers.
	StateMetric telemetry.MetricName
	States      map[int]State
	// CountMetric and GoodMetric report ever-growing counts of items produced
	// and of good items. A decrease is a reset to zero.
	CountMetric, GoodMetric telemetry.MetricName
	// IdealCycle is the planned runtime per item (PRI).
	IdealCycle time.Duration
	// Shifts are the planned time; none means always.
	Shifts []Shift
	// StaleLimit is the silence after which the state is unknown: default 60 s.
	// One shorter than the window counts as the window.
	StaleLimit time.Duration
}

// Machine is a MachineConfig that was checked. It is not changed any more, so it
// may be shared.
type Machine struct {
	state, count, good telemetry.MetricName
	states             map[int]meaning
	reasons            []string // sorted
	ideal              time.Duration
	shifts             []shift
	stale              telemetry.Micros
}

type meaning struct {
	element Element
	reason  int // index into reasons
}

type shift struct{ start, end telemetry.Micros }

const (
	week         = 7 * 24 * time.Hour
	defaultStale = time.Minute
	maxStates    = 256
	// firstMonday is the Monday of the week in which the Unix epoch lies.
	firstMonday = telemetry.Micros(-3 * 24 * time.Hour / time.Microsecond)
)

// NewMachine checks c. Its error wraps telemetry.ErrInvalid and names all that is wrong.
func NewMachine(c MachineConfig) (*Machine, error) {
	var wrong []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Errorf("%w: machine: "+format, append([]any{telemetry.ErrInvalid}, args...)...))
		}
	}
	if c.StaleLimit == 0 {
		c.StaleLimit = defaultStale
	}
	want(c.StaleLimit > 0 && c.StaleLimit <= maxForget, "stale limit %s", c.StaleLimit)
	want(c.IdealCycle >= 0, "ideal cycle %s", c.IdealCycle)
	want(len(c.States) <= maxStates, "%d states, want at most %d", len(c.States), maxStates)
	for _, name := range []telemetry.MetricName{c.StateMetric, c.CountMetric, c.GoodMetric} {
		if name != "" {
			err := telemetry.ValidName(name)
			want(err == nil, "metric: %v", err)
		}
	}
	want(c.StateMetric == "" || c.StateMetric != c.CountMetric && c.StateMetric != c.GoodMetric, "the state's metric is a count, too")
	want(c.CountMetric == "" || c.CountMetric != c.GoodMetric, "one metric for the count and the good count")
	m := &Machine{
		state: c.StateMetric, count: c.CountMetric, good: c.GoodMetric, ideal: c.IdealCycle,
		stale: micros(c.StaleLimit), states: make(map[int]meaning, len(c.States)),
	}
	for code, s := range c.States {
		want(s.Element < Element(elements), "state %d: element %d", code, s.Element)
		want(s.Element == Down || s.Reason == "", "state %d: a reason without being down", code)
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
		want(s.Start >= 0 && s.Start < s.End && s.End <= week, "shift from %s to %s", s.Start, s.End)
		m.shifts = append(m.shifts, shift{micros(s.Start), micros(s.End)})
	}
	slices.SortFunc(m.shifts, func(a, b shift) int { return int(a.start - b.start) })
	for i := 1; i < len(m.shifts); i++ {
		want(m.shifts[i-1].end <= m.shifts[i].start, "shifts overlap")
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	return m, nil
}

// meaningOf returns what the state code v counts as.
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
	if len(m.shifts) == 0 {
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
