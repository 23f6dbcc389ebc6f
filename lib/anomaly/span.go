package anomaly

import "math"

// span is the range that values have been in, over the last epoch and this one.
type span struct {
	lower, upper       float64
	newLower, newUpper float64 // in this epoch; the wrong way round before its first value
	stride             float64 // how far outside values usually are when they are; 0 before the first was
}

const (
	strideWeight = 0.1 // of one value that is outside in the stride
	strideMost   = 4.0 // strides: as far as an anomaly counts in it
)

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
	usual := s.step(beyond, seen)
	if seen <= warmUp {
		return 0
	}
	novelty = noveltyMax
	if ratio := beyond / width; ratio < noveltyMax { // a width of zero makes it infinite
		novelty = ratio
	}
	// Noise has records too, each about a stride beyond the one before: they count half.
	novelty *= beyond / (beyond + usual)
	// The longer the range has held, the more it means to leave it.
	return float64(novelty * math.Sqrt(float64(seen)/1000))
}

// step learns how far beyond the range a value was and returns what was usual before.
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

// forget begins an epoch: what was before the last one no longer counts. The stride
// becomes smaller as the range does.
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
