package anomaly

import "math"

// span is the range that values have been in, over the last epoch and this one.
type span struct {
	lower, upper       float64
	newLower, newUpper float64 // in this epoch; the wrong way round before its first value
}

func (s *span) begin(value float64) {
	*s = span{lower: value, upper: value, newLower: value, newUpper: value}
}

// push returns how new a value is after seen values, this one among them, and
// extends the range by it. The floor is the least width.
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
	if seen <= warmUp {
		return 0
	}
	novelty = noveltyMax
	if ratio := beyond / width; ratio < noveltyMax { // a width of zero makes it infinite
		novelty = ratio
	}
	// The longer the range has held, the more it means to leave it.
	return float64(novelty * math.Sqrt(float64(seen)/1000))
}

// forget begins an epoch: what was before the last one no longer counts.
func (s *span) forget() {
	if s.newLower > s.newUpper {
		return
	}
	s.lower, s.upper = s.newLower, s.newUpper
	s.newLower, s.newUpper = s.upper, s.lower
}

// epoch counts until enough has been seen to forget what was before: as many
// samples as count for experience, and two days, so that a fast series does not
// forget what its days look like.
type epoch struct {
	start int64
	seen  uint32
}

const (
	hour = 3_600_000_000 // microseconds
	day  = 24 * hour
)

// push reports that an epoch ends. A clock that is set back makes it longer.
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
