package kpi

import (
	"cmp"
	"slices"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// machineWindow is a machine's readings in the window that closes.
type machineWindow struct {
	start, end telemetry.Micros
	// alive says that there are usable readings of any metric, from first to last.
	alive       bool
	first, last telemetry.Micros
	// readings are the times of all readings, in order. They are needed where the stale
	// limit is less than the window, and otherwise nil.
	readings      []telemetry.Micros
	states        timeline
	counts, goods counted

	elements [elements]telemetry.Micros
	down     []telemetry.Micros // by reason
	// notBusy is the time of unknown and not_planned states, in order, from just before the
	// window on. It is nil if there are no readings of counters.
	notBusy []silence
}

func (m *machineWindow) include(first, last telemetry.Micros) {
	if !m.alive {
		m.alive, m.first, m.last = true, first, last
		return
	}
	m.first, m.last = min(m.first, first), max(m.last, last)
}

// update sets c to the window's last values; integrate has updated the counters.
func (c *carry) update(m *machineWindow) {
	if m.alive {
		c.alive = m.last
		c.has |= hasAlive
	}
	if n := len(m.states); n > 0 {
		c.state = m.states[n-1].value
		c.has |= hasState
	}
	if len(m.counts.line) > 0 {
		c.has |= hasCount
	}
	if len(m.goods.line) > 0 {
		c.has |= hasGood
	}
}

// integrate returns the window's sums, and sets m.down and the counters of c.
func (m *machineWindow) integrate(machine *Machine, c *carry, window telemetry.Micros) Sums {
	m.down = make([]telemetry.Micros, len(machine.reasons))
	failures := m.integrateStates(machine, c, window)
	sums := Sums{
		Calendar:   duration(m.end - m.start),
		Planned:    duration(machine.planned(m.start, m.end)),
		Production: duration(m.elements[Production]),
		Idle:       duration(m.elements[Idle]),
		Setup:      duration(m.elements[Setup]),
		Down:       duration(m.elements[Down]),
		Unknown:    duration(m.elements[Unknown]),
		Failures:   failures,
	}
	sums.Produced, sums.BusyProduced = m.increase(machine, m.counts, &c.count, c.has&hasCount != 0)
	sums.Good, sums.BusyGood = m.increase(machine, m.goods, &c.good, c.has&hasGood != 0)
	sums.Busy = sums.Production + sums.Idle + sums.Setup + sums.Down
	if machine.assumeGood {
		sums.Good, sums.BusyGood = sums.Produced, sums.BusyProduced
	}
	return sums
}

func duration(m telemetry.Micros) time.Duration { return time.Duration(m) * time.Microsecond }

// silence is a part of the window that is longer than the stale limit after a reading.
type silence struct{ from, to telemetry.Micros }

// silences returns those of the window, in order.
func (m *machineWindow) silences(machine *Machine, c *carry, window telemetry.Micros) (out []silence) {
	stale, readings, first := machine.stale, m.readings, [...]telemetry.Micros{m.first}
	if m.alive && readings == nil { // they are not needed, or not known
		stale, readings = max(stale, window), first[:]
	}
	last, known := c.alive, c.has&hasAlive != 0
	for i := range len(readings) + 1 {
		at := m.end
		if i < len(readings) {
			at = readings[i]
		}
		if from := max(m.start, last+stale); known && from < at {
			out = append(out, silence{from, at})
		}
		last, known = at, true
	}
	return out
}

// integrateStates sums the window's planned time by element and returns the number of
// failures in planned time. Before the first reading the carried state continues. It is
// unknown while the silence since the last reading of any metric exceeds the stale limit.
func (m *machineWindow) integrateStates(machine *Machine, c *carry, window telemetry.Micros) (failures uint64) {
	var current meaning
	if c.has&hasState != 0 {
		current = machine.meaningOf(c.state)
		if c.has&(wasUp|wasDown) == 0 { // a state of version 1
			c.was(current.element)
		}
	}
	silences := m.silences(machine, c, window)
	if before := m.start - 1; c.has&hasAlive == 0 || before >= c.alive+machine.stale {
		m.exclude(meaning{}, before, m.start)
	} else {
		m.exclude(current, before, m.start)
	}
	at := m.start
	advance := func(to telemetry.Micros) {
		for _, s := range silences {
			m.add(machine, current, at, min(to, s.from))
			m.add(machine, meaning{}, max(at, s.from), min(to, s.to))
			at = max(at, min(to, s.to))
		}
		m.add(machine, current, at, to)
		at = to
	}
	for _, s := range m.states {
		t := m.start + telemetry.Micros(s.first)
		advance(t)
		current = machine.meaningOf(s.value)
		if current.element == Down && c.has&wasUp != 0 && machine.isPlanned(t) {
			failures++
		}
		c.was(current.element)
	}
	advance(m.end)
	return failures
}

// was remembers whether the last state with a meaning is down: a machine that is down,
// silent or in a state without a meaning, and down again had one failure.
func (c *carry) was(e Element) {
	switch e {
	case Unknown:
	case Down:
		c.has = c.has&^wasUp | wasDown
	case Production, Idle, Setup, NotPlanned:
		c.has = c.has&^wasDown | wasUp
	}
}

// add adds the planned part of the time from a to b, if b is after a.
func (m *machineWindow) add(machine *Machine, of meaning, a, b telemetry.Micros) {
	if a >= b {
		return
	}
	m.exclude(of, a, b)
	d := machine.planned(a, b)
	m.elements[of.element] += d
	if of.element == Down {
		m.down[of.reason] += d
	}
}

// exclude adds the time from a to b to notBusy if its element is not a busy one.
func (m *machineWindow) exclude(of meaning, a, b telemetry.Micros) {
	if (of.element == Unknown || of.element == NotPlanned) && len(m.counts.line)+len(m.goods.line) > 0 {
		m.notBusy = append(m.notBusy, silence{a, b})
	}
}

// isBusy reports whether the microsecond at t, from just before the window on, is planned busy time.
func (m *machineWindow) isBusy(machine *Machine, t telemetry.Micros) bool {
	i, _ := slices.BinarySearchFunc(m.notBusy, t, func(s silence, t telemetry.Micros) int { return cmp.Compare(s.to, t+1) })
	return (i == len(m.notBusy) || m.notBusy[i].from > t) && machine.isPlanned(t)
}
