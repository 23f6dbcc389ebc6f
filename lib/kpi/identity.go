package kpi

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// identity tells whether a machine's configuration is that of before, also where another
// process read it: hashes of the metrics' names (0: none) and of all else that matters to its
// sums. The zero identity is that of a device that is not a machine.
type identity struct{ state, count, good, rest uint32 }

// unknownIdentity is that of a device in a state of version 1. No machine has it, since rest
// is never 0 for one.
var unknownIdentity = identity{state: 1} //nolint:gochecknoglobals // a constant

// identify returns the identity of a machine with that configuration. Whether it is one of
// its own is left out: the same sums follow from it.
func (m *Machine) identify(c *MachineConfig) identity {
	h := fnv.New32a()
	name := func(n telemetry.MetricName) uint32 {
		if n == "" {
			return 0
		}
		h.Reset()
		_, _ = h.Write([]byte(n))
		return max(h.Sum32(), 1)
	}
	id := identity{state: name(m.state), count: name(m.count), good: name(m.good)}
	h.Reset()
	fmt.Fprint(h, m.ideal, m.stale, m.modulus, m.assumeGood, m.always, m.shifts)
	for _, code := range slices.Sorted(maps.Keys(c.States)) {
		fmt.Fprintf(h, " %d %d %q", code, c.States[code].Element, c.States[code].Reason)
	}
	id.rest = max(h.Sum32(), 1)
	return id
}

// compare is an order of identities.
func (i identity) compare(other identity) int {
	return cmp.Or(cmp.Compare(i.state, other.state), cmp.Compare(i.count, other.count),
		cmp.Compare(i.good, other.good), cmp.Compare(i.rest, other.rest))
}

// forget drops what was carried of metrics that are no longer the machine's: values of two
// metrics are not compared, nor those before and after a time without a configuration.
func (c *carry) forget(old, next identity) {
	if old.state != next.state {
		c.has &^= hasState | wasUp | wasDown
	}
	if old.count != next.count {
		c.has &^= hasCount
	}
	if old.good != next.good {
		c.has &^= hasGood
	}
}

// describe sets the machine and with it the roles of its series.
func (d *device) describe(m *Machine) {
	if d.machine == m && (m != nil || d.identity == identity{}) {
		return
	}
	var next identity
	if m != nil {
		next = m.identity
	}
	if d.identity != next && d.identity != unknownIdentity {
		d.carry.forget(d.identity, next)
		d.mix()
	}
	d.machine, d.identity = m, next
	for _, s := range d.series {
		s.role = d.roleOf(s.metric)
	}
}

// mix says that the windows which have readings now are of more than one configuration. Those
// before are closed, and what comes after is of the new one alone.
func (d *device) mix() {
	for _, s := range d.series {
		if n := len(s.windows); n > 0 {
			d.mixUpTo(s.windows[n-1].start)
		}
	}
}

func (d *device) mixUpTo(start telemetry.Micros) {
	if !d.mixed || start > d.mixedTo {
		d.mixed, d.mixedTo = true, start
	}
}

// isMixed reports whether the window that starts at start is of more than one configuration.
func (d *device) isMixed(start telemetry.Micros) bool { return d.mixed && start <= d.mixedTo }

// closed forgets what is known of the window that starts at start, and of earlier ones.
func (d *device) closed(start telemetry.Micros) {
	if d.mixed && start >= d.mixedTo {
		d.mixed, d.mixedTo = false, 0
	}
}

// join merges the configurations of a device that is in two states, before its carry is
// merged. One of them may not have seen a change yet: then it reports that they differ.
func (d *device) join(other *device) (differ bool) {
	if other.mixed {
		d.mixUpTo(other.mixedTo)
	}
	switch {
	case d.identity == other.identity, other.identity == unknownIdentity:
		return false
	case d.identity != unknownIdentity:
		d.carry.forget(d.identity, other.identity)
		other.carry.forget(d.identity, other.identity)
		differ = true
	}
	if d.machine = nil; differ && d.identity.compare(other.identity) > 0 {
		return differ
	}
	d.identity = other.identity
	return differ
}
