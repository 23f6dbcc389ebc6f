package anomaly

import "math"

// MaxSensors is the greatest number of sensors of one [Machine].
const MaxSensors = 16

// The settings of [Machine]; lengths are in samples.
const (
	machineWarmUp = 400 // samples before a sensor is judged
	machineBlock  = 40  // the blocks whose means show how far a level wanders
	machineSettle = 80  // after an alarm, in which the levels follow quickly and nothing is judged
	machineLimit  = 600 // a longer alarm is accepted as another regime of the machine

	machineSmooth  = 0.05    // weight of a sample in the smoothed deviation
	machineFollow  = 0.002   // weight of a sample in the level, outside alarms
	machineWander  = 1. / 32 // weight of a block in the wander
	machineHead    = 5       // weight of the level in samples when settling starts
	machineRaise   = 25.     // the statistic that raises an alarm: one sensor off by five deviations
	machineClear   = 10.     // the statistic below which the alarm ends,
	machineDrop    = 0.2     // or below this part of its peak
	machineClip    = 80.     // the greatest deviation of one sample that counts, in scales
	machineFade    = 1e-5    // weight of a sample in the spread: about a day of seconds
	machineGrow    = 4.      // greatest growth of the wander when an alarm exceeds the limit
	machineRelearn = 30.     // the smoothed deviation above which a sensor warms up again instead
	machineFloor   = 1e-9    // the least spread, as a part of the level, for rounding

	// No mean of admitted values deviates from a level by more than 2·valueMax.
	wanderMax = 4 * valueMax * valueMax

	// smoothed is the variance of the smoothed deviation of samples with unit variance.
	smoothed = machineSmooth / (2 - machineSmooth)
)

// Machine scores one machine with several sensors. It has a fixed size and no pointers, so
// that a copy is a copy of the state. The zero Machine has no sensors; call [Machine.Reset]
// first. It is not safe for concurrent use.
//
// A [Detector] finds single anomalous moments in one series; a Machine finds the periods in
// which a machine runs differently than before, and flags every sample of them.
//
// Each sensor has a level and a scale. The scale is the standard deviation of a smoothed
// deviation, which follows from the noise of the samples or from the wandering of the means
// of 40 samples, whichever is larger. So a temperature that wanders may deviate more than a
// flow that is constant, however small their noise. The deviations from the levels are
// smoothed (over about 20 samples) and divided by the scales, which gives z; the statistic
// is √Σz⁴, which grows when several sensors deviate, and for noise depends little on their
// number. An alarm is raised at 25 and held until the statistic falls below 10, or below a
// fifth of its peak, since a machine that is most of the way back is no longer in the same
// state. During an alarm the levels do not change.
//
// A Machine learns for as long as it runs:
//
//   - Each sensor warms up separately, for 400 samples. One that has not moved by then has
//     no scale, and continues to warm up.
//   - Outside alarms the levels follow over about 500 samples, wander over 32 blocks of 40
//     samples, and the spread over 100,000 samples.
//   - After more than 600 samples an alarm is accepted as another regime: it ends, and the
//     levels settle there. The previous levels are remembered: when the machine returns to
//     them, as machines do that are switched on and off, that alarm ends within about 70
//     samples. From then on a sensor that deviated moderately has a larger wander, by at
//     most four times; one that deviated out of all proportion (another unit) warms up again.
//
// A missing reading makes the sensor's deviation fade and changes nothing else. Times are not
// used.
type Machine struct {
	sensors uint32
	alarm   uint32 // samples since the alarm was raised, 0 without an alarm
	settle  uint32 // samples left of settling
	known   uint32 // 1 once another regime is remembered
	peak    float64
	sensor  [MaxSensors]sensor
}

// sensor is the state of one sensor of a Machine.
type sensor struct {
	seen      uint32  // samples, up to machineWarmUp
	level     float64 // the normal value
	other     float64 // the normal value of the previous regime
	spread    float64 // variance of the samples
	wander    float64 // variance of the means of blocks about the level
	inverse   float64 // 1 over the standard deviation of the smoothed deviation
	deviation float64 // smoothed, in its standard deviations
	away      float64 // the same from the other level, during alarms
	total     float64 // sum of the block's offsets from the level
	count     uint32  // number of the block's samples
}

// SensorsError is an invalid number of sensors.
type SensorsError struct{ Sensors int }

func (e *SensorsError) Error() string { return "anomaly: number of sensors out of range" }

// Reset forgets the machine and sets the number of its sensors, 1 to [MaxSensors]. For any
// other number it returns a *[SensorsError] and changes nothing.
func (m *Machine) Reset(sensors int) error {
	if sensors < 1 || sensors > MaxSensors {
		return &SensorsError{Sensors: sensors}
	}
	*m = Machine{sensors: uint32(sensors)}
	return nil
}

