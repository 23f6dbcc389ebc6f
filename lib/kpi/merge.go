package kpi

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Merge adds the state of other, which must not be used afterwards: the child of merged
// shards starts from the states of all its parents.
//
// Parents seldom stop at the same arrival. Align them first: call Advance with the
// latest clock and EmitClosed on each, which emits what the parent itself would have
// emitted with its next record. If they are not aligned, or their windows differ in
// length, the error wraps telemetry.ErrConflict and s is unchanged.
//
// A gateway, device or series may be in both states, but no event may be: an identity
// belongs to one shard at a time. Merging is associative and commutative: the windows are
// those of a single shard that received all events. The limits apply to later events, not
// to what is merged.
func (s *Shard) Merge(other *Shard) error {
	if s.window != other.window {
		return fmt.Errorf("%w: kpi: merge windows of %d µs and %d µs", telemetry.ErrConflict, s.window, other.window)
	}
	if !other.started {
		return nil
	}
	if s.started && (s.clock != other.clock || s.emitted != other.emitted || s.emitted < s.open || other.emitted < other.open) {
		return fmt.Errorf("%w: kpi: merge a shard with clock %d, emitted up to %d, and one with clock %d, emitted up to %d",
			telemetry.ErrConflict, s.clock, s.emitted, other.clock, other.emitted)
	}
	s.started, s.clock, s.open, s.emitted = true, other.clock, other.open, other.emitted
	for _, g := range other.gateways {
		if mine, ok := s.byName[g.name]; ok {
			mine.merge(g, &s.config.Limits)
		} else {
			s.insert(g)
		}
	}
	return nil
}

func (g *gateway) merge(other *gateway, l *Limits) {
	g.resetLayout()
	if other.hasNewest && (!g.hasNewest || other.newest > g.newest) {
		g.newest, g.hasNewest = other.newest, true
	}
	g.seen = max(g.seen, other.seen)
	for i := range other.windows {
		t := &other.windows[i]
		mine := g.tally(t.start)
		mine.duplicates += t.duplicates
		mine.late += t.late
		mine.early += t.early
		mine.refused += t.refused
		mine.unverified += t.unverified
		mine.crowded += t.crowded
		mine.lags.Add(&t.lags)
	}
	for _, d := range other.devices {
		i, ok := g.find(d.name)
		if !ok {
			g.devices = slices.Insert(g.devices, i, &device{name: d.name, machine: d.machine, identity: d.identity})
		}
		mine := g.devices[i]
		differ := mine.join(d)
		mine.carry.merge(&d.carry)
		for _, sr := range d.series {
			own, ok := g.byKey[seriesKey{d.name, sr.metric}]
			if !ok {
				own = g.addSeries(mine, sr.metric)
			}
			own.merge(sr, l)
		}
		if differ {
			mine.mix()
		}
	}
}

// merge takes the values of the part of the machine that had the last reading.
func (c *carry) merge(other *carry) {
	newer, older := c, other
	if other.has&hasAlive != 0 && (c.has&hasAlive == 0 || other.alive > c.alive) {
		newer, older = other, c
	}
	merged := *newer
	missing := older.has &^ newer.has
	if missing&hasState != 0 {
		merged.state = older.state
	}
	if missing&hasCount != 0 {
		merged.count = older.count
	}
	if missing&hasGood != 0 {
		merged.good = older.good
	}
	merged.has |= missing
	*c = merged
}

func (s *series) merge(other *series, l *Limits) {
	s.seen = max(s.seen, other.seen)
	for i := range other.windows {
		w := &other.windows[i]
		s.open(w.start).merge(w, l)
	}
}

// merge adds the readings of a window with the same start.
func (w *window) merge(other *window, l *Limits) {
	w.badCount += other.badCount
	w.bad.merge(&other.bad, l)
	if other.count == 0 {
		return
	}
	all := append(w.readings(), other.readings()...)
	slices.SortFunc(all, func(a, b reading) int { return cmp.Compare(a.at, b.at) })
	w.times.merge(&other.times, l)
	w.changes = w.changes[:0]
	for _, r := range all {
		w.changes.put(r.at, r.value, &w.times, l.Changes)
	}
	if w.count == 0 {
		w.min, w.max, w.last, w.firstAt, w.lastAt = other.min, other.max, other.last, other.firstAt, other.lastAt
	} else {
		w.min, w.max = min(w.min, other.min), max(w.max, other.max)
		if other.lastAt > w.lastAt {
			w.last, w.lastAt = other.last, other.lastAt
		}
		w.firstAt = min(w.firstAt, other.firstAt)
	}
	w.count += other.count
	w.sum.merge(&other.sum)
}

type reading struct {
	at    uint32
	value float64
}

// readings restores the readings from the timeline and the set of times.
func (w *window) readings() (out []reading) {
	if len(w.changes) == 0 {
		return nil
	}
	times := w.times.list()
	for _, s := range w.changes {
		from, _ := slices.BinarySearch(times, s.first)
		for _, at := range times[from:] {
			if at > s.last {
				break
			}
			out = append(out, reading{at, s.value})
		}
	}
	return out
}

func (s *timeSet) merge(other *timeSet, l *Limits) {
	for _, at := range other.list() {
		s.add(at, l.Runs)
	}
	s.full = s.full || other.full
	s.max = max(s.max, other.max)
}
