package kpi

import (
	"math"
	"slices"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// role is the meaning of a series for its machine.
type role uint8

const (
	plain role = iota
	stateRole
	countRole
	goodRole
)

// window is the state of a series in one window. Offsets are from its start, in µs. The
// fields that most windows serialise come first, in 128 bytes.
type window struct {
	start telemetry.Micros
	// count is the number of usable readings: finite, and not bad. All fields but bad and
	// badCount are of usable readings.
	count          uint64
	min, max, last float64
	sum            sum
	times          timeSet
	// changes is for the state and the counters of a machine.
	changes timeline
	// bad are the times of the readings that are not usable, badCount is their number.
	badCount        uint64
	bad             timeSet
	firstAt, lastAt uint32
}

func (w *window) reset(start telemetry.Micros) {
	*w = window{
		start: start,
		times: timeSet{runs: w.times.runs[:0]}, bad: timeSet{runs: w.bad.runs[:0]}, changes: w.changes[:0],
	}
}

// series is one metric of one device.
type series struct {
	metric telemetry.MetricName
	device *device
	role   role
	// seen is the end of the last closed window that had a reading.
	seen    telemetry.Micros
	windows []window // open ones in order of start
}

// at returns the index of the window that starts at start, and adds it if necessary.
func (s *series) at(start telemetry.Micros) int {
	i := len(s.windows)
	for i > 0 && s.windows[i-1].start > start {
		i--
	}
	if i > 0 && s.windows[i-1].start == start {
		return i - 1
	}
	s.windows = insertWindow(s.windows, i)
	s.windows[i].reset(start)
	return i
}

// insertWindow moves a free window, whose memory is reused, to index i.
func insertWindow(windows []window, i int) []window {
	n := len(windows)
	if n < cap(windows) {
		windows = windows[:n+1]
	} else {
		windows = append(windows, window{})
	}
	free := windows[n]
	copy(windows[i+1:], windows[i:n])
	windows[i] = free
	return windows
}

// closing returns the first window if it starts at start, otherwise nil.
func (s *series) closing(start telemetry.Micros) *window {
	if len(s.windows) > 0 && s.windows[0].start == start {
		return &s.windows[0]
	}
	return nil
}

// drop removes the first window; its memory will be reused.
func (s *series) drop() {
	n := len(s.windows)
	free := s.windows[0]
	copy(s.windows, s.windows[1:])
	s.windows[n-1] = free
	s.windows = s.windows[:n-1]
}

// outcome is the outcome of adding a reading.
type outcome struct {
	addition addition
	// crowded: the timeline of changes was full.
	crowded bool
}

// put adds a reading.
func (w *window) put(at uint32, v float64, q telemetry.Quality, r role, l *Limits) outcome {
	usable := q != telemetry.Bad && !math.IsInf(v, 0) && v == v
	if !usable {
		return outcome{addition: w.putBad(at, l)}
	}
	if w.badCount > 0 && w.bad.has(at) {
		return outcome{addition: duplicate}
	}
	add := w.times.add(at, l.Runs)
	if add == duplicate {
		return outcome{addition: duplicate}
	}
	if w.count == 0 {
		w.min, w.max, w.last, w.firstAt, w.lastAt = v, v, v, at, at
	} else {
		w.min, w.max = min(w.min, v), max(w.max, v)
		if at > w.lastAt {
			w.last, w.lastAt = v, at
		}
		w.firstAt = min(w.firstAt, at)
	}
	w.count++
	w.sum.add(v)
	o := outcome{addition: add}
	if r != plain {
		o.crowded = !w.changes.put(at, v, &w.times, l.Changes)
	}
	return o
}

func (w *window) putBad(at uint32, l *Limits) addition {
	if w.count > 0 && w.times.has(at) {
		return duplicate
	}
	add := w.bad.add(at, l.Runs)
	if add != duplicate {
		w.badCount++
	}
	return add
}

// device is a device of a gateway, with the carry from its closed windows.
type device struct {
	name    telemetry.DeviceName
	machine *Machine
	series  []*series // in order of metric
	carry   carry
	// identity is that of machine. After Decode it is that of the configuration of before,
	// until describe is called.
	identity identity
	// mixed: the windows that start up to mixedTo have readings from before the
	// configuration changed.
	mixed   bool
	mixedTo telemetry.Micros
}

// carry is the state that a machine's closed windows hand on to the next one.
type carry struct {
	// alive is the time of the last usable reading of any metric.
	alive telemetry.Micros
	has   carried
	state float64
	count counter
	good  counter
}

type carried uint8

const (
	hasAlive carried = 1 << iota
	hasState
	hasCount
	hasGood
	// wasUp and wasDown: the last state with a meaning was another than down, or down.
	wasUp
	wasDown
	// wasOwn: the machine was configured by its name when it last reported.
	wasOwn
	allCarried = hasAlive | hasState | hasCount | hasGood | wasUp | wasDown | wasOwn
)

// readings returns the times of all readings in the window that starts at start, in order;
// nil if there are none, or more irregular ones than are stored.
func (d *device) readings(start telemetry.Micros) (all []telemetry.Micros) {
	for _, sr := range d.series {
		w := sr.closing(start)
		if w == nil || w.count == 0 {
			continue
		}
		if w.times.full {
			return nil
		}
		for _, at := range w.times.list() {
			all = append(all, start+telemetry.Micros(at))
		}
	}
	slices.Sort(all)
	return all
}

// own reports whether the device is configured by its name, as far as is known.
func (d *device) own() bool {
	return d.machine != nil && (d.machine.own || d.machine.provisional && d.carry.has&wasOwn != 0)
}

// stays reports whether the device is a machine however long it is silent.
func (d *device) stays() bool { return d.own() && !d.machine.revoked && d.carry.has&hasAlive != 0 }

// leaves reports whether the device is a machine only until its state is unknown: it was
// configured by its name, and that configuration was removed, or its gateway is revoked.
func (d *device) leaves() bool {
	return d.machine != nil && (d.machine.revoked || d.carry.has&wasOwn != 0 && !d.own())
}

// gone reports whether nothing of the device is remembered any more.
func (d *device) gone() bool { return len(d.series) == 0 && !d.stays() }

func (d *device) roleOf(metric telemetry.MetricName) role {
	if d.machine == nil {
		return plain
	}
	switch metric {
	case d.machine.state:
		return stateRole
	case d.machine.count:
		return countRole
	case d.machine.good:
		return goodRole
	}
	return plain
}
