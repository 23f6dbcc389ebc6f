package anomaly

// daily knows what each hour of the day is usually like, and the range of the
// values' distances from that.
type daily struct {
	seen  uint32 // distances, up to experience
	start int64  // of the hour that is running
	sum   float64
	count uint64
	span  span
	hours [24]usual
}

// usual is an hour's mean over the days before.
type usual struct {
	mean float64
	days uint32 // up to week
}

// week is how many days an hour's mean remembers.
const week = 7

func (d *daily) begin(micros int64) { d.start = hourOf(micros) * hour }

// push returns how new a value's distance from its hour's usual value is. An hour
// is not known before it is over, and the distances are not judged before they
// were seen for a day.
func (d *daily) push(micros int64, value, floor float64) (novelty float64) {
	if uint64(micros)-uint64(d.start) >= hour {
		d.turn(micros)
	}
	d.sum += value
	d.count++
	usual := &d.hours[d.index()]
	if usual.days == 0 {
		return 0
	}
	distance := value - usual.mean
	if d.seen == 0 {
		d.span.begin(distance)
	}
	if d.seen < experience {
		d.seen++
	}
	novelty = d.span.push(distance, floor, d.seen)
	if usual.days < 2 {
		return 0
	}
	return novelty
}

// turn closes the hour that was running and begins that of micros.
func (d *daily) turn(micros int64) {
	if d.count > 0 {
		usual := &d.hours[d.index()]
		if usual.days < week {
			usual.days++
		}
		usual.mean = approach(usual.mean, d.sum/float64(d.count), weight(usual.days, week))
	}
	d.start, d.sum, d.count = hourOf(micros)*hour, 0, 0
}

func (d *daily) index() int {
	h := hourOf(d.start) % 24
	if h < 0 {
		h += 24
	}
	return int(h)
}

// hourOf counts hours since 1970, negative before.
func hourOf(micros int64) int64 {
	h := micros / hour
	if micros%hour < 0 {
		h--
	}
	return h
}
