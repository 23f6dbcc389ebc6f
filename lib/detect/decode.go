package detect

import (
	"fmt"
	"math"

	"github.com/insighthub/insighthub/lib/anomaly"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// decode is the inverse of append. Errors wrap telemetry.ErrInvalid. Series above the
// limits, which may have been lowered since the state was saved, are left out.
func (s *State) decode(encoded []byte) error {
	r := &reader{rest: encoded}
	if r.version = r.byte("version"); r.failed == "" && r.version != 1 && r.version != Version {
		return fmt.Errorf("%w: version %d, want %d or 1", telemetry.ErrInvalid, r.version, Version)
	}
	s.clock, s.swept = r.micros("clock"), r.micros("swept")
	last := ""
	for i := range r.count(3, "gateways") {
		g := &gateway{name: telemetry.GatewayID(r.text("gateway")), site: telemetry.SiteID(r.text("site"))}
		s.gateway(r, g)
		if r.failed == "" && i > 0 && string(g.name) <= last {
			r.fail("order of gateways")
		}
		if r.failed != "" {
			break
		}
		last = string(g.name)
		s.add(g)
	}
	if r.failed == "" && len(r.rest) > 0 {
		r.fail("end")
	}
	if r.failed != "" {
		return fmt.Errorf("%w: %s", telemetry.ErrInvalid, r.failed)
	}
	return nil
}

func (s *State) gateway(r *reader, g *gateway) {
	for i := range r.count(3, "devices") {
		d := &device{name: telemetry.DeviceName(r.text("device"))}
		if i > 0 && d.name <= g.devices[len(g.devices)-1].name {
			r.fail("order of devices")
		}
		usable := s.steps(r, &d.steps)
		if r.version > 1 {
			d.taken = r.taken()
		}
		for range r.count(5, "series") {
			sr := s.readSeries(r, d)
			sr.gateway, sr.device = g, d
			if n := len(d.series); n > 0 && sr.metric <= d.series[n-1].metric {
				r.fail("order of series")
			}
			if r.failed != "" {
				return
			}
			if s.series+g.series >= s.limits.Series || g.series >= s.limits.GatewaySeries {
				s.endAll(sr)
				s.dropped++
				usable = false
				continue
			}
			d.series = append(d.series, sr)
			g.series++
		}
		if !usable || !d.consistent() {
			s.resetMachine(g, d)
		}
		g.devices = append(g.devices, d)
	}
}

// consistent reports whether each sensor of the Machine has its series.
func (d *device) consistent() bool {
	var seen uint32
	for _, sr := range d.series {
		if sr.sensor > 0 {
			seen |= 1 << sr.sensor
		}
	}
	return seen == (1<<(d.sensors+1))-2 && (d.machine != nil) == (d.sensors > 0)
}

// steps reads a device's steps, and reports whether they can be used; if not, the
// caller resets them.
func (s *State) steps(r *reader, d *steps) bool {
	switch r.byte("steps") {
	case 0:
		return true
	case 1:
	default:
		r.fail("steps")
		return true
	}
	d.at = r.micros("moment")
	for _, n := range [...]*int{&d.count, &d.last, &d.inARow, &d.sensors} {
		v := r.uvarint("counts of a moment")
		if v > math.MaxInt32 {
			r.fail("counts of a moment")
			return true
		}
		*n = int(v)
	}
	if d.sensors == 0 {
		return true
	}
	if d.sensors > anomaly.MaxSensors {
		r.fail("sensors")
		return true
	}
	d.alarmed = r.byte("alarm of a machine") == 1
	switch {
	case r.version == 1:
		d.alarmed = false // it does not say since when
	case d.alarmed:
		d.since = r.micros("time of a machine's alarm")
	}
	present := r.uvarint("sensors present")
	if present >= 1<<d.sensors {
		r.fail("sensors present")
		return true
	}
	d.present = uint32(present)
	for i := range d.sensors {
		if d.present&(1<<i) != 0 {
			d.values[i] = r.float("value of a sensor")
		}
	}
	saved := r.sparse("machine")
	if r.failed != "" {
		return true
	}
	d.machine = new(anomaly.Machine)
	if err := d.machine.Restore(saved); err != nil {
		s.resets++
		return false
	}
	return true
}

func (s *State) readSeries(r *reader, d *device) *series {
	sr := &series{metric: telemetry.MetricName(r.text("metric"))}
	flags := r.uvarint("flags")
	bits := flagBits
	if r.version == 1 {
		bits = flagBits1
	}
	if flags>>bits > uint64(d.sensors) {
		r.fail("flags")
		return sr
	}
	sr.sensor = uint8(flags >> bits)
	flags &= 1<<bits - 1
	sr.newest, sr.arrival = r.micros("newest"), r.micros("arrival")
	if r.version == 1 {
		// It may be of a future event, after which present ones would count as late.
		sr.newest, sr.useful = min(sr.newest, s.clock), sr.arrival
	} else {
		sr.useful = r.micros("arrival of a usable value")
	}
	if flags&flagValued != 0 {
		p := r.point("value")
		sr.valued, sr.valueAt, sr.value = true, p.at, p.value
	}
	for range r.count(1, "alarms") {
		sr.alarms = append(sr.alarms, r.alarm())
	}
	if flags&flagOdd != 0 {
		p := r.point("active anomaly")
		sr.odd, sr.oddAt, sr.oddScore = true, p.at, p.value
	}
	if flags&flagEarly != 0 {
		sr.early = r.early()
	}
	if flags&flagTaken != 0 {
		sr.taken = r.taken()
	}
	if flags&flagScored != 0 {
		saved := r.sparse("detector")
		if r.failed != "" {
			return sr
		}
		sr.detector = new(anomaly.Detector)
		if err := sr.detector.Restore(saved); err != nil {
			s.resets++ // the Detector still has its zero value
		}
	}
	return sr
}
