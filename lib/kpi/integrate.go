package kpi

import (
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// machineWindow is a machine's readings in the window that closes.
type machineWindow struct {
	start, end telemetry.Micros
	// alive says that there are usable readings of any metric, from first to last.
	alive         bool
	first, last   telemetry.Micros
	states        timeline
	counts, goods counted

	elements [elements]telemetry.Micros
	down     []telemetry.Micros // by reason
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
	failures := m.integrateStates(machine, c, max(machine.stale, window))
	sums := Sums{
		Calendar:   duration(m.end - m.start),
		Planned:    duration(machine.planned(m.start, m.end)),
		Production: duration(m.elements[Production]),
		Idle:       duration(m.elements[Idle]),
		Setup:      duration(m.elements[Setup]),
		Down:       duration(m.elements[Down]),
		Unknown:    duration(m.elements[Unknown]),
		Failures:   failures,
		Produced:   m.increase(machine, m.counts, &c.count, c.has&hasCount != 0),
		Good:       m.increase(machine, m.goods, &c.good, c.has&hasGood != 0),
	}
	sums.Busy = sums.Production + sums.Idle + sums.Setup + sums.Down
	if machine.assumeGood {
		sums.Good = sums.Produced
	}
	return sums
}

func duration(m telemetry.Micros) time.Duration { return time.Duration(m) * time.Microsecond }

// integrateStates sums the window's planned time by element and returns the number of
// failures in planned time. Before the first reading the carried state continues, until
// the silence since the last reading of any metric exceeds stale; within the window no
// silence can, since stale is at least its length.
func (m *machineWindow) integrateStates(machine *Machine, c *carry, stale telemetry.Micros) (failures uint64) {
	silentFrom, silentTo := m.start, m.end
	if c.has&hasAlive != 0 {
		silentFrom = max(m.start, c.alive+stale)
	}
	if m.alive {
		silentTo = m.first
	}
	silentTo = max(silentFrom, silentTo)

	var current meaning
	if c.has&hasState != 0 {
		current = machine.meaningOf(c.state)
		if c.has&(wasUp|wasDown) == 0 { // a state of version 1
			c.was(current.element)
		}
	}
	at := m.start
	advance := func(to telemetry.Micros) {
		m.add(machine, current, at, min(to, silentFrom))
		m.add(machine, meaning{}, max(at, silentFrom), min(to, silentTo))
		m.add(machine, current, max(at, silentTo), to)
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
	d := machine.planned(a, b)
	m.elements[of.element] += d
	if of.element == Down {
		m.down[of.reason] += d
	}
}
