package anomaly

import "math"

// MaxSensors is the greatest number of sensors of one [Machine].
const MaxSensors = 16

// The released settings of [Machine]; lengths are in samples.
const (
	machineWarmUp = 400 // what a sensor is given before it is judged
	machineBlock  = 40  // the stretch whose means show how far a level wanders
	machineSettle = 80  // after an alarm: the levels follow quickly, and nothing is judged
	machineLimit  = 600 // an alarm that lasts longer is the machine's new way of running

	machineSmooth = 0.05    // weight of a sample in the smoothed deviation
	machineFollow = 0.002   // weight of a sample in the level, outside alarms
	machineWander = 1. / 32 // weight of a block in the wander
	machineHead   = 5       // samples that the level counts for when settling begins
	machineRaise  = 25.     // the statistic that raises an alarm: one sensor off by five spreads
	machineClear  = 10.     // the statistic under which the alarm ends,
	machineDrop   = 0.2     // or this part of the greatest since it was raised
	machineClip   = 80.     // the greatest deviation that one sample counts for, in scales
	machineFade   = 1e-5    // weight of a sample in the spread: a day of seconds
	machineGrow   = 4.      // how much the wander grows at most when an alarm outlasts the limit
	machineAnew   = 30.     // the smoothed deviation from which a sensor is learned anew instead
	machineFloor  = 1e-9    // the least spread, as a part of the level: what rounding may make up

	// No mean of admitted values strays further from a level than 2·valueMax.
	wanderMax = 4 * valueMax * valueMax

	// smoothed is the variance of a smoothed deviation for one of unit variance.
	smoothed = machineSmooth / (2 - machineSmooth)
)

// Machine is the memory of one machine with several sensors: of fixed size,
// without pointers, so that copying it copies the state. The zero Machine has
// no sensors; call [Machine.Reset] first. It is not safe for concurrent use.
//
// Where a [Detector] looks for the odd moment in one series, a Machine looks for
// the stretch in which a machine runs otherwise than before, and flags all of it.
//
// Each sensor has a level and a scale. The scale is the wider one of two: what
// the noise of its samples, and what the wandering of the means of 40 samples
// leaves in a smoothed deviation. A temperature that drifts about is thus
// forgiven more than a flow that stands still, however small their noise. The
// deviations from the levels are smoothed (over about 20 samples), each divided
// by its scale; the statistic is √Σz⁴, which grows with what several sensors
// show, and for noise depends little on how many there are. An alarm is raised
// at 25 and held until the statistic falls under 10, or under a fifth of its
// peak: a machine that came back most of the way is not in the same state any
// more. Meanwhile the levels stand still.
//
// A Machine learns for as long as it runs:
//
//   - Each sensor warms up by itself, for 400 samples. One that has not moved by
//     then has no scale, and goes on warming up.
//   - Outside alarms the levels follow over about 500 samples, wander over 32
//     blocks of 40, and the spread over 100,000.
//   - An alarm of more than 600 samples is another way to run, not a fault any
//     more: it ends, and the levels settle there. The ones before are kept: when
//     the machine comes back to them, as machines do that are switched on and off,
//     that alarm ends within about 70 samples. A sensor that strayed by a moderate
//     amount is known to wander from then on, by at most four times as much; one
//     that strayed beyond all proportion (another unit) warms up anew.
//
// Missing readings let a sensor's deviation fade and change nothing else of it.
// Times are not used: [Detector] says how odd ones are taken.
type Machine struct {
	sensors uint32
	alarm   uint32 // samples since the alarm was raised, 0 outside alarms
	settle  uint32 // samples left of settling
	known   uint32 // 1 once a lasting change has left another regime to come back to
	peak    float64
	sensor  [MaxSensors]sensor
}

// sensor is what a Machine remembers of one sensor.
type sensor struct {
	seen      uint32  // samples, up to machineWarmUp
	level     float64 // what is normal
	other     float64 // what was normal before the last lasting change
	spread    float64 // variance of the samples
	wander    float64 // variance of the means of blocks about the level
	inverse   float64 // 1 over the standard deviation of the smoothed deviation
	deviation float64 // smoothed, in its standard deviations
	away      float64 // the same from the other level, within alarms
	total     float64 // of the block's offsets from the level
	count     uint32  // of the block's samples
}

