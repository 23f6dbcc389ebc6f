package anomaly

import "math"

// Threshold is the least score of an anomalous sample, for every series.
const Threshold = 0.5

// The settings of [Detector]; lengths are in samples.
const (
	warmUp     = 180     // samples before a series is judged
	shortTerm  = 30      // memory of the short mean
	longTerm   = 1000    // memory of the long mean
	experience = 1 << 14 // least length of an epoch, and the greatest count of samples
	resting    = 40      // memory of the hold after an alarm

	// Novelty is a value's distance from the range in widths of the range, times the
	// root of the range's samples in thousands.
	weightLevel   = 0.5
	weightDaily   = 0.25
	noveltyMax    = 1.0   // greatest distance that counts, in widths
	noveltyNormal = 0.021 // the novelty that scores Threshold
	noveltyQuiet  = 0.05  // the novelty of a series that becomes quiet

	// valueFloor is the least width of a range, as a part of the greatest value in it, so
	// that rounding is not new.
	valueFloor = 1e-9
	holdFloor  = 1e-6

	valueMax = 1e150
	valueMin = 1e-150
)

// Detector scores one series. It has a fixed size and no pointers, so that a copy is a
// copy of the state. The zero Detector is ready to use. It is not safe for concurrent use.
type Detector struct {
	seen  uint32  // number of samples, up to experience
	hold  float64 // the novelty that a sample must exceed after an alarm
	last  float64
	short float64 // mean
	long  float64 // mean
	value span
	above span // of the value's distance from the long mean
	level span // of the short mean's distance from the long one
	quiet quiet
	daily daily
	epoch epoch
}

// Reset forgets the series.
func (d *Detector) Reset() { *d = Detector{} }

// Push scores the next sample, whose time is in microseconds since 1970. The score is in
// [0,1], and 0 during the warm-up; anomalous is true if it is at least [Threshold].
func (d *Detector) Push(micros int64, value float64) (score float64, anomalous bool) {
	value, ok := admit(value)
	if !ok {
		return 0, false
	}
	if d.seen == 0 {
		d.begin(micros, value)
	}
	if d.seen < experience {
		d.seen++
	}
	d.short = approach(d.short, value, weight(d.seen, shortTerm))
	d.long = approach(d.long, value, weight(d.seen, longTerm))
	move := math.Abs(value - d.last)
	d.last = value

	floor := float64(valueFloor * (math.Abs(d.value.upper) + math.Abs(d.value.lower)))
	// A value is new if it is new by itself and relative to the long mean: a drifting
	// series leaves its range day by day.
	novelty := d.value.push(value, floor, d.seen)
	if n := d.above.push(value-d.long, floor, d.seen); n < novelty {
		novelty = n
	}
	if n := float64(weightLevel * d.level.push(d.short-d.long, floor, d.seen)); n > novelty {
		novelty = n
	}
	if n := float64(weightDaily * d.daily.push(micros, value, floor)); n > novelty {
		novelty = n
	}
	if d.quiet.push(move, d.seen) && novelty < noveltyQuiet {
		novelty = noveltyQuiet
	}
	if d.epoch.push(micros) {
		d.value.forget()
		d.above.forget()
		d.level.forget()
		d.daily.span.forget()
		d.quiet.forget()
	}

	if novelty > d.hold {
		d.hold = novelty
		score = novelty / (novelty + noveltyNormal)
	}
	d.hold -= float64(d.hold * (1. / resting))
	if d.hold < holdFloor {
		d.hold = 0
	}
	return score, score >= Threshold
}

// PushBlock pushes samples one by one, as many as the shortest slice has, and returns the
// number of flags that it set to 1; it sets the others to 0.
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

func (d *Detector) begin(micros int64, value float64) {
	d.last, d.short, d.long = value, value, value
	d.value.begin(value)
	d.above.begin(0)
	d.level.begin(0)
	d.daily.begin(micros)
	d.epoch.start = micros
}

// admit limits a value to the range in which squares neither overflow nor underflow; ok is
// false for NaN and infinities.
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

// weight returns the weight of a sample in a mean over all samples, at most limit of them.
func weight(seen, limit uint32) float64 {
	if seen < limit {
		return 1 / float64(seen)
	}
	return 1 / float64(limit)
}

// approach moves a mean toward a value. A mean that has become very small becomes zero,
// since computing with denormal numbers is slow.
func approach(mean, value, weight float64) float64 {
	mean += float64(weight * (value - mean))
	if math.Abs(mean) < valueMin*valueFloor {
		return 0
	}
	return mean
}
