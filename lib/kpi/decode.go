package kpi

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Decode replaces the state by a serialised one. An error wraps telemetry.ErrInvalid and
// leaves the state unchanged. It does not retain p.
//
// The state is checked, so that one that AppendBinary cannot have written does not make
// a later call panic or use more memory than the limits allow. A gateway that has more
// series than the current limits keeps them.
func (s *Shard) Decode(p []byte) error {
	fresh, err := NewShard(s.config)
	if err != nil {
		return err
	}
	d := decoder{p: p, shard: fresh}
	d.run()
	if d.err != nil {
		return d.err
	}
	*s = *fresh
	return nil
}

type decoder struct {
	p     []byte
	at    int
	err   error
	shard *Shard
	times timesByWindow
	// version is that of the state. In version 1 a counter was its last value.
	version byte
	// identity is that of the previous machine of the gateway.
	identity identity
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: kpi state: byte %d: %s", telemetry.ErrInvalid, d.at, fmt.Sprintf(format, args...))
		d.at = len(d.p)
	}
}

func (d *decoder) byte() byte {
	if d.at >= len(d.p) {
		d.fail("unexpected end")
		return 0
	}
	d.at++
	return d.p[d.at-1]
}

func (d *decoder) uvarint() uint64 {
	if d.at < len(d.p) && d.p[d.at] < 0x80 {
		d.at++
		return uint64(d.p[d.at-1])
	}
	v, n := binary.Uvarint(d.p[d.at:])
	if n <= 0 {
		d.fail("not a varint")
		return 0
	}
	d.at += n
	return v
}

// below reads a varint that must be less than limit.
func (d *decoder) below(limit uint64, what string) uint64 {
	v := d.uvarint()
	if v >= limit {
		d.fail("%s: %d, want less than %d", what, v, limit)
		return 0
	}
	return v
}

// count reads the number of the following elements, each of at least size bytes.
func (d *decoder) count(size int, what string) int {
	v := d.uvarint()
	if v > uint64((len(d.p)-d.at)/size) {
		d.fail("%d %s do not fit in the remaining bytes", v, what)
		return 0
	}
	return int(v)
}

func (d *decoder) uint64() uint64 {
	if len(d.p)-d.at < 8 {
		d.fail("unexpected end")
		return 0
	}
	d.at += 8
	return binary.LittleEndian.Uint64(d.p[d.at-8:])
}

func (d *decoder) float() float64 {
	v := math.Float64frombits(d.uint64())
	if math.IsNaN(v) || math.IsInf(v, 0) {
		d.fail("value is not finite")
		return 0
	}
	return v
}

func (d *decoder) bytes(n int) []byte {
	if n > len(d.p)-d.at {
		d.fail("unexpected end")
		return nil
	}
	d.at += n
	return d.p[d.at-n : d.at]
}

// name reads a name, which must be valid, or may be empty if empty is true.
func name[S ~string](d *decoder, empty bool) S {
	text := S(d.bytes(int(d.below(telemetry.MaxNameBytes+1, "name"))))
	if d.err == nil && (text != "" || !empty) {
		if err := telemetry.ValidName(text); err != nil {
			d.fail("%v", err)
		}
	}
	return text
}

func (d *decoder) run() {
	s := d.shard
	if d.version = d.byte(); d.err == nil && d.version != 1 && d.version != Version {
		d.fail("version %d, want 1 or %d", d.version, Version)
	}
	started := d.byte()
	if w := d.uvarint(); d.err == nil && w != uint64(s.window) {
		d.fail("window of %d µs, want %d µs", w, s.window)
	}
	clock := telemetry.Micros(d.below(uint64(maxTime)+1, "clock"))
	emitted, n := binary.Varint(d.p[d.at:])
	if n <= 0 {
		d.fail("not a varint")
		return
	}
	d.at += n
	if started > 1 || emitted%int64(s.window) != 0 || emitted > int64(clock) || emitted < int64(clock)-int64(maxTime) {
		d.fail("clock %d and emitted %d are not consistent", clock, emitted)
		return
	}
	if started == 1 {
		s.Advance(clock)
		s.emitted = telemetry.Micros(emitted)
		s.open = max(s.open, s.emitted)
	} else if clock != 0 || emitted != 0 {
		d.fail("clock is set and has not started")
	}
	var before telemetry.GatewayID
	for i := range d.count(2, "gateways") {
		if started == 0 {
			d.fail("gateways though the clock has not started")
		}
		g := d.gateway()
		if d.err != nil {
			return
		}
		if i > 0 && g.name <= before {
			d.fail("gateways out of order")
			return
		}
		before = g.name
		s.gateways = append(s.gateways, g)
		s.byName[g.name] = g
	}
	if d.at < len(d.p) {
		d.fail("%d bytes after the end", len(d.p)-d.at)
	}
}

