package detect

import (
	"math"

	"github.com/insighthub/insighthub/lib/anomaly"
	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

const (
	// leastSensors is how many scored metrics a device has to report in step for a Machine.
	leastSensors = 3
	// stepsWanted is how many moments in a row have to have the same number of metrics.
	stepsWanted = 30
)

// steps is what a device knows of its moments: the times at which it reports.
type steps struct {
	// at is the time of the moment that is being collected, count how many of the
	// device's scored series have it, last that of the moment before, and alike how
	// many moments in a row had as many.
	at                 telemetry.Micros
	count, last, alike int

	machine *anomaly.Machine // nil: none yet
	sensors int
	present uint32 // a bit for each sensor that has a value in this moment
	values  [anomaly.MaxSensors]float64
	alarmed bool
}

// unstep gives the device's Machine up.
func (d *device) unstep() {
	d.steps = steps{}
	for _, sr := range d.series {
		sr.sensor = 0
	}
}

// step takes an event of a scored series that is newer than the series' last. What
// came too late for its moment is missing there. It reports an alarm of the moment
// that this event ends.
func (d *device) step(sr *series, at telemetry.Micros, value float64) (moment telemetry.Micros, score float64, raised bool) {
	if at > d.at {
		moment, score, raised = d.complete()
		d.at, d.count = at, 0
	} else if at < d.at {
		return 0, 0, false
	}
	d.count++
	if sr.sensor > 0 {
		d.present |= 1 << (sr.sensor - 1)
		d.values[sr.sensor-1] = value
	}
	return moment, score, raised
}

// complete gives the moment to the Machine, or sees whether there can be one.
func (d *device) complete() (at telemetry.Micros, score float64, raised bool) {
	if d.machine == nil {
		d.look()
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
	raised = anomalous && !d.alarmed
	d.alarmed = anomalous
	return d.at, score, raised
}

// look makes a Machine of the series that are in step.
func (d *device) look() {
	if d.count != d.last || d.count < leastSensors {
		d.last, d.alike = d.count, 0
		return
	}
	if d.alike++; d.alike < stepsWanted {
		return
	}
	d.alike = 0
	var sensors uint8
	for _, sr := range d.series {
		if sr.detector != nil && sr.newest == d.at && sensors < anomaly.MaxSensors {
			sensors++
			sr.sensor = sensors
		}
	}
	machine := new(anomaly.Machine)
	if sensors < leastSensors || machine.Reset(int(sensors)) != nil {
		for _, sr := range d.series {
			sr.sensor = 0
		}
		return
	}
	d.machine, d.sensors = machine, int(sensors)
}

// machineMessage says what a Machine's alarm is about.
func machineMessage(score float64) string {
	return "the sensors together run otherwise than before, score " + number(score)
}

func machineAnomaly(g *gateway, d *device, at telemetry.Micros, score float64) directory.Anomaly {
	return directory.Anomaly{
		Site: g.site, Gateway: g.name, Device: d.name, Time: at, Kind: directory.ByMachine, Score: score,
		Severity: directory.Warning, Message: machineMessage(score),
	}
}
