package detect

import (
	"math"
	"slices"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

const (
	// maxAhead is how far a time may be ahead of the arrival clock and count as present.
	maxAhead = telemetry.Micros(time.Second / time.Microsecond)
	// settled is the time without values ahead after which present ones show that the clocks
	// of a series' sources are right.
	settled = telemetry.Micros(time.Minute / time.Microsecond)
	// maxJudged bounds the values ahead that a series remembers if it has rules, and
	// maxScored if it has none.
	maxJudged, maxScored = 64, 8
)

// early is what a series remembers of times that are ahead.
type early struct {
	// held is a value whose time has not come yet, if known.
	held point
	// last is the arrival of the last value ahead, and since that of the first one without a
	// present event after it; 0 if there is none.
	last, since telemetry.Micros
	// value is the last value that was judged ahead, and present the last one of the others.
	value, present point
	// judged are the last values that were judged ahead or held: a gateway sends a batch
	// again if it has not received the response.
	judged []point
}

// taken are the times of the last anomalies of a detector that were found ahead of the clock
// or between values that are. The same time may come again, when the clock of its source was
// set back, but the identity of an anomaly is its time: it has one begin and one end.
type taken []telemetry.Micros

// maxTaken bounds taken.
const maxTaken = 16

func (n *taken) add(at telemetry.Micros) {
	*n = append(*n, at)
	*n = slices.Delete(*n, 0, max(0, len(*n)-maxTaken))
}

// knows reports whether a value was judged already, or is held.
func (e *early) knows(t telemetry.Micros, value float64) bool {
	p := point{t, value, true}
	return e.held == p || slices.Contains(e.judged, p)
}

// ahead folds a value whose time is ahead of the arrival clock. It does not move the newest
// time of its series, or the present events after it would count as late.
//
// One such value is held until its time comes: its time is wrong, or its clock is fast. The
// second one shows that the clock of a source is: both are judged at once, and so are those
// that follow, in the order of their arrival.
func (f *folder) ahead(r *Report, sr *series, t telemetry.Micros, value float64) {
	s := f.state
	if sr.early == nil {
		sr.early = &early{present: point{sr.valueAt, sr.value, sr.valued}}
	}
	e := sr.early
	if e.knows(t, value) {
		r.Late++
		return
	}
	first := e.last == 0
	if e.last = s.clock; e.since == 0 {
		e.since = s.clock
	}
	if first {
		r.Held++
		e.held = point{t, value, true}
		s.release = min(s.release, t)
		return
	}
	r.count(sr)
	if p := e.held; p.known {
		e.held = point{}
		f.judgeAhead(sr, p)
	}
	f.judgeAhead(sr, point{t, value, true})
	// What is sent again later, when its time has passed, is known.
	if known := s.clock - 2*settled; e.since < known {
		sr.newest = max(sr.newest, known)
	}
}

// judgeAhead judges a value before its time.
func (f *folder) judgeAhead(sr *series, p point) {
	e := sr.early
	before := e.value
	if !before.known {
		before = e.present
	}
	f.judge(sr, p, before, f.state.clock, true)
	e.value = p
	e.remember(sr, p)
}

func (e *early) remember(sr *series, p point) {
	limit := maxJudged
	if len(sr.alarms) == 0 {
		limit = maxScored
	}
	e.judged = append(e.judged, p)
	e.judged = slices.Delete(e.judged, 0, max(0, len(e.judged)-limit))
}

// present prepares the state for an event of the time t, which is present: it judges the
// value that is held if that is not newer.
func (f *folder) present(sr *series, t telemetry.Micros) {
	e := sr.early
	e.since = 0
	if e.held.known && e.held.at <= t {
		f.judgeHeld(sr)
	}
	if !e.held.known && f.state.clock-e.last > settled {
		sr.early = nil
	}
}

// judgeHeld judges the value that is held, whose time has come. The newest time stays, so
// that events of a batch which is still on its way are not late for it.
func (f *folder) judgeHeld(sr *series) {
	e := sr.early
	p := e.held
	e.held = point{}
	f.judge(sr, p, e.present, p.at, false)
	e.present = p
	e.remember(sr, p)
}

// releaseDue judges the held values whose time has come, and finds out when the next one is
// due. It follows the events of a record, which may have older times.
func (f *folder) releaseDue() {
	s := f.state
	if s.clock < s.release {
		return
	}
	s.release = math.MaxInt64
	s.each(func(sr *series) {
		if sr.early == nil || !sr.early.held.known {
			return
		}
		if sr.early.held.at <= s.clock {
			f.judgeHeld(sr)
			return
		}
		s.release = min(s.release, sr.early.held.at)
	})
}
