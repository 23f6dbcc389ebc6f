package anomaly

// daily knows what each hour of the day and each hour of the week is usually
// like, and the range of the values' distances from that.
type daily struct {
	seen  uint32 // distances, up to experience
	start int64  // of the hour that is running
	sum   float64
	count uint64
	usual float64 // what the hour that is running is like, once known
	known uint8   // days that went into it
	span  span

	// Means of hours, and how many went into each, up to its memory.
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
	// weeksKnown is from how many weeks on an hour of the week is known better than
	// the hour of the day.
	weeksKnown = 2
	// daysJudged is from how many days on distances are judged, so that they were
	// seen for a whole day before.
	daysJudged = 2
)

func (d *daily) begin(micros int64) { d.start = hourOf(micros) * hour }

// push returns how new a value's distance from its hour's usual value is. An hour
// is not known before it is over.
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

// turn closes the hour that was running and begins that of micros.
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

// hourOf counts hours since 1970, negative before.
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
