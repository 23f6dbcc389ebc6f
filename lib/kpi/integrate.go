package kpi

import (
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// machineWindow is a machine's readings in the window that closes.
type machineWindow struct {
	start, end telemetry.Micros
	// alive says that there are usable readings of any metric, from first to last.
	alive                 bool
	first, last           telemetry.Micros
	states, counts, goods timeline

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

// update sets c to the window's last values.
func (c *carry) update(m *machineWindow) {
	if m.alive {
		c.alive = m.last
		c.has |= hasAlive
	}
	for _, k := range []struct {
		line timeline
		v    *float64
		bit  carried
	}{{m.states, &c.state, hasState}, {m.counts, &c.count, hasCount}, {m.goods, &c.good, hasGood}} {
		if n := len(k.line); n > 0 {
			*k.v = k.line[n-1].value
			c.has |= k.bit
		}
	}
}

// integrate returns the window's sums, and sets m.down.
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
		Produced:   m.increase(machine, m.counts, c.count, c.has&hasCount != 0),
		Good:       m.increase(machine, m.goods, c.good, c.has&hasGood != 0),
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

	known := c.has&hasState != 0
	var current meaning
	if known {
		current = machine.meaningOf(c.state)
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
		next := machine.meaningOf(s.value)
		if known && next.element == Down && current.element != Down && machine.isPlanned(t) {
			failures++
		}
		known, current = true, next
	}
	advance(m.end)
	return failures
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

// increase returns the increase of a counter in planned time. An increase counts at the
// time of its reading. As in Prometheus, a counter that is less than before was reset to
// zero.
func (m *machineWindow) increase(machine *Machine, line timeline, before float64, known bool) float64 {
	var sum float64
	for _, s := range line {
		if known && machine.isPlanned(m.start+telemetry.Micros(s.first)) {
			if s.value >= before {
				sum += s.value - before
			} else {
				sum += max(0, s.value)
			}
		}
		before, known = s.value, true
	}
	return sum
}
