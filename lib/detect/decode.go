package detect

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/insighthub/insighthub/lib/anomaly"
	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// reader reads a serialised state. After the first failure every read returns zero.
type reader struct {
	rest   []byte
	failed string // the field that could not be read; empty if none
	// scratch is the buffer of sparse.
	scratch []byte
}

func (r *reader) fail(what string) {
	if r.failed == "" {
		r.failed = what
	}
	r.rest = nil
}

func (r *reader) uvarint(what string) uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail(what)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) micros(what string) telemetry.Micros {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail(what)
		return 0
	}
	r.rest = r.rest[n:]
	return telemetry.Micros(v)
}

func (r *reader) bytes(n uint64, what string) []byte {
	if n > uint64(len(r.rest)) {
		r.fail(what)
		return nil
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
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

// count reads the length of a list whose items have at least minBytes bytes each.
func (r *reader) count(minBytes int, what string) int {
	n := r.uvarint(what)
	if n > uint64(len(r.rest)/minBytes) {
		r.fail(what)
		return 0
	}
	return int(n)
}

// decode is the inverse of append. Errors wrap telemetry.ErrInvalid. Series above the
// limits, which may have been lowered since the state was saved, are left out.
func (s *State) decode(encoded []byte) error {
	r := &reader{rest: encoded}
	if v := r.byte("version"); r.failed == "" && v != Version {
		return fmt.Errorf("%w: version %d, want %d", telemetry.ErrInvalid, v, Version)
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
				s.dropped++
				usable = false
				continue
			}
			d.series = append(d.series, sr)
			g.series++
		}
		if !usable || !d.consistent() {
			d.resetMachine()
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
		// configure replaces the rule by that of the configuration.
		id := directory.RuleID(r.text("alarm"))
		sr.alarms = append(sr.alarms, alarm{rule: &rule{id: id}, raised: true})
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

// sparse is the inverse of appendSparse. The result is valid until the next call.
func (r *reader) sparse(what string) []byte {
	size := r.uvarint(what)
	if r.failed != "" || size == 0 || size > maxSparse {
		r.fail(what)
		return nil
	}
	words := int(size-1) / 8
	r.scratch = append(r.scratch[:0], r.byte(what))
	bits := r.bytes(uint64(words+7)/8, what)
	for i := range words {
		if r.failed != "" {
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
