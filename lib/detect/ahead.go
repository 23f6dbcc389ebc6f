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
	// settled is the time after which a series without a present event is taken for one of a
	// gateway whose clock is fast, and a held value is judged though nothing has followed it.
	settled = telemetry.Micros(time.Minute / time.Microsecond)
	// maxHeld bounds the values of a series that are held.
	maxHeld = 16
)

// early is what a series remembers of times that are ahead.
type early struct {
	// held are values whose time has not come yet, in the order of their times.
	held []point
	// newest is the time of the newest value that was judged before its time, and since the
	// arrival of the first of them without a present event in between; 0 if there is none.
	newest, since telemetry.Micros
}

// ahead folds an event whose time is ahead of the arrival clock. It does not move the newest
// time of its series, or the present events after it would count as late.
//
// If the series has present events, the value is held until its time comes. Otherwise the
// gateway's clock is fast, and all that arrives is judged at once.
func (f *folder) ahead(r *Report, sr *series, t telemetry.Micros, value float64, bad bool) {
	s := f.state
	if bad {
		r.Bad++
		return
	}
	if sr.early == nil {
		sr.early = &early{}
	}
	e := sr.early
	if sr.newest >= s.clock-settled {
		r.Held++
		at, known := slices.BinarySearchFunc(e.held, t, func(p point, t telemetry.Micros) int { return int(p.at - t) })
		if known || len(e.held) == maxHeld {
			return
		}
		e.held = slices.Insert(e.held, at, point{t, value, true})
		s.release = min(s.release, e.held[0].at+settled)
		return
	}
	if e.newest != 0 && t <= e.newest {
		r.Late++
		if len(sr.alarms) > 0 && t < e.newest {
			f.late(sr, t, value)
		}
		return
	}
	if e.since == 0 {
		e.since = s.clock
	}
	e.newest = t
	if sr.detector == nil {
		r.Unscored++
	} else {
		r.Scored++
	}
	f.judge(sr, t, value, s.clock)
	// What is sent again later, when its time has passed, is known.
	if known := s.clock - 2*settled; e.since < known {
		sr.newest = max(sr.newest, known)
	}
}

// present judges the held values before time t of an event that is present.
func (f *folder) present(sr *series, t telemetry.Micros) {
	e := sr.early
	e.since = 0
	f.judgeHeld(sr, t)
	if len(e.held) == 0 && e.newest <= f.state.clock {
		sr.early = nil
	}
}

// judgeHeld judges the held values before a time, in order.
func (f *folder) judgeHeld(sr *series, before telemetry.Micros) {
	e := sr.early
	for len(e.held) > 0 && e.held[0].at < before {
		p := e.held[0]
		e.held = slices.Delete(e.held, 0, 1)
		if p.at <= sr.newest {
			if len(sr.alarms) > 0 && p.at < sr.newest {
				f.late(sr, p.at, p.value)
			}
			continue
		}
		f.judge(sr, p.at, p.value, p.at)
		sr.newest = p.at
	}
}

// releaseDue judges the held values whose time passed a while ago, though no event of
// their series has followed, and finds out when the next one is due.
func (f *folder) releaseDue() {
	s := f.state
	s.release = math.MaxInt64
	s.each(func(sr *series) {
		if sr.early == nil || len(sr.early.held) == 0 {
			return
		}
		f.judgeHeld(sr, s.clock-settled)
		if held := sr.early.held; len(held) > 0 {
			s.release = min(s.release, held[0].at+settled)
		}
	})
}