// start reads the start of a window, which must be later than after unless first is true.
func (d *decoder) start(after telemetry.Micros, first bool) (start telemetry.Micros, index uint64) {
	index = d.below(uint64(maxTime/d.shard.window), "window")
	start = d.shard.emitted + telemetry.Micros(index)*d.shard.window
	if start > d.shard.clock+2*micros(maxWindow) {
		d.fail("window far ahead of the clock")
	}
	if !first && start <= after {
		d.fail("windows out of order")
	}
	return start, index
}

func (d *decoder) seen() telemetry.Micros {
	v := d.below(uint64(maxTime/d.shard.window), "age in windows")
	if v == 0 {
		return 0
	}
	return d.shard.emitted - telemetry.Micros(v-1)*d.shard.window
}

func (d *decoder) moment() (t telemetry.Micros, is bool) {
	v := d.below(uint64(maxTime), "age")
	return d.shard.emitted - telemetry.Micros(v), v > 0
}

func (d *decoder) gateway() *gateway {
	g := newGateway(name[telemetry.GatewayID](d, true), name[telemetry.SiteID](d, true))
	g.newest, g.hasNewest = d.moment()
	g.seen = d.seen()
	n := d.count(9, "windows")
	for i := range n {
		var t tallies
		before := telemetry.Micros(0)
		if i > 0 {
			before = g.windows[i-1].start
		}
		d.tallies(&t, before, i == 0)
		if d.err != nil {
			return g
		}
		g.windows = append(g.windows, t)
	}
	d.times.reset()
	d.identity = identity{}
	for i := range d.count(3, "devices") {
		dev := &device{name: name[telemetry.DeviceName](d, false)}
		if i > 0 && d.err == nil && dev.name <= g.devices[i-1].name {
			d.fail("devices out of order")
		}
		if d.err != nil {
			return g
		}
		g.devices = append(g.devices, dev)
		d.device(g, dev, i)
	}
	return g
}

func (d *decoder) tallies(t *tallies, after telemetry.Micros, first bool) {
	t.start, _ = d.start(after, first)
	for _, n := range []*uint64{&t.duplicates, &t.late, &t.early, &t.refused, &t.unverified, &t.crowded, &t.lags.Zero} {
		*n = d.uvarint()
	}
	t.lags.Count = t.lags.Zero
	t.lags.SumMicros = unzigzag(d.uvarint())
	next := uint64(0)
	for range d.count(2, "buckets") {
		i := d.below(LagBuckets, "bucket")
		if i < next {
			d.fail("buckets out of order")
			return
		}
		next = i + 1
		t.lags.Buckets[i] = uint32(d.below(1<<32, "lags"))
		t.lags.Count += uint64(t.lags.Buckets[i])
	}
}

