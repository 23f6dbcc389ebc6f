package kpi

import (
	"math"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// counter is the state of a machine's counter after a reading.
type counter struct {
	// mark is the value up to which items are counted, at the time of the last reading.
	mark float64
	at   telemetry.Micros
	// level says what other and since are; both are 0 when the counter is steady.
	level level
	other float64
	since telemetry.Micros
}

// level is what a counter's last readings were.
type level uint8

const (
	// steady: the last reading is the mark.
	steady level = iota
	// above: the reading other, at since, is further above the mark than the machine could
	// have produced. Nothing is counted unless the counter goes on from there.
	above
	// below: since the time since the readings are below the mark and not a fresh count;
	// other is the least of them, and no reading from there up is a reset. Nothing is
	// counted unless this lasts for the stale limit.
	below
	// fell: the counter was reset. other is the mark before it, at the time since.
	fell
	levels = iota
)

// The thresholds by which a counter's readings are judged; docs/adr/0027-counters.md has
// the measurements.
const (
	// A machine may be faster than its ideal cycle by this factor, and freshItems items are
	// always plausible.
	freshFactor, freshItems = 10, 10
	// A greater increase, per ideal cycle and at least, is held until it is confirmed.
	jumpFactor, jumpItems = 100, 10_000
	// maxJump is the threshold of an increase without an ideal cycle.
	maxJump = 1e6
	// A decrease by up to nearItems or nearShare of the mark is a dip, also after silence.
	nearItems, nearShare = 5, 0.01
)

// next judges a reading of a known counter and returns how many items it adds.
func (c *counter) next(m *Machine, t telemetry.Micros, v float64) float64 {
	before := c.at
	elapsed := t - before
	c.at = t
	if c.level == fell && t-c.since > m.stale {
		c.settle(c.mark)
	}
	step := m.step(c.mark, v)
	switch {
	case c.level == fell && c.returns(m, v, elapsed):
		counted := c.mark // since the reset that was none
		step = max(0, v-c.other-counted)
		c.settle(v)
		return step
	case c.level == above && m.step(c.other, v) > 0 && step > 0:
		c.settle(v)
		return step
	case step < 0 || m.rolls(c.mark, v) && step > m.rollLimit(elapsed):
		if !(c.level == below && m.step(c.other, v) >= 0) && m.fresh(c.mark, v, elapsed) {
			if c.level != fell {
				c.level, c.other, c.since = fell, c.mark, before
			}
			c.mark = v
			return v
		}
		if step < 0 {
			return c.dip(m, t, v)
		}
	}
	if step > m.jump(elapsed) {
		c.level, c.other, c.since = above, v, t
		return 0
	}
	if c.mark = v; c.level != fell {
		c.settle(v)
	}
	return step
}

// settle makes v the mark of a steady counter.
func (c *counter) settle(v float64) { *c = counter{mark: v, at: c.at} }

// dip handles a reading below the mark that is not a fresh count: the counter was set to
// another value if it stays below for the stale limit.
func (c *counter) dip(m *Machine, t telemetry.Micros, v float64) float64 {
	if c.level != below {
		c.level, c.other, c.since = below, v, t
		return 0
	}
	risen := m.step(c.other, v)
	if risen < 0 {
		c.other, risen = v, 0
	}
	if t-c.since < m.stale {
		return 0
	}
	c.settle(v)
	return risen
}

// returns reports whether v continues the counter from before its reset: then there was
// none, and the readings since were wrong, such as a single 0.
func (c *counter) returns(m *Machine, v float64, elapsed telemetry.Micros) bool {
	if v < c.other {
		return false
	}
	if m.ideal == 0 {
		most := max(freshItems, c.other/10)
		return v-c.other <= most && v-c.mark > most
	}
	return v-c.other <= m.plausible(c.at-c.since) && v-c.mark > m.plausible(elapsed)
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

// rollLimit returns up to how many items a decrease is the counter passing its modulus,
// even if it may be a reset.
func (m *Machine) rollLimit(elapsed telemetry.Micros) float64 {
	if m.ideal == 0 {
		return m.modulus / 10
	}
	return max(m.plausible(elapsed), m.modulus/100)
}

// plausible returns how many items the machine can have produced in a time.
func (m *Machine) plausible(elapsed telemetry.Micros) float64 {
	return freshItems + freshFactor*m.cycles(elapsed)
}

// jump returns the greatest increase in a time that counts at once.
func (m *Machine) jump(elapsed telemetry.Micros) float64 {
	if m.ideal == 0 {
		return maxJump
	}
	return jumpItems + jumpFactor*m.cycles(elapsed)
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
	switch {
	case m.ideal > 0 && silent:
		return v <= m.plausible(elapsed) && mark-v > max(nearItems, mark*nearShare)
	case m.ideal > 0:
		return half && v <= m.plausible(elapsed)
	case silent:
		return half
	default:
		return half && v <= max(freshItems, mark/10)
	}
}

// counted is the readings of a counter in a window.
type counted struct {
	line  timeline
	times *timeSet
}

// increase adds the readings of a counter in the window and returns its increase in planned
// time. An increase counts at the time of the reading that shows it.
func (m *machineWindow) increase(machine *Machine, of counted, c *counter, known bool) float64 {
	var sum float64
	add := func(at uint32, v float64) {
		t := m.start + telemetry.Micros(at)
		if !known {
			*c, known = counter{mark: v, at: t}, true
		} else if items := c.next(machine, t, v); items != 0 && machine.isPlanned(t) {
			sum += items
		}
	}
	for _, s := range of.line {
		add(s.first, s.value)
		if s.first == s.last {
			continue
		}
		// The same value again adds something only where it ends a dip.
		if ends := c.since + machine.stale; c.level == below && m.start+telemetry.Micros(s.last) >= ends {
			add(of.times.from(max(s.first, uint32(max(0, ends-m.start))), s.last), s.value)
		}
		c.at = m.start + telemetry.Micros(s.last)
	}
	return sum
}
