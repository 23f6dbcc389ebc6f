package video

import "time"

// level is how much of a camera's frames a viewer gets.
type level int

const (
	// keysOnly passes key frames.
	keysOnly level = iota
	// referenced passes the frames that others refer to.
	referenced
	// full passes every frame.
	full
)

const (
	// adaptEvery is the time between two decisions.
	adaptEvery = 500 * time.Millisecond
	// shortFor decisions in a row lower the level.
	shortFor = 2
	// The first wait before the next level is tried without evidence that it fits, and the longest: the estimate cannot exceed what is
	// sent by much, so it may never say so.
	firstProbe, lastProbe = 5 * time.Second, time.Minute
)

// rates are a camera's rates by level, in bits per second.
type rates [full + 1]int

// adapter chooses the level of one viewer from its bandwidth.
type adapter struct {
	level   level
	short   int
	changed time.Time
	probe   time.Duration
	probing bool // the last change went up without evidence
}

func newAdapter(now time.Time) adapter {
	return adapter{level: full, changed: now, probe: firstProbe}
}

// decide is called every adaptEvery with the camera's rates and the estimate, 0 if there is none.
func (a *adapter) decide(now time.Time, need rates, estimate int) {
	if estimate <= 0 {
		return
	}
	if a.level > keysOnly && estimate < need[a.level]*85/100 {
		a.short++
		if a.short < shortFor {
			return
		}
		if a.probing {
			a.probe = min(2*a.probe, lastProbe)
		}
		a.level--
		a.short, a.changed, a.probing = 0, now, false
		return
	}
	a.short = 0
	if a.level == full {
		if a.probing && now.Sub(a.changed) > 2*a.probe {
			a.probe, a.probing = firstProbe, false
		}
		return
	}
	fits := estimate > need[a.level+1]*11/10 && now.Sub(a.changed) > time.Second
	if fits || now.Sub(a.changed) >= a.probe {
		a.level++
		a.changed, a.probing = now, !fits
	}
}

// passes reports whether a viewer of the level gets the frame.
func (l level) passes(f *Frame) bool {
	return f.Key || l == full || l == referenced && !f.Disposable
}

// meter measures a camera's rates by level over the last full second.
type meter struct {
	start time.Time
	bytes [full + 1]int
	last  rates
}

func (m *meter) add(now time.Time, f *Frame) {
	if m.start.IsZero() {
		m.start = now
	}
	if elapsed := now.Sub(m.start); elapsed >= time.Second {
		for l := range m.bytes {
			m.last[l] = int(float64(m.bytes[l]) * 8 / elapsed.Seconds())
		}
		m.start, m.bytes = now, [full + 1]int{}
	}
	n := f.size()
	for l := keysOnly; l <= full; l++ {
		if l.passes(f) {
			m.bytes[l] += n
		}
	}
}
