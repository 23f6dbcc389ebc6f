package detect

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/insighthub/insighthub/lib/anomaly"
	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// reader reads a serialised state. After an error it reads zeros.
type reader struct {
	left []byte
	what string // what could not be read; empty: all is well
	// scratch is a detector's state with its zeros.
	scratch []byte
}

func (r *reader) fail(what string) {
	if r.what == "" {
		r.what = what
	}
	r.left = nil
}

func (r *reader) uvarint(what string) uint64 {
	v, n := binary.Uvarint(r.left)
	if n <= 0 {
		r.fail(what)
		return 0
	}
	r.left = r.left[n:]
	return v
}

func (r *reader) micros(what string) telemetry.Micros {
	v, n := binary.Varint(r.left)
	if n <= 0 {
		r.fail(what)
		return 0
	}
	r.left = r.left[n:]
	return telemetry.Micros(v)
}

func (r *reader) bytes(n uint64, what string) []byte {
	if n > uint64(len(r.left)) {
		r.fail(what)
		return nil
	}
	out := r.left[:n]
	r.left = r.left[n:]
	return out
}

func (r *reader) byte(what string) byte {
	if b := r.bytes(1, what); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) text(what string) string { return string(r.bytes(r.uvarint(what), what)) }

func (r *reader) float(what string) float64 {
	if b := r.bytes(8, what); b != nil {
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	return 0
}

// count reads how many follow, each of at least so many bytes.
func (r *reader) count(least int, what string) int {
	n := r.uvarint(what)
	if n > uint64(len(r.left)/least) {
		r.fail(what)
		return 0
	}
	return int(n)
}

// decode is the inverse of append. Errors wrap telemetry.ErrInvalid. Series past the
// limits, which may have been lowered, are left out.
func (s *State) decode(encoded []byte) error {
	r := &reader{left: encoded}
	if v := r.byte("version"); r.what == "" && v != Version {
		return fmt.Errorf("%w: version %d, want %d", telemetry.ErrInvalid, v, Version)
	}
	s.clock, s.swept = r.micros("clock"), r.micros("swept")
	last := ""
	for i := range r.count(3, "gateways") {
		g := &gateway{name: telemetry.GatewayID(r.text("gateway")), site: telemetry.SiteID(r.text("site"))}
		s.gateway(r, g)
		if r.what == "" && i > 0 && string(g.name) <= last {
			r.fail("order of gateways")
		}
		if r.what != "" {
			break
		}
		last = string(g.name)
		s.add(g)
	}
	if r.what == "" && len(r.left) > 0 {
		r.fail("end")
	}
	if r.what != "" {
		return fmt.Errorf("%w: %s", telemetry.ErrInvalid, r.what)
	}
	return nil
}

func (s *State) gateway(r *reader, g *gateway) {
	for i := range r.count(3, "devices") {
		d := &device{name: telemetry.DeviceName(r.text("device"))}
		if i > 0 && d.name <= g.devices[len(g.devices)-1].name {
			r.fail("order of devices")
		}
		whole := s.steps(r, &d.steps)
		for range r.count(5, "series") {
			sr := s.readSeries(r, d)
			sr.gateway, sr.device = g, d
			if n := len(d.series); n > 0 && sr.metric <= d.series[n-1].metric {
				r.fail("order of series")
			}
			if r.what != "" {
				return
			}
			if s.series+g.series >= s.limits.Series || g.series >= s.limits.GatewaySeries {
				s.dropped++
				whole = false
				continue
			}
			d.series = append(d.series, sr)
			g.series++
		}
		if !whole || !d.sensible() {
			d.unstep()
		}
		g.devices = append(g.devices, d)
	}
}

// sensible reports whether the sensors of a Machine are all there.
func (d *device) sensible() bool {
	var seen uint32
	for _, sr := range d.series {
		if sr.sensor > 0 {
			seen |= 1 << sr.sensor
		}
	}
	return seen == (1<<(d.sensors+1))-2 && (d.machine != nil) == (d.sensors > 0)
}

// steps reads what a device knows of its moments; false: it begins anew.
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
	for _, n := range [...]*int{&d.count, &d.last, &d.alike, &d.sensors} {
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
	if r.what != "" {
		return true
	}
	d.machine = new(anomaly.Machine)
	if err := d.machine.Restore(saved); err != nil {
		s.begun++
		return false
	}
	return true
}

func (s *State) readSeries(r *reader, d *device) *series {
	sr := &series{metric: telemetry.MetricName(r.text("metric"))}
	flags := r.uvarint("flags")
	if flags>>flagBits > uint64(d.sensors) {
		r.fail("flags")
		return sr
	}
	sr.sensor = uint8(flags >> flagBits)
	sr.newest, sr.arrival = r.micros("newest"), r.micros("arrival")
	if flags&flagValued != 0 {
		sr.valued, sr.valueAt, sr.value = true, r.micros("time of the value"), r.float("value")
	}
	for range r.count(1, "alarms") {
		// The rule itself comes from the configuration.
		id := directory.RuleID(r.text("alarm"))
		sr.alarms = append(sr.alarms, alarm{rule: &rule{id: id}, raised: true})
	}
	if flags&flagScored != 0 {
		saved := r.sparse("detector")
		if r.what != "" {
			return sr
		}
		sr.detector = new(anomaly.Detector)
		if err := sr.detector.Restore(saved); err != nil {
			s.begun++ // it is the zero Detector still
		}
	}
	return sr
}

// sparse reads a state with its zeros; it is valid until the next call.
func (r *reader) sparse(what string) []byte {
	size := r.uvarint(what)
	if r.what != "" || size == 0 || size > maxSparse {
		r.fail(what)
		return nil
	}
	words := int(size-1) / 8
	r.scratch = append(r.scratch[:0], r.byte(what))
	bits := r.bytes(uint64(words+7)/8, what)
	for i := range words {
		if r.what != "" {
			return nil
		}
		if bits[i/8]&(1<<(i%8)) == 0 {
			r.scratch = append(r.scratch, 0, 0, 0, 0, 0, 0, 0, 0)
			continue
		}
		r.scratch = append(r.scratch, r.bytes(8, what)...)
	}
	r.scratch = append(r.scratch, r.bytes(uint64(int(size)-1-8*words), what)...)
	return r.scratch
}
