package kpi

import (
	"encoding/binary"
	"math"
	"math/big"
	"slices"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Version is the first byte of a serialised Shard.
const Version = 2

// Flags of a serialised window.
const (
	flagUsable    = 1 << iota // there are usable readings
	flagSameTimes             // their times are those of the series before
	flagWide                  // the sum has a wide part
	flagChanges               // there is a timeline
	flagFull                  // the set of times is full
	flagBad                   // there are bad readings
	flagBadFull               // the set of their times is full
	knownFlags    = 1<<iota - 1
)

// minSeriesBytes is a lower bound of the size of a series, to check declared counts.
const minSeriesBytes = 2

// timesByWindow remembers the set of times that was written or read last, for each window.
type timesByWindow [rememberedWindows]struct {
	start telemetry.Micros
	times *timeSet
}

func (t *timesByWindow) reset() {
	for i := range t {
		t[i].times = nil
	}
}

const rememberedWindows = 64

// swap remembers the times of the window with the given index, and returns those of the
// previous series, or nil.
func (t *timesByWindow) swap(index uint64, w *window) *timeSet {
	slot := &t[index%rememberedWindows]
	before := slot.times
	if slot.start != w.start {
		before = nil
	}
	slot.start, slot.times = w.start, &w.times
	return before
}

// AppendBinary appends the serialised state to dst. Decode reads it with the same
// Config.Window; other settings may differ.
func (s *Shard) AppendBinary(dst []byte) []byte {
	dst = append(dst, Version, 0)
	if s.started {
		dst[len(dst)-1] = 1
	}
	dst = binary.AppendUvarint(dst, uint64(s.window))
	dst = binary.AppendUvarint(dst, uint64(s.clock))
	dst = binary.AppendVarint(dst, int64(s.emitted))
	dst = binary.AppendUvarint(dst, uint64(len(s.gateways)))
	e := encoder{dst: dst, window: s.window, emitted: s.emitted, start: s.emitted}
	for _, g := range s.gateways {
		e.gateway(g)
	}
	return e.dst
}

type encoder struct {
	dst             []byte
	window, emitted telemetry.Micros
	times           timesByWindow
	// start and startIndex are those of the previous window.
	start      telemetry.Micros
	startIndex uint64
	// identity is that of the previous machine of the gateway.
	identity identity
	fetched  uint32
}

func (e *encoder) uvarint(v uint64) {
	if v < 0x80 {
		e.dst = append(e.dst, byte(v))
		return
	}
	e.dst = binary.AppendUvarint(e.dst, v)
}

func (e *encoder) float(v float64) {
	e.dst = binary.LittleEndian.AppendUint64(e.dst, math.Float64bits(v))
}

func appendName[S ~string](dst []byte, s S) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// index returns the number of windows between emitted and start.
func (e *encoder) index(start telemetry.Micros) uint64 {
	return uint64((start - e.emitted) / e.window)
}

// seen writes the end of a closed window, or 0.
func (e *encoder) seen(end telemetry.Micros) {
	switch end {
	case 0:
		e.uvarint(0)
		return
	case e.emitted: // as for most series; avoids a division
		e.uvarint(1)
		return
	}
	e.uvarint(1 + uint64((e.emitted-end)/e.window))
}

// moment writes a time before emitted, if is is true, or 0.
func (e *encoder) moment(t telemetry.Micros, is bool) {
	if !is {
		e.uvarint(0)
		return
	}
	e.uvarint(uint64(e.emitted - t)) // at least 1, since t is before the end
}

func (e *encoder) gateway(g *gateway) {
	e.dst = appendName(appendName(e.dst, g.name), g.site)
	e.moment(g.newest, g.hasNewest)
	e.seen(g.seen)
	e.uvarint(uint64(len(g.windows)))
	for i := range g.windows {
		e.tallies(&g.windows[i])
	}
	e.uvarint(uint64(len(g.devices)))
	e.times.reset()
	e.identity = identity{}
	var before *device
	for _, d := range g.devices {
		e.device(d, before)
		before = d
	}
}

func (e *encoder) tallies(t *tallies) {
	e.uvarint(e.index(t.start))
	for _, n := range [...]uint64{t.duplicates, t.late, t.early, t.refused, t.unverified, t.crowded, t.lags.Zero} {
		e.uvarint(n)
	}
	e.dst = binary.AppendVarint(e.dst, t.lags.SumMicros)
	n := 0
	for _, count := range t.lags.Buckets {
		if count > 0 {
			n++
		}
	}
	e.uvarint(uint64(n))
	for i, count := range t.lags.Buckets {
		if count > 0 {
			e.uvarint(uint64(i))
			e.uvarint(uint64(count))
		}
	}
}

// device writes a device. The names of metrics that equal those of the previous device
// are omitted.
func (e *encoder) device(d, before *device) {
	e.dst = appendName(e.dst, d.name)
	e.dst = append(e.dst, byte(d.carry.has))
	if d.carry.has&hasAlive != 0 {
		e.moment(d.carry.alive, true)
	}
	if d.carry.has&hasState != 0 {
		e.float(d.carry.state)
	}
	if d.carry.has&hasCount != 0 {
		e.counter(&d.carry.count)
	}
	if d.carry.has&hasGood != 0 {
		e.counter(&d.carry.good)
	}
	e.configuration(d)
	e.uvarint(uint64(len(d.series)))
	e.prefetch(d)
	for i, sr := range d.series {
		n := uint64(len(sr.windows)) << 1
		if before != nil && i < len(before.series) && before.series[i].metric == sr.metric {
			e.uvarint(n | 1)
		} else {
			e.uvarint(n)
			e.dst = appendName(e.dst, sr.metric)
		}
		e.seen(sr.seen)
		for k := range sr.windows {
			e.series(&sr.windows[k])
		}
	}
}

// What a device's identity is, in a byte with the flag mixed.
const (
	noMachine = iota
	unknownMachine
	sameMachine // as the previous machine of the gateway
	anotherMachine
	flagMixed
)

// configuration writes the device's identity, and up to which window it changed.
func (e *encoder) configuration(d *device) {
	var head byte
	switch d.identity {
	case identity{}:
	case unknownIdentity:
		head = unknownMachine
	case e.identity:
		head = sameMachine
	default:
		head = anotherMachine
	}
	if d.mixed {
		head |= flagMixed
	}
	e.dst = append(e.dst, head)
	if head&^flagMixed == anotherMachine {
		e.identity = d.identity
		for _, hash := range [...]uint32{d.identity.state, d.identity.count, d.identity.good, d.identity.rest} {
			e.dst = binary.LittleEndian.AppendUint32(e.dst, hash)
		}
	}
	if d.mixed {
		e.uvarint(e.index(d.mixedTo))
	}
}

// hasJump is set in the head of a counter that has a jump.
const hasJump = 0x80

// counter writes a counter: its level, whether the mark is an integer and whether it has a
// jump in one byte, its mark, and times as ages.
func (e *encoder) counter(c *counter) {
	head := byte(c.level) << 1
	k, ok := whole(c.mark)
	if ok {
		head |= 1
	}
	if c.jump != 0 {
		head |= hasJump
	}
	e.dst = append(e.dst, head)
	if ok {
		e.uvarint(zigzag(k))
	} else {
		e.float(c.mark)
	}
	e.moment(c.at, true)
	if c.level != steady {
		e.float(c.other)
		e.uvarint(zigzag(int64(c.at - c.since)))
	}
	if c.jump != 0 {
		e.float(c.jump)
	}
}

// prefetch reads a word of each window and set of times before their use: a large shard is
// not in the processor's first cache, and independent reads overlap. It reduces the time
// of AppendBinary by a third.
func (e *encoder) prefetch(d *device) {
	var sum uint32
	for _, sr := range d.series {
		for i := range sr.windows {
			w := &sr.windows[i]
			sum += uint32(w.count + w.badCount)
			if len(w.times.runs) > 0 {
				sum += w.times.runs[0].first
			}
			if len(w.changes) > 0 {
				sum += w.changes[0].first
			}
		}
	}
	e.fetched = sum
}

// fixedBytes is the size of the part of a window that is written at once: an index of one
// byte, flags, and five numbers.
const fixedBytes = 2 + 5*8

func (e *encoder) series(w *window) {
	if w.start != e.start {
		e.start, e.startIndex = w.start, e.index(w.start)
	}
	index := e.startIndex
	before := e.times.swap(index, w)
	var flags byte
	same := false
	if w.count > 0 {
		flags = flagUsable
		if same = before != nil && slices.Equal(before.runs, w.times.runs); same {
			flags |= flagSameTimes
		}
	}
	if w.sum.wide != nil {
		flags |= flagWide
	}
	if len(w.changes) > 0 {
		flags |= flagChanges
	}
	if w.times.full {
		flags |= flagFull
	}
	if w.badCount > 0 {
		flags |= flagBad
		if w.bad.full {
			flags |= flagBadFull
		}
	}
	if index < 0x80 && w.count > 0 {
		e.fixed(w, byte(index), flags)
	} else {
		e.uvarint(index)
		e.dst = append(e.dst, flags)
		if w.count > 0 {
			e.numbers(w)
		}
	}
	if flags&^(flagUsable|flagSameTimes) != 0 || w.count > 0 && !same {
		e.rest(w, flags)
	}
}

// fixed writes the part that most windows consist of, with one check of the capacity.
func (e *encoder) fixed(w *window, index, flags byte) {
	n := len(e.dst)
	if cap(e.dst)-n < fixedBytes {
		e.dst = slices.Grow(e.dst, max(fixedBytes, n/4))
	}
	e.dst = e.dst[:n+fixedBytes]
	p := (*[fixedBytes]byte)(e.dst[n:])
	p[0], p[1] = index, flags
	binary.LittleEndian.PutUint64(p[2:], math.Float64bits(w.min))
	binary.LittleEndian.PutUint64(p[10:], math.Float64bits(w.max))
	binary.LittleEndian.PutUint64(p[18:], math.Float64bits(w.last))
	binary.LittleEndian.PutUint64(p[26:], w.sum.lo)
	binary.LittleEndian.PutUint64(p[34:], uint64(w.sum.hi))
}

// numbers writes what fixed does, without the first two bytes.
func (e *encoder) numbers(w *window) {
	e.float(w.min)
	e.float(w.max)
	e.float(w.last)
	e.dst = binary.LittleEndian.AppendUint64(e.dst, w.sum.lo)
	e.dst = binary.LittleEndian.AppendUint64(e.dst, uint64(w.sum.hi))
}

// rest writes what follows the numbers. The count of readings and their first and last
// time can be computed from the set of times, unless that is full.
func (e *encoder) rest(w *window, flags byte) {
	if flags&(flagUsable|flagSameTimes) == flagUsable {
		e.runs(w.times.runs)
	}
	if flags&flagFull != 0 {
		e.uvarint(w.count)
		e.uvarint(uint64(w.firstAt))
		e.uvarint(uint64(w.lastAt))
	}
	if flags&flagWide != 0 {
		e.wide(w.sum.wide)
	}
	if flags&flagChanges != 0 {
		e.changes(w.changes)
	}
	if flags&flagBad != 0 {
		e.runs(w.bad.runs)
		if w.bad.full {
			e.uvarint(w.badCount)
			e.uvarint(uint64(w.bad.max))
		}
	}
}

// runs writes for each run the difference of its first time from that of the previous run,
// its length and, if it differs from the previous one, its step.
func (e *encoder) runs(runs []run) {
	e.uvarint(uint64(len(runs)))
	var before run
	for _, r := range runs {
		e.uvarint(zigzag(int64(r.first) - int64(before.first)))
		if r.n > 1 && r.step == before.step {
			e.uvarint(uint64(r.n)<<1 | 1)
		} else {
			e.uvarint(uint64(r.n) << 1)
			if r.n > 1 {
				e.uvarint(uint64(r.step))
			}
		}
		if r.n == 1 {
			r.step = before.step
		}
		before = r
	}
}

func (e *encoder) wide(n *big.Int) {
	zeros := n.TrailingZeroBits()
	text := new(big.Int).Rsh(new(big.Int).Abs(n), zeros).Bytes()
	negative := uint64(0)
	if n.Sign() < 0 {
		negative = 1
	}
	e.uvarint(uint64(zeros)<<1 | negative)
	e.uvarint(uint64(len(text)))
	e.dst = append(e.dst, text...)
}

// changeBytes is the greatest size of a change: two times below 2^32, and a number.
const changeBytes = 5 + 5 + binary.MaxVarintLen64

// changes writes a timeline, with integers, such as state codes and counts, as differences.
func (e *encoder) changes(l timeline) {
	e.uvarint(uint64(len(l)))
	n := len(e.dst)
	e.dst = slices.Grow(e.dst, len(l)*changeBytes)
	p := e.dst[:n+len(l)*changeBytes]
	var at uint32
	var before int64
	for i := range l {
		s := &l[i]
		n = putUvarint(p, n, uint64(s.first-at))
		n = putUvarint(p, n, uint64(s.last-s.first))
		at = s.last
		if k, ok := whole(s.value); ok {
			n = putUvarint(p, n, zigzag(k-before)<<1)
			before = k
			continue
		}
		p[n] = 1
		binary.LittleEndian.PutUint64(p[n+1:], math.Float64bits(s.value))
		n += 9
	}
	e.dst = p[:n]
}

// putUvarint writes v to p[n:], which is long enough, and returns the index after it.
func putUvarint(p []byte, n int, v uint64) int {
	for v >= 0x80 {
		p[n] = byte(v) | 0x80
		v >>= 7
		n++
	}
	p[n] = byte(v)
	return n + 1
}

// whole returns v as an integer of less than 53 bits; ok is false if v is not one, or −0.
func whole(v float64) (n int64, ok bool) {
	if !(math.Abs(v) < 1<<53) {
		return 0, false
	}
	k := int64(v)
	return k, math.Float64bits(float64(k)) == math.Float64bits(v)
}

func zigzag(v int64) uint64   { return uint64(v<<1) ^ uint64(v>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }
