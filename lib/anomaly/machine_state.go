package anomaly

import "math"

const (
	machineHeadWords   = 5
	machineSensorWords = 10
	machineWords       = machineHeadWords + machineSensorWords*MaxSensors

	// MachineStateSize is the length of the saved state of a Machine in bytes: version,
	// words, checksum. It does not depend on the number of sensors.
	MachineStateSize = 1 + 8*machineWords + 8
)

// AppendState appends the state, [MachineStateSize] bytes, to dst.
func (m *Machine) AppendState(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, stateVersion)
	for i := range machineWords {
		dst = appendWord(dst, m.word(i))
	}
	return appendWord(dst, checksum(dst[start:]))
}

// Restore restores the saved state of a machine. For any other input it returns a
// *[StateError] and changes nothing.
func (m *Machine) Restore(state []byte) error {
	if reason := unsound(state, MachineStateSize); reason != "" {
		return &StateError{Reason: reason}
	}
	var restored Machine
	for i := range machineWords {
		if !restored.setWord(i, wordAt(state, 1+8*i)) {
			return &StateError{Reason: "a count out of range"}
		}
	}
	if field := restored.invalid(); field != "" {
		return &StateError{Reason: field + " out of range"}
	}
	*m = restored
	return nil
}

// Hash returns a hash of the state. Equal states have equal hashes, on every platform.
func (m *Machine) Hash() uint64 {
	sum := uint64(offsetBasis)
	for i := range machineWords {
		sum = mix(sum, m.word(i))
	}
	return sum
}

// word returns word i of the saved state: those of the machine, then those of each sensor.
func (m *Machine) word(i int) uint64 {
	switch i {
	case 0:
		return uint64(m.sensors)
	case 1:
		return uint64(m.alarm)
	case 2:
		return uint64(m.settle)
	case 3:
		return uint64(m.known)
	case 4:
		return math.Float64bits(m.peak)
	}
	i -= machineHeadWords
	s := &m.sensor[i/machineSensorWords]
	switch i % machineSensorWords {
	case 0:
		return uint64(s.seen)
	case 1:
		return uint64(s.count)
	}
	return math.Float64bits(*s.float(i%machineSensorWords - 2))
}

// setWord is the inverse of word; it returns false for a count that does not fit.
func (m *Machine) setWord(i int, word uint64) bool {
	fits := word <= math.MaxUint32
	switch i {
	case 0:
		m.sensors = uint32(word)
		return fits
	case 1:
		m.alarm = uint32(word)
		return fits
	case 2:
		m.settle = uint32(word)
		return fits
	case 3:
		m.known = uint32(word)
		return word <= 1
	case 4:
		m.peak = math.Float64frombits(word)
		return true
	}
	i -= machineHeadWords
	s := &m.sensor[i/machineSensorWords]
	switch i % machineSensorWords {
	case 0:
		s.seen = uint32(word)
		return fits
	case 1:
		s.count = uint32(word)
		return fits
	}
	*s.float(i%machineSensorWords - 2) = math.Float64frombits(word)
	return true
}

// float returns float64 i of the sensor.
func (s *sensor) float(i int) *float64 {
	switch i {
	case 0:
		return &s.level
	case 1:
		return &s.other
	case 2:
		return &s.spread
	case 3:
		return &s.wander
	case 4:
		return &s.inverse
	case 5:
		return &s.deviation
	case 6:
		return &s.away
	}
	return &s.total
}

// invalid returns the name of a field with a value that no sequence of readings produces
// and that could make later computations overflow, or "".
func (m *Machine) invalid() string {
	switch {
	case m.sensors > MaxSensors:
		return "number of sensors"
	case m.alarm > machineLimit || m.alarm > 0 && m.settle > 0:
		return "alarm"
	case m.settle > machineSettle:
		return "settle"
	case !(m.peak >= 0 && m.peak <= MaxSensors*machineClip*machineClip):
		return "peak"
	}
	for i := range m.sensor {
		s := &m.sensor[i]
		if i >= int(m.sensors) && *s != (sensor{}) {
			return "a sensor beyond the number of sensors"
		}
		if field := s.invalid(); field != "" {
			return field
		}
	}
	return ""
}

func (s *sensor) invalid() string {
	ready := s.seen == machineWarmUp
	switch {
	case s.seen > machineWarmUp:
		return "seen"
	case s.count >= machineBlock:
		return "count"
	case !(math.Abs(s.level) <= 2*valueMax):
		return "level"
	case !(math.Abs(s.other) <= 2*valueMax):
		return "other level"
	case !(s.spread >= 0 && s.spread <= wanderMax):
		return "spread"
	case !(s.wander >= 0 && s.wander <= 2*wanderMax*machineWarmUp/machineBlock):
		return "wander"
	case ready && !(s.inverse > 0 && s.inverse <= 1e152) || !ready && s.inverse != 0:
		return "inverse"
	case !(math.Abs(s.deviation) <= machineClip):
		return "deviation"
	case !(math.Abs(s.away) <= machineClip):
		return "deviation from the other level"
	case !(math.Abs(s.total) <= 3*valueMax*machineBlock):
		return "total"
	}
	return ""
}
