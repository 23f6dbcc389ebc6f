package kpi

import (
	"math"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// counter is the state of a machine's counter after a reading.
type counter struct {
	// mark is the value up to which items are counted, at the time of the last reading of it.
	mark float64
	at   telemetry.Micros
	// level says what other and since are; both are 0 when the counter is steady.
	level level
	other float64
	since telemetry.Micros
	// jump is the last step that counted, without an ideal cycle, if twice that is more than
	// maxJump: it says what is usual.
	jump float64
}

// level is how the readings since the mark, or since a reset, differ from it. At above,
// below and zeroed the reading is in doubt and nothing is counted: one that continues the
// mark ends the doubt, one that continues other confirms it.
type level uint8

const (
	// steady: the last reading is the mark.
	steady level = iota
	// above: the reading other, at since, is further above the mark than is plausible.
	above
	// below: since the time since the readings are below the mark and no fresh count; other
	// is the least of them (but not a negative one before others), and no reading from there
	// up is a reset.
	below
	// fell: the counter was reset. other is the mark before it, at the time since.
	fell
	// zeroed: the reading other, at since, is a fresh count if the next ones go on from it.
	zeroed
	levels = iota
)

// The thresholds by which a counter's readings are judged; docs/adr/0027-counters.md has
// the measurements.
const (
	// A machine may be faster than its ideal cycle by this factor, and freshItems items are
	// always plausible.
	freshFactor, freshItems = 10, 10
	// It is by rollFactor at most if the choice is between a reset and the end of the register.
	rollFactor = 2
	// Without an ideal cycle an increase by maxJump, a tenth of the mark, or twice the last
	// increase counts at once.
	maxJump = 100
	// Increases that are too great for the ideal cycle confirm each other if their paces
	// differ by at most this factor: then the ideal cycle is wrong.
	paceFactor = 1.5
	// A decrease by up to nearItems or nearShare of the mark is a dip, also after silence.
	nearItems, nearShare = 5, 0.01
)

// next judges a reading of a known counter and returns how many items it adds.
func (c *counter) next(m *Machine, t telemetry.Micros, v float64) float64 {
	items := c.judge(m, t, v)
	if m.ideal == 0 && items > 0 {
		if c.jump = items; 2*items <= maxJump {
			c.jump = 0 // it allows nothing that maxJump does not
		}
	}
	return items
}

func (c *counter) judge(m *Machine, t telemetry.Micros, v float64) float64 {
	if c.level == fell && c.mark > 0 && t-c.since > m.stale {
		c.settle(c.at, c.mark)
	}
	elapsed, lasts := t-c.at, t-c.since >= m.stale
	step := m.step(c.mark, v)
	if m.rolls(c.mark, v) && (c.low(v) || !m.rollsIn(c.mark, v, elapsed)) {
		step = v - c.mark
	}
	switch {
	case c.level == zeroed && c.wasReset(m, t, v, lasts):
		return c.reset(t, v)
	case c.level == above && v == c.other && !lasts:
		return 0
	case c.level == above && step > 0 && (v == c.other || c.wasJump(m, t, v)):
		c.settle(t, v)
		return step
	case c.level == fell && c.returns(m, t, v):
		counted := c.mark // since the reset that was none
		step = max(0, v-c.other-counted)
		c.settle(t, v)
		return step
	case step >= 0 && step <= c.most(m, c.mark, elapsed):
		if c.mark, c.at = v, t; c.level != fell {
			c.settle(t, v)
		}
		return step
	case step >= 0:
		c.level, c.other, c.since = above, v, t
		return 0
	case c.level == zeroed && v == c.other:
		return 0
	case !c.low(v) && m.fresh(c.mark, v, elapsed):
		// A count that no dip explains, or a pulse. In doubt are a 0 and a decrease by a few items.
		if v > 0 && c.mark-v > m.few(c.mark, elapsed) || v == 0 && c.mark == 1 {
			return c.reset(t, v)
		}
		c.level, c.other, c.since = zeroed, v, t
		return 0
	}
	return c.dip(m, t, v)
}

// settle makes v the mark of a steady counter.
func (c *counter) settle(t telemetry.Micros, v float64) {
	*c = counter{mark: v, at: t, jump: c.jump}
}

// reset makes v the mark of a counter that was reset and returns its items.
func (c *counter) reset(t telemetry.Micros, v float64) float64 {
	*c = counter{mark: v, at: t, level: fell, other: c.mark, since: c.at, jump: c.jump}
	return v
}

// low reports whether v goes on from readings below the mark; 0 does not from negative ones.
func (c *counter) low(v float64) bool {
	return (c.level == below || c.level == zeroed) && v >= c.other && (c.other >= 0 || v < 0)
}

// doubted reports whether nothing is counted until a reading decides.
func (c *counter) doubted() bool { return c.level != steady && c.level != fell }

// most returns the greatest increase after a value in a time that counts at once.
func (c *counter) most(m *Machine, from float64, elapsed telemetry.Micros) float64 {
	if m.ideal == 0 {
		return max(maxJump, math.Abs(from)/10, 2*c.jump)
	}
	return m.plausible(elapsed)
}

// wasReset reports whether v confirms that the reading other was the count since a reset.
func (c *counter) wasReset(m *Machine, t telemetry.Micros, v float64, lasts bool) bool {
	if v < c.other || v-c.other > c.most(m, c.other, t-c.since) || c.other == 0 && v >= c.mark {
		return false // a single 0 is none if the mark can be continued
	}
	return lasts || c.other < v && v < c.mark && (m.ideal > 0 || v < c.mark/2)
}

// wasJump reports whether v confirms the reading other above the mark: it goes on from there
// as is plausible, or at the pace that led there, or there is no ideal cycle.
func (c *counter) wasJump(m *Machine, t telemetry.Micros, v float64) bool {
	rise := m.step(c.other, v)
	if rise <= 0 || m.ideal == 0 || rise <= m.plausible(t-c.since) {
		return rise > 0
	}
	before := m.step(c.mark, c.other) / float64(c.since-c.at)
	pace := rise / float64(t-c.since)
	return pace <= paceFactor*before && before <= paceFactor*pace
}

// dip handles a reading below the mark that is not a fresh count: the counter was set to
// another value if it stays below for the stale limit.
func (c *counter) dip(m *Machine, t telemetry.Micros, v float64) float64 {
	if c.level != below {
		c.level, c.other, c.since = below, v, t
		return 0
	}
	if v < c.other || c.other < 0 && v >= 0 {
		c.other = v
	}
	if t-c.since < m.stale {
		return 0
	}
	risen := v - c.other
	c.settle(t, v)
	return risen
}

// returns reports whether v continues the counter from before its reset and not from after
// it: then there was none, and the readings since were wrong.
func (c *counter) returns(m *Machine, t telemetry.Micros, v float64) bool {
	if v < c.other {
		return false
	}
	return v-c.other <= m.few(c.other, t-c.since) && v-c.mark > m.few(c.other, t-c.at)
}

// step returns the items from value a of a counter to value b; negative is backwards. With
// a modulus it is the shorter way round.
func (m *Machine) step(a, b float64) float64 {
	if m.modulus == 0 {
		return b - a
	}
	d := math.Mod(b-a, m.modulus)
	switch {
	case d > m.modulus/2:
		d -= m.modulus
	case d <= -m.modulus/2:
		d += m.modulus
	}
	return d
}

// rolls reports whether the step from a to b passes the modulus.
func (m *Machine) rolls(a, b float64) bool { return m.modulus > 0 && b < a && m.step(a, b) > 0 }

// rollsIn reports whether the lower value v after mark can be the counter passing its
// modulus rather than a reset.
func (m *Machine) rollsIn(mark, v float64, elapsed telemetry.Micros) bool {
	step, fresh := m.step(mark, v), m.fresh(mark, v, elapsed)
	switch {
	case m.ideal == 0:
		return step <= freshItems || !fresh || step <= m.modulus/10 && v >= step/10
	case fresh:
		return step <= rollFactor*(freshItems+m.cycles(elapsed))
	default:
		return step <= m.plausible(elapsed)
	}
}

// plausible returns how many items the machine can have produced in a time.
func (m *Machine) plausible(elapsed telemetry.Micros) float64 {
	return freshItems + freshFactor*m.cycles(elapsed)
}

// few returns how many items are plausible in a time; without an ideal cycle, as a share
// of the mark.
func (m *Machine) few(mark float64, elapsed telemetry.Micros) float64 {
	if m.ideal == 0 {
		return max(freshItems, mark/10)
	}
	return m.plausible(elapsed)
}

func (m *Machine) cycles(elapsed telemetry.Micros) float64 {
	return float64(elapsed) / float64(micros(m.ideal))
}

// fresh reports whether the lower value v after mark can be the count since a reset.
func (m *Machine) fresh(mark, v float64, elapsed telemetry.Micros) bool {
	if v < 0 || v >= mark {
		return false
	}
	half := v < mark/2
	silent := elapsed > m.stale // the reset may be as long ago
	if m.ideal == 0 && silent {
		return half
	}
	return v <= m.few(mark, elapsed) && (half || silent && mark-v > max(nearItems, mark*nearShare))
}

// counted is the readings of a counter in a window.
type counted struct {
	line  timeline
	times *timeSet
}

// increase adds the readings of a counter in the window and returns its increase in planned
// time, and the part of that in busy time. An increase counts at the time of the reading that
// shows it, and was made in the time just before.
func (m *machineWindow) increase(machine *Machine, of counted, c *counter, known bool) (sum, busy float64) {
	add := func(at uint32, v float64) {
		t := m.start + telemetry.Micros(at)
		if !known {
			*c, known = counter{mark: v, at: t}, true
		} else if items := c.next(machine, t, v); items != 0 && machine.isPlanned(t) {
			if sum += items; m.isBusy(machine, t-1) {
				busy += items
			}
		}
	}
	for _, s := range of.line {
		add(s.first, s.value)
		if s.first == s.last {
			continue
		}
		// The same value again adds something only where a doubt ends by lasting.
		if ends := c.since + machine.stale; c.doubted() && m.start+telemetry.Micros(s.last) >= ends {
			add(of.times.from(max(s.first, uint32(max(0, ends-m.start))), s.last), s.value)
		}
		if c.mark == s.value && !c.doubted() {
			c.at = m.start + telemetry.Micros(s.last)
		}
	}
	return sum, busy
}