func (d *decoder) device(g *gateway, dev *device, index int) {
	c := &dev.carry
	c.has = carried(d.byte())
	if c.has > allCarried {
		d.fail("unknown flags")
	}
	if c.has&hasAlive != 0 {
		c.alive, _ = d.moment()
	}
	if c.has&hasState != 0 {
		c.state = d.float()
	}
	if c.has&hasCount != 0 {
		c.count = d.counter(c)
	}
	if c.has&hasGood != 0 {
		c.good = d.counter(c)
	}
	d.configuration(dev)
	n := d.count(minSeriesBytes, "series")
	dev.series = make([]*series, 0, n)
	made := make([]series, n)
	for i := range made {
		sr := &made[i]
		sr.device = dev
		head := d.uvarint()
		switch {
		case head&1 == 0:
			sr.metric = name[telemetry.MetricName](d, false)
		case index > 0 && i < len(g.devices[index-1].series):
			sr.metric = g.devices[index-1].series[i].metric
		default:
			d.fail("no previous device has this metric")
		}
		if i > 0 && d.err == nil && sr.metric <= made[i-1].metric {
			d.fail("metrics out of order")
		}
		sr.seen = d.seen()
		if head>>1 > uint64(len(d.p)-d.at)/2 {
			d.fail("%d windows do not fit in the remaining bytes", head>>1)
		}
		if d.err != nil {
			return
		}
		dev.series = append(dev.series, sr)
		g.byKey[seriesKey{dev.name, sr.metric}] = sr
		g.seriesCount++
		sr.windows = make([]window, head>>1)
		for k := range sr.windows {
			before := telemetry.Micros(0)
			if k > 0 {
				before = sr.windows[k-1].start
			}
			if d.window(&sr.windows[k], before, k == 0); d.err != nil {
				return
			}
		}
	}
}

// configuration reads the device's identity, and up to which window it changed.
func (d *decoder) configuration(dev *device) {
	if d.version == 1 {
		dev.identity = unknownIdentity
		return
	}
	head := d.byte()
	switch head &^ flagMixed {
	case noMachine:
	case unknownMachine:
		dev.identity = unknownIdentity
	case sameMachine:
		if dev.identity = d.identity; d.identity.rest == 0 {
			d.fail("no previous device is a machine")
		}
	case anotherMachine:
		id := &dev.identity
		for _, hash := range []*uint32{&id.state, &id.count, &id.good, &id.rest} {
			if p := d.bytes(4); p != nil {
				*hash = binary.LittleEndian.Uint32(p)
			}
		}
		if id.rest == 0 || *id == d.identity {
			d.fail("identity of a configuration")
		}
		d.identity = *id
	default:
		d.fail("unknown flags of a configuration")
	}
	if dev.mixed = head&flagMixed != 0; dev.mixed {
		dev.mixedTo, _ = d.start(0, true)
	}
}

func (d *decoder) counter(of *carry) (c counter) {
	if d.version == 1 {
		return counter{mark: d.float(), at: of.alive}
	}
	head := d.byte()
	if c.level = level(head &^ hasJump >> 1); c.level >= levels {
		d.fail("unknown level of a counter")
	}
	if head&1 != 0 {
		c.mark = float64(unzigzag(d.below(1<<54, "counter")))
	} else {
		c.mark = d.float()
	}
	c.at, _ = d.moment()
	if c.level != steady {
		c.other = d.float()
		c.since = c.at - telemetry.Micros(unzigzag(d.below(uint64(2*maxTime), "age")))
	}
	if head&hasJump != 0 {
		c.jump = d.float()
	}
	return c
}

func (d *decoder) window(w *window, after telemetry.Micros, first bool) {
	var index uint64
	w.start, index = d.start(after, first)
	flags := d.byte()
	if flags > knownFlags {
		d.fail("unknown flags")
	}
	before := d.times.swap(index, w)
	if flags&flagUsable != 0 {
		d.usable(w, flags, before)
	} else if flags&(flagSameTimes|flagWide|flagChanges|flagFull) != 0 {
		d.fail("flags of readings without readings")
	}
	if flags&flagBad != 0 {
		w.badCount = d.runs(&w.bad)
		if w.bad.full = flags&flagBadFull != 0; w.bad.full {
			n := d.uvarint()
			w.bad.max = max(w.bad.max, uint32(d.below(uint64(d.shard.window), "time")))
			if n < w.badCount {
				d.fail("%d bad readings at %d times", n, w.badCount)
			}
			w.badCount = n
		}
	} else if flags&flagBadFull != 0 {
		d.fail("flags of bad readings without bad readings")
	}
}

