package detect

import (
	"math"

	"github.com/insighthub/insighthub/lib/anomaly"
	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

const (
	// minSensors is the number of scored metrics in step from which a device has a Machine.
	minSensors = 3
	// minMoments is the number of moments in a row with equally many metrics before that.
	minMoments = 30
)

// steps is the state of a device's moments, which are the times of its events, and of its
// Machine.
type steps struct {
	// at is the time of the current moment, count the number of scored series with an
	// event in it, last the count of the moment before, and inARow the number of
	// successive moments with that count.
	at                  telemetry.Micros
	count, last, inARow int

	machine *anomaly.Machine // nil before findMachine has made one
	sensors int
	present uint32 // a bit for each sensor that has a value in this moment
	values  [anomaly.MaxSensors]float64
	// alarmed says that the Machine's anomaly is active, and since is its time.
	alarmed bool
	since   telemetry.Micros
}

// resetMachine removes a device's Machine, with its anomaly, and its moments.
func (s *State) resetMachine(g *gateway, d *device) {
	s.endMachine(g, d, s.clock, directory.EndUnwatched)
	d.steps = steps{}
	for _, sr := range d.series {
		sr.sensor = 0
	}
}

// observe adds an event of a scored series, newer than the series' last, to its moment.
// An event of an earlier moment is dropped, and counts as missing there, unless the moment
// is after limit, ahead of the clock: then the present one replaces it. If the event starts
// a new moment and the Machine's result for the one before begins or ends an anomaly,
// changed is true, and the score is that of the anomaly or 0.
func (d *device) observe(
	sr *series, at telemetry.Micros, value float64, limit telemetry.Micros,
) (moment telemetry.Micros, score float64, changed bool) {
	if at > d.at || d.at > limit && at <= limit {
		moment, score, changed = d.closeMoment()
		d.at, d.count = at, 0
	} else if at < d.at {
		return 0, 0, false
	}
	d.count++
	if sr.sensor > 0 {
		d.present |= 1 << (sr.sensor - 1)
		d.values[sr.sensor-1] = value
	}
	return moment, score, changed
}

// closeMoment scores the moment with the Machine, or tries to find one.
func (d *device) closeMoment() (at telemetry.Micros, score float64, changed bool) {
	if d.machine == nil {
		d.findMachine()
		return 0, 0, false
	}
	if d.present == 0 {
		return 0, 0, false
	}
	for i := range d.sensors {
		if d.present&(1<<i) == 0 {
			d.values[i] = math.NaN()
		}
	}
	d.present = 0
	score, anomalous := d.machine.Push(int64(d.at), d.values[:d.sensors])
	if anomalous == d.alarmed {
		return 0, 0, false
	}
	if !anomalous {
		score = 0
	}
	return d.at, score, true
}

// findMachine makes a Machine of the series that were in step for minMoments.
func (d *device) findMachine() {
	if d.count != d.last || d.count < minSensors {
		d.last, d.inARow = d.count, 0
		return
	}
	if d.inARow++; d.inARow < minMoments {
		return
	}
	d.inARow = 0
	var sensors uint8
	for _, sr := range d.series {
		if sr.detector != nil && sr.valued && sr.valueAt == d.at && sensors < anomaly.MaxSensors {
			sensors++
			sr.sensor = sensors
		}
	}
	machine := new(anomaly.Machine)
	if sensors < minSensors || machine.Reset(int(sensors)) != nil {
		for _, sr := range d.series {
			sr.sensor = 0
		}
		return
	}
	d.machine, d.sensors = machine, int(sensors)
}