// SensorsError says that a machine cannot have that many sensors.
type SensorsError struct{ Sensors int }

func (e *SensorsError) Error() string { return "anomaly: number of sensors out of range" }

// Reset forgets the machine and sets the number of its sensors, 1 to
// [MaxSensors]; of another number it returns a *[SensorsError] and changes
// nothing.
func (m *Machine) Reset(sensors int) error {
	if sensors < 1 || sensors > MaxSensors {
		return &SensorsError{Sensors: sensors}
	}
	*m = Machine{sensors: uint32(sensors)}
	return nil
}

// Push takes the readings of one moment, one value per sensor in a fixed order.
// A reading that is NaN or infinite, or beyond the end of a short slice, is
// missing; values beyond the number of sensors are ignored. The score is in
// [0,1], 0 while no sensor has warmed up; anomalous says that it reached
// [Threshold], which it keeps until the alarm ends.
func (m *Machine) Push(_ int64, values []float64) (score float64, anomalous bool) {
	sensors := m.sensor[:min(m.sensors, MaxSensors)]
	now, follow := m.phase()
	statistic := 0.0
	for i := range sensors {
		value, ok := 0.0, false
		if i < len(values) {
			value, ok = admit(values[i])
		}
		square := sensors[i].push(value, ok, now, follow)
		statistic += float64(square * square)
	}
	return m.decide(math.Sqrt(statistic))
}

// phase is what a Machine is doing.
type phase uint8

const (
	watching phase = iota
	alarmed
	settling
)

// phase returns what the machine is doing and the weight of a sample in the
// levels meanwhile.
func (m *Machine) phase() (now phase, follow float64) {
	switch {
	case m.alarm > 0:
		return alarmed, 0
	case m.settle > 0:
		// The mean of what came since the alarm, and of the level before it as if
		// that were a few samples.
		return settling, 1 / float64(machineSettle-m.settle+machineHead)
	}
	return watching, machineFollow
}

// decide turns the statistic into an alarm that is held until it is over.
func (m *Machine) decide(statistic float64) (score float64, anomalous bool) {
	switch {
	case m.settle > 0:
		m.settle--
		return float64(0.5 * ratio(statistic)), false
	case m.alarm == 0 && statistic < machineRaise:
		return ratio(statistic), false
	}
	if m.alarm == 0 {
		m.depart()
	}
	m.alarm++
	m.peak = max(m.peak, statistic)
	switch {
	case m.alarm > machineLimit:
		m.accept()
	case m.known != 0 && m.elsewhere() < machineClear:
		m.swap()
	case statistic >= machineClear && statistic >= float64(machineDrop*m.peak):
		return ratio(max(statistic, machineRaise)), true
	}
	m.alarm, m.peak, m.settle = 0, 0, machineSettle
	return float64(0.5 * ratio(statistic)), false
}

// ratio maps [0,∞) to [0,1): the statistic that raises an alarm to Threshold.
func ratio(statistic float64) float64 { return statistic / (statistic + machineRaise) }

// depart begins an alarm: as far as is known the machine is in no regime.
func (m *Machine) depart() {
	for i := range m.sensor {
		if m.sensor[i].seen == machineWarmUp {
			m.sensor[i].away = machineClip
		}
	}
}

// elsewhere is the statistic against the other levels.
func (m *Machine) elsewhere() float64 {
	statistic := 0.0
	for i := range m.sensor {
		square := float64(m.sensor[i].away * m.sensor[i].away)
		statistic += float64(square * square)
	}
	return math.Sqrt(statistic)
}

// swap goes over to the other levels: the machine has come back to them.
func (m *Machine) swap() {
	for i := range m.sensor {
		s := &m.sensor[i]
		if s.seen == machineWarmUp {
			s.widen()
			s.level, s.other = s.other, s.level
		}
	}
}