// Push scores the readings of one moment, one value per sensor in a fixed order. A reading
// that is NaN or infinite, or beyond the end of a short slice, is missing; values beyond the
// number of sensors are ignored. The score is in [0,1], and 0 while no sensor has warmed up;
// anomalous is true if it is at least [Threshold], which holds until the alarm ends.
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

// phase is a phase of a Machine.
type phase uint8

const (
	watching phase = iota
	alarmed
	settling
)

// phase returns the current phase and the weight of a sample in the levels.
func (m *Machine) phase() (now phase, follow float64) {
	switch {
	case m.alarm > 0:
		return alarmed, 0
	case m.settle > 0:
		// The mean of the samples since the alarm and of the previous level, which counts
		// as a few samples.
		return settling, 1 / float64(machineSettle-m.settle+machineHead)
	}
	return watching, machineFollow
}

// decide raises, holds or ends the alarm by the statistic.
func (m *Machine) decide(statistic float64) (score float64, anomalous bool) {
	switch {
	case m.settle > 0:
		m.settle--
		return float64(0.5 * ratio(statistic)), false
	case m.alarm == 0 && statistic < machineRaise:
		return ratio(statistic), false
	}
	if m.alarm == 0 {
		m.beginAlarm()
	}
	m.alarm++
	m.peak = max(m.peak, statistic)
	switch {
	case m.alarm > machineLimit:
		m.accept()
	case m.known != 0 && m.otherStatistic() < machineClear:
		m.swap()
	case statistic >= machineClear && statistic >= float64(machineDrop*m.peak):
		return ratio(max(statistic, machineRaise)), true
	}
	m.alarm, m.peak, m.settle = 0, 0, machineSettle
	return float64(0.5 * ratio(statistic)), false
}

// ratio maps [0,∞) to [0,1), and the statistic that raises an alarm to Threshold.
func ratio(statistic float64) float64 { return statistic / (statistic + machineRaise) }

// beginAlarm assumes that the machine is not in the other regime.
func (m *Machine) beginAlarm() {
	for i := range m.sensor {
		if m.sensor[i].seen == machineWarmUp {
			m.sensor[i].away = machineClip
		}
	}
}

// otherStatistic returns the statistic for the other levels.
func (m *Machine) otherStatistic() float64 {
	statistic := 0.0
	for i := range m.sensor {
		square := float64(m.sensor[i].away * m.sensor[i].away)
		statistic += float64(square * square)
	}
	return math.Sqrt(statistic)
}

// swap changes to the other levels, to which the machine has returned.
func (m *Machine) swap() {
	for i := range m.sensor {
		s := &m.sensor[i]
		if s.seen == machineWarmUp {
			s.widen()
			s.level, s.other = s.other, s.level
		}
	}
}

// accept accepts an alarm beyond the limit as another regime. A sensor that deviated out of
// all proportion warms up again.
func (m *Machine) accept() {
	m.known = 1
	for i := range m.sensor {
		s := &m.sensor[i]
		if s.seen < machineWarmUp {
			continue
		}
		s.other = s.level
		s.widen()
		if math.Abs(s.deviation) > machineRelearn {
			*s = sensor{other: s.level}
		}
	}
}

// push adds a reading and returns the square of the smoothed deviation.
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
		// One outlier must neither raise an alarm by itself nor spoil what was learned.
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

// learn adds a sample of the warm-up, during which wander is the sum of the squared
// deviations of the blocks' means from their mean.
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
	// The level is now the mean of all blocks, including this one.
	blocks := float64(s.seen / machineBlock)
	off := s.total/machineBlock - s.level
	s.total, s.count = 0, 0
	if blocks > 1 {
		s.wander += float64(off*off) * blocks / (blocks - 1)
	}
	switch {
	case s.seen < machineWarmUp:
	case s.spread == 0:
		// It has not moved yet, so any scale would be a guess: the first step of a reading
		// with one decimal would raise an alarm.
		*s = sensor{other: s.other}
	default:
		s.wander /= blocks - 1
		s.scale()
	}
}

// gather adds an offset from the level to the block, and at its end updates the wander.
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

// widen adds the present deviation to the wander, up to a limit: two distant regimes must
// not make the sensor blind to values between them.
func (s *sensor) widen() {
	if math.Abs(s.deviation) > machineRelearn {
		return
	}
	strayed := s.deviation / s.inverse
	most := float64(machineGrow * s.variance() / machineBlock)
	s.wander = min(s.wander+float64(machineWander*float64(strayed*strayed)), max(most, s.wander), wanderMax)
	s.scale()
}

// variance returns the variance of a sample that explains the variance of means: that of
// independent samples or that of a wandering level, whichever is larger.
func (s *sensor) variance() float64 {
	floor := float64(machineFloor * s.level)
	return max(s.spread, float64(machineBlock*s.wander), float64(floor*floor), valueMin*valueMin)
}

// scale computes inverse from the variance.
func (s *sensor) scale() { s.inverse = 1 / math.Sqrt(float64(smoothed*s.variance())) }
