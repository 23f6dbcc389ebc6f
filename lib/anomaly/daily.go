package anomaly

// daily stores the usual value of each hour of the day and each hour of the week, and the
// range of the values' distances from it.
type daily struct {
	seen  uint32 // number of distances, up to experience
	start int64  // of the current hour
	sum   float64
	count uint64
	usual float64 // of the current hour, if known is not 0
	known uint8   // number of days in usual
	span  span

	// Means of hours, and the number of hours in each, up to its memory.
	day      [hoursOfDay]float64
	week     [hoursOfWeek]float64
	dayOver  [hoursOfDay]uint8
	weekOver [hoursOfWeek]uint8
}

const (
	hoursOfDay  = 24
	hoursOfWeek = 7 * hoursOfDay

	daysKept  = 7
	weeksKept = 4
	// weeksKnown is the number of weeks after which the hour of the week is used instead
	// of the hour of the day.
	weeksKnown = 2
	// daysJudged is the number of days after which distances are judged, so that their
	// range was learned for a whole day.
	daysJudged = 2
)

func (d *daily) begin(micros int64) { d.start = hourOf(micros) * hour }

// push returns the novelty of a value's distance from the usual value of its hour. An hour
// is learned when it is over.
func (d *daily) push(micros int64, value, floor float64) (novelty float64) {
	if uint64(micros)-uint64(d.start) >= hour {
		d.turn(micros)
	}
	d.sum += value
	d.count++
	if d.known == 0 {
		return 0
	}
	distance := value - d.usual
	if d.seen == 0 {
		d.span.begin(distance)
	}
	if d.seen < experience {
		d.seen++
	}
	novelty = d.span.push(distance, floor, d.seen)
	if d.known < daysJudged {
		return 0
	}
	return novelty
}

// turn learns the current hour and starts that of micros.
func (d *daily) turn(micros int64) {
	h := hourOf(d.start)
	if d.count > 0 {
		mean := d.sum / float64(d.count)
		learn(&d.day[modulo(h, hoursOfDay)], &d.dayOver[modulo(h, hoursOfDay)], mean, daysKept)
		learn(&d.week[modulo(h, hoursOfWeek)], &d.weekOver[modulo(h, hoursOfWeek)], mean, weeksKept)
	}
	h = hourOf(micros)
	d.start, d.sum, d.count = h*hour, 0, 0
	d.known, d.usual = d.dayOver[modulo(h, hoursOfDay)], d.day[modulo(h, hoursOfDay)]
	if d.weekOver[modulo(h, hoursOfWeek)] >= weeksKnown {
		d.usual = d.week[modulo(h, hoursOfWeek)]
	}
}

func learn(mean *float64, over *uint8, value float64, kept uint8) {
	if *over < kept {
		*over++
	}
	*mean = approach(*mean, value, 1/float64(*over))
}

// hourOf returns the number of hours since 1970, negative before.
func hourOf(micros int64) int64 {
	h := micros / hour
	if micros%hour < 0 {
		h--
	}
	return h
}

func modulo(value, by int64) int64 {
	value %= by
	if value < 0 {
		value += by
	}
	return value
}