// accept takes what outlasted the limit for another regime. A sensor that
// strayed beyond all proportion is learned anew.
func (m *Machine) accept() {
	m.known = 1
	for i := range m.sensor {
		s := &m.sensor[i]
		if s.seen < machineWarmUp {
			continue
		}
		s.other = s.level
		s.widen()
		if math.Abs(s.deviation) > machineAnew {
			*s = sensor{other: s.level}
		}
	}
}

// push returns the square of the sensor's smoothed deviation.
func (s *sensor) push(value float64, ok bool, now phase, follow float64) float64 {
	switch {
	case !ok:
		s.deviation -= float64(machineSmooth * s.deviation)
		return float64(s.deviation * s.deviation)
	case s.seen < machineWarmUp:
		s.learn(value)
		return 0
	}
	offset := value - s.level
	unit := float64(offset * s.inverse)
	if math.Abs(unit) > machineClip {
		// One wild reading must neither raise an alarm by itself nor spoil what is
		// known of the sensor.
		unit = math.Copysign(machineClip, unit)
		offset = unit / s.inverse
	}
	s.deviation += float64(machineSmooth * (unit - s.deviation))
	s.level += float64(follow * offset)
	switch now {
	case watching:
		s.spread += float64(machineFade * (float64(offset*offset) - s.spread))
		s.gather(offset)
	case alarmed:
		s.total, s.count = 0, 0
		unit = min(max(float64((value-s.other)*s.inverse), -machineClip), machineClip)
		s.away += float64(machineSmooth * (unit - s.away))
	case settling:
	}
	return float64(s.deviation * s.deviation)
}

// learn takes a sample of the warm-up. Wander is the sum of the squares of the
// blocks' means about their mean until it ends.
func (s *sensor) learn(value float64) {
	s.seen++
	before := value - s.level
	s.level += before / float64(s.seen)
	s.spread += (float64(before*(value-s.level)) - s.spread) / float64(s.seen)
	s.total += value
	s.count++
	if s.count < machineBlock {
		return
	}
	// The level is now the mean of all blocks, this one among them.
	blocks := float64(s.seen / machineBlock)
	off := s.total/machineBlock - s.level
	s.total, s.count = 0, 0
	if blocks > 1 {
		s.wander += float64(off*off) * blocks / (blocks - 1)
	}
	switch {
	case s.seen < machineWarmUp:
	case s.spread == 0:
		// It has not moved yet, so that any scale would be a guess: a reading with one
		// decimal would raise an alarm with its first step.
		*s = sensor{other: s.other}
	default:
		s.wander /= blocks - 1
		s.scale()
	}
}

// gather adds an offset from the level to the block and, at its end, learns how
// far the level wanders.
func (s *sensor) gather(offset float64) {
	s.total += offset
	s.count++
	if s.count < machineBlock {
		return
	}
	mean := s.total / machineBlock
	s.total, s.count = 0, 0
	s.wander += float64(machineWander * (float64(mean*mean) - s.wander))
	s.scale()
}

// widen counts the present deviation as wander, within reason: two regimes far
// apart must not make the sensor blind to what lies between.
func (s *sensor) widen() {
	if math.Abs(s.deviation) > machineAnew {
		return
	}
	strayed := s.deviation / s.inverse
	most := float64(machineGrow * s.variance() / machineBlock)
	s.wander = min(s.wander+float64(machineWander*float64(strayed*strayed)), max(most, s.wander), wanderMax)
	s.scale()
}

// variance is that of one sample as far as its mean over a long stretch is
// concerned: that of independent samples, or that of a level that wanders,
// whichever is wider.
func (s *sensor) variance() float64 {
	floor := float64(machineFloor * s.level)
	return max(s.spread, float64(machineBlock*s.wander), float64(floor*floor), valueMin*valueMin)
}

// scale derives the inverse from the variance.
func (s *sensor) scale() { s.inverse = 1 / math.Sqrt(float64(smoothed*s.variance())) }
