package kpi

import (
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// machineWindow is a machine's readings in the window that is being closed.
type machineWindow struct {
	start, end telemetry.Micros
	// alive: there are usable readings of some metric, from first to last.
	alive                 bool
	first, last           telemetry.Micros
	states, counts, goods timeline

	elements [elements]telemetry.Micros
	down     []telemetry.Micros // by reason
}

func (m *machineWindow) see(first, last telemetry.Micros) {
	if !m.alive {
		m.alive, m.first, m.last = true, first, last
		return
	}
	m.first, m.last = min(m.first, first), max(m.last, last)
}

// keep takes the window's last values over.
func (c *carry) keep(m *machineWindow) {
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

// integrate returns the window's sums; m.down is set.
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
	sums.IdealSeconds = float64(machine.ideal/time.Microsecond) * sums.Produced / 1e6
	return sums
}

func duration(m telemetry.Micros) time.Duration { return time.Duration(m) * time.Microsecond }

// integrateStates adds the window's planned time up by element and returns the
// number of planned failures. Before the first reading the carried state holds,
// until the silence since the last reading of any metric is longer than stale;
// inside the window no silence is, since stale is no shorter than it.
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
	var now meaning
	if known {
		now = machine.meaningOf(c.state)
	}
	at := m.start
	spend := func(to telemetry.Micros) {
		m.add(machine, now, at, min(to, silentFrom))
		m.add(machine, meaning{}, max(at, silentFrom), min(to, silentTo))
		m.add(machine, now, max(at, silentTo), to)
		at = to
	}
	for _, s := range m.states {
		t := m.start + telemetry.Micros(s.first)
		spend(t)
		next := machine.meaningOf(s.value)
		if known && next.element == Down && now.element != Down && machine.isPlanned(t) {
			failures++
		}
		known, now = true, next
	}
	spend(m.end)
	return failures
}

// add counts the planned part of the time from a to b, if b is after a.
func (m *machineWindow) add(machine *Machine, what meaning, a, b telemetry.Micros) {
	if a >= b {
		return
	}
	d := machine.planned(a, b)
	m.elements[what.element] += d
	if what.element == Down {
		m.down[what.reason] += d
	}
}

// increase returns how much a counter grew in planned time. An increase counts
// when it is read. A counter that is less than before was reset to zero, as
// Prometheus has it.
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
