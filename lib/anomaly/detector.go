package anomaly

import "math"

// Threshold is the score from which a sample is called anomalous: the one
// released setting, the same for every series.
const Threshold = 0.5

const (
	valueMax = 1e150
	valueMin = 1e-150

	warmUp  = 150
	memory  = 400
	resting = 100
)

// Detector is the memory of one series: of fixed size, without pointers, so
// that copying it copies the state. The zero Detector is ready. It is not safe
// for concurrent use.
type Detector struct {
	seen   uint64
	rest   uint32
	last   float64
	mean   float64
	spread float64
}

// Reset forgets the series.
func (d *Detector) Reset() { *d = Detector{} }

// Push takes the sample that follows the ones before it, at a time in
// microseconds since 1970. The score is in [0,1] and 0 while warming up;
// anomalous says that it reached [Threshold].
func (d *Detector) Push(_ int64, value float64) (score float64, anomalous bool) {
	value, ok := admit(value)
	if !ok {
		return 0, false
	}
	if d.seen == 0 {
		d.mean, d.last = value, value
	}
	d.seen++
	weight := 1 / float64(min(d.seen, memory))
	off := value - d.mean
	if d.seen > warmUp {
		square := float64(off * off)
		score = square / (square + float64(25*d.spread) + valueMin)
	}
	d.mean += float64(weight * off)
	d.spread += float64(weight * (float64(off*off) - d.spread))
	d.last = value
	if d.rest > 0 {
		d.rest--
		return float64(score * 0.5), false
	}
	if score >= Threshold {
		d.rest = resting
		return score, true
	}
	return score, false
}

// PushBlock pushes samples one by one, as many as the shortest slice holds, and
// returns how many of the flags it set to 1; the others become 0.
func (d *Detector) PushBlock(micros []int64, values, scores []float64, flags []uint8) int {
	n := min(len(micros), len(values), len(scores), len(flags))
	micros, values, scores, flags = micros[:n], values[:n], scores[:n], flags[:n]
	set := 0
	for i, value := range values {
		score, anomalous := d.Push(micros[i], value)
		scores[i] = score
		flags[i] = 0
		if anomalous {
			flags[i] = 1
			set++
		}
	}
	return set
}

// admit brings a value into the range where squares neither overflow nor
// vanish; ok is false for NaN and infinities.
func admit(value float64) (admitted float64, ok bool) {
	size := math.Abs(value)
	switch {
	case !(size <= math.MaxFloat64):
		return 0, false
	case size > valueMax:
		return math.Copysign(valueMax, value), true
	case size < valueMin:
		return 0, true
	}
	return value, true
}
