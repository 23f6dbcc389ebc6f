package anomaly

import "math"

// span is the range of values in the last epoch and this one.
type span struct {
	lower, upper       float64
	newLower, newUpper float64 // in this epoch; newLower > newUpper before its first value
	stride             float64 // the usual distance of values outside the range; 0 before the first
}

const (
	strideWeight = 0.1 // weight of one value outside the range in the stride
	strideMost   = 4.0 // the greatest distance that counts in the stride, in strides
)

func (s *span) begin(value float64) {
	*s = span{lower: value, upper: value, newLower: value, newUpper: value}
}

// push returns the novelty of a value and extends the range by it. seen is the number of
// values including this one, floor is added to the width.
func (s *span) push(value, floor float64, seen uint32) (novelty float64) {
	if value > s.newUpper {
		s.newUpper = value
	}
	if value < s.newLower {
		s.newLower = value
	}
	if value >= s.lower && value <= s.upper {
		return 0
	}
	width := s.upper - s.lower + floor
	beyond := s.lower - value
	if value > s.upper {
		beyond = value - s.upper
		s.upper = value
	} else {
		s.lower = value
	}
	usual := s.step(beyond, seen)
	if seen <= warmUp {
		return 0
	}
	novelty = noveltyMax
	if ratio := beyond / width; ratio < noveltyMax { // infinite for a width of zero
		novelty = ratio
	}
	// The records of noise, each about a stride beyond the previous one, count half.
	novelty *= beyond / (beyond + usual)
	// The longer the range has held, the more a value outside it counts.
	return float64(novelty * math.Sqrt(float64(seen)/1000))
}

// step updates the stride by a value at the distance beyond and returns the previous stride.
func (s *span) step(beyond float64, seen uint32) (usual float64) {
	usual = s.stride
	switch {
	case usual == 0:
		s.stride = beyond
		return 0
	case seen > warmUp && beyond > float64(strideMost*usual):
		beyond = float64(strideMost * usual)
	}
	s.stride = approach(usual, beyond, strideWeight)
	return usual
}

// forget starts an epoch: values before the last epoch no longer count. The stride shrinks
// in proportion to the range.
func (s *span) forget() {
	if s.newLower > s.newUpper {
		return
	}
	width := s.upper - s.lower
	s.lower, s.upper = s.newLower, s.newUpper
	s.newLower, s.newUpper = s.upper, s.lower
	if width > 0 {
		s.stride = approach(0, s.stride*((s.upper-s.lower)/width), 1)
	}
}

// epoch decides when to forget: after as many samples as experience, and two days, so
// that a fast series does not forget its daily pattern.
type epoch struct {
	start int64
	seen  uint32
}

const (
	hour = 3_600_000_000 // microseconds
	day  = 24 * hour
)

// push reports whether an epoch ends. A clock that is set back makes it longer.
func (e *epoch) push(micros int64) bool {
	if e.seen < experience {
		e.seen++
		return false
	}
	if micros < e.start {
		e.start = micros
	}
	if uint64(micros)-uint64(e.start) < 2*day {
		return false
	}
	*e = epoch{start: micros}
	return true
}