func (d *decoder) usable(w *window, flags byte, before *timeSet) {
	w.min, w.max, w.last = d.float(), d.float(), d.float()
	w.sum.lo, w.sum.hi = d.uint64(), int64(d.uint64())
	if w.min > w.last || w.last > w.max {
		d.fail("last value is not between min and max")
	}
	switch {
	case flags&flagSameTimes == 0:
		w.count = d.runs(&w.times)
	case before == nil || len(before.runs) == 0:
		d.fail("no previous series has times of this window")
	default:
		w.times.runs = append(w.times.runs, before.runs...)
		for _, r := range w.times.runs {
			w.count += uint64(r.n)
			w.times.max = max(w.times.max, r.at(r.n-1))
		}
	}
	if w.count == 0 {
		d.fail("no times")
		return
	}
	w.firstAt, w.lastAt = w.times.runs[0].first, w.times.max
	for _, r := range w.times.runs {
		w.firstAt = min(w.firstAt, r.first)
	}
	if w.times.full = flags&flagFull != 0; w.times.full {
		n := d.uvarint()
		first, last := uint32(d.below(uint64(d.shard.window), "time")), uint32(d.below(uint64(d.shard.window), "time"))
		if n < w.count || first > w.firstAt || last < w.lastAt {
			d.fail("%d readings at %d times", n, w.count)
		}
		w.count, w.firstAt, w.lastAt, w.times.max = n, first, last, last
	}
	if flags&flagWide != 0 {
		d.wide(w)
	}
	if flags&flagChanges != 0 {
		d.changes(w)
	}
}

// runs reads a set of times and returns their number.
func (d *decoder) runs(s *timeSet) (total uint64) {
	n := d.count(2, "runs")
	s.runs = make([]run, 0, n)
	length := uint64(d.shard.window)
	var before run
	for range n {
		first := int64(before.first) + unzigzag(d.uvarint())
		head := d.below(length<<1+2, "length of a run")
		r := run{step: before.step, n: uint32(head >> 1)}
		if r.n > 1 && head&1 == 0 {
			r.step = uint32(d.below(length, "step"))
		}
		if d.err != nil || first < 0 || r.n == 0 || r.n == 1 && head&1 == 1 || r.n > 1 && r.step == 0 ||
			uint64(first)+uint64(r.step)*uint64(r.n-1) >= length && r.n > 1 || uint64(first) >= length {
			d.fail("run does not fit in the window")
			return 0
		}
		r.first = uint32(first)
		before = r
		if r.n == 1 {
			r.step = 0
		}
		s.runs = append(s.runs, r)
		s.max = max(s.max, r.at(r.n-1))
		total += uint64(r.n)
	}
	if total == 0 || total > length {
		d.fail("%d times in a window", total)
		return 0
	}
	return total
}

// maxWideBytes is the size of the sum of 2^64 greatest float64s in units of the smallest.
const maxWideBytes = (1024 + 1074 + 64) / 8

func (d *decoder) wide(w *window) {
	head := d.below(maxWideBytes*8<<1, "zeros")
	n := int(d.below(maxWideBytes+1, "bytes of a sum"))
	value := new(big.Int).SetBytes(d.bytes(n))
	value.Lsh(value, uint(head>>1))
	if value.BitLen() > maxWideBytes*8 {
		d.fail("sum of %d bits, want at most %d", value.BitLen(), maxWideBytes*8)
	}
	if head&1 == 1 {
		value.Neg(value)
	}
	w.sum.wide = value
}

func (d *decoder) changes(w *window) {
	n := d.count(3, "changes")
	w.changes = make(timeline, 0, n)
	length := uint64(d.shard.window)
	at, before := uint64(0), int64(0)
	for range n {
		first := at + d.below(length, "time")
		last := first + d.below(length, "time")
		if last >= length || first == at && len(w.changes) > 0 {
			d.fail("change does not fit in the window")
			return
		}
		at = last
		s := segment{first: uint32(first), last: uint32(last)}
		if head := d.uvarint(); head&1 == 0 {
			before += unzigzag(head >> 1)
			s.value = float64(before)
		} else {
			s.value = d.float()
		}
		w.changes = append(w.changes, s)
	}
}
