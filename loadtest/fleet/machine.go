package fleet

import (
	"math"
	"math/rand/v2"
	"time"
)

// State is the operating state of a machine, and the value of the metric "state".
type State uint8

// The states of a machine.
const (
	Running State = iota
	Idle
	Setup
	Down
)

// String returns the state as people call it.
func (s State) String() string {
	if s > Down {
		return "unknown"
	}
	return [...]string{Running: "running", Idle: "idle", Setup: "setup", Down: "down"}[s]
}

// Metric is the index of a metric.
type Metric uint8

// The metrics of each machine and their units.
const (
	StateCode    Metric = iota // see State
	CycleCount                 // finished cycles since the start
	GoodCount                  // cycles that made a good part
	Temperature                // motor winding, °C
	Vibration                  // bearing, mm/s RMS
	Pressure                   // discharge, bar
	MotorCurrent               // A
	Flow                       // l/min
	Speed                      // 1/min
	Power                      // kW
	metricCount
)

// MetricNames returns the names of the metrics, in the order of Metric.
func MetricNames() []string {
	return []string{
		"state", "cycle_count", "good_count", "temperature", "vibration",
		"pressure", "motor_current", "flow", "speed", "power",
	}
}

// Units returns the metrics' units as UCUM codes, by name; a state has none.
func Units() map[string]string {
	return map[string]string{
		"cycle_count": "{cycle}", "good_count": "{part}", "temperature": "Cel", "vibration": "mm/s",
		"pressure": "bar", "motor_current": "A", "flow": "L/min", "speed": "{rev}/min", "power": "kW",
	}
}

// FaultKind says which signals a fault changes, and how.
type FaultKind string

// The kinds of fault.
const (
	// BearingWear raises vibration with time and warms the motor.
	BearingWear FaultKind = "bearing_wear"
	// Leak lowers pressure and, less, flow.
	Leak FaultKind = "leak"
	// Overload raises current, and so temperature and power.
	Overload FaultKind = "overload"
	// StuckSensor freezes the temperature reading.
	StuckSensor FaultKind = "stuck_sensor"
	// Breakdown stops the machine.
	Breakdown FaultKind = "breakdown"
)

// Fault is a fault of a machine. Begin and End are offsets from the start of the simulation.
type Fault struct {
	Device string        `json:"device"`
	Kind   FaultKind     `json:"kind"`
	Begin  time.Duration `json:"begin_ns"`
	End    time.Duration `json:"end_ns"`
}

// Machine is one simulated machine. It is not safe for concurrent use.
type Machine struct {
	name   string
	rng    *rand.Rand
	faults []Fault
	next   int // the first fault that has not ended

	state      State
	stateUntil time.Duration
	now        time.Duration

	ratedSpeed, ratedCurrent, cycle float64 // 1/min, A, s
	load, heat, cycles              float64
	good                            float64
	frozen                          float64
	values                          [metricCount]float64
}

// newMachine generates a machine and its faults within the horizon from the seed.
func newMachine(name string, seed, stream uint64, horizon time.Duration) *Machine {
	rng := rand.New(rand.NewPCG(seed, stream)) //nolint:gosec // a simulation wants a reproducible sequence, not a secret one
	m := &Machine{
		name:         name,
		rng:          rng,
		ratedSpeed:   1200 + 600*rng.Float64(),
		ratedCurrent: 8 + 24*rng.Float64(),
		cycle:        2 + 10*rng.Float64(),
		load:         0.6,
		heat:         45,
		frozen:       math.NaN(),
	}
	m.stateUntil = m.stateEnd(Running)
	m.faults = newFaults(name, rng, horizon)
	return m
}

// newFaults generates faults until the horizon: one every six minutes on average, 20 to
// 90 s long, never two at once.
func newFaults(name string, rng *rand.Rand, horizon time.Duration) []Fault {
	kinds := [...]FaultKind{BearingWear, Leak, Overload, StuckSensor, Breakdown}
	var out []Fault
	at := time.Duration(0)
	for {
		at += time.Duration((60 + 600*rng.Float64()) * float64(time.Second))
		length := time.Duration((20 + 70*rng.Float64()) * float64(time.Second))
		if at+length > horizon {
			return out
		}
		out = append(out, Fault{Device: name, Kind: kinds[rng.IntN(len(kinds))], Begin: at, End: at + length})
		at += length
	}
}

// Faults returns the machine's faults in order of time.
func (m *Machine) Faults() []Fault { return m.faults }

// Name returns the device name.
func (m *Machine) Name() string { return m.name }

// stateEnd returns a random end of a state that starts now.
func (m *Machine) stateEnd(s State) time.Duration {
	mean := [...]float64{Running: 240, Idle: 30, Setup: 45, Down: 40}[s]
	return m.now + time.Duration(mean*(0.3+1.4*m.rng.Float64())*float64(time.Second))
}

// noise returns a random number with mean 0 and standard deviation 1, approximately normal:
// the sum of four uniform ones from one 64-bit number.
func (m *Machine) noise() float64 {
	u := m.rng.Uint64()
	sum := float64(u&0xffff) + float64(u>>16&0xffff) + float64(u>>32&0xffff) + float64(u>>48)
	const sd = 65536 * 0.5773502691896258 // of the sum of four uniforms on 0..65535
	return (sum - 2*65535) / sd
}

// Step advances the machine to an offset from the start and returns its readings, which
// are valid until the next call.
func (m *Machine) Step(to time.Duration) *[metricCount]float64 {
	dt := max(0, (to - m.now).Seconds()) // the first batch may begin before the start
	m.now = to
	fault, severity := m.fault()
	m.advanceState(fault)

	target := 0.0
	if m.state == Running {
		target = 0.75
	}
	if fault == Overload {
		target *= 1.45
	}
	// An Ornstein-Uhlenbeck process around the state's load.
	k := min(1, dt/3)
	m.load += k*(target-m.load) + 0.02*math.Sqrt(min(dt, 1))*m.noise()
	m.load = max(0, m.load)

	running := 0.0
	if m.state == Running {
		running = 1
		m.cycles += dt / m.cycle
	}
	speed := running * m.ratedSpeed * (1.02 - 0.05*m.load) * (1 + 0.001*m.noise())
	current := m.ratedCurrent * (0.15*running + m.load) * (1 + 0.004*m.noise())
	rel := current / m.ratedCurrent
	// The winding follows the copper losses with a time constant of 60 s.
	m.heat += min(1, dt/60) * (24 + 52*rel*rel - m.heat)
	flow := 0.08 * speed * (1 + 0.003*m.noise())
	pressure := 2.2e-6*speed*speed + 0.3*m.load + 0.01*m.noise()
	vibration := 0.4*running + 1.1*speed/1800 + 0.05*math.Abs(m.noise())
	heat := m.heat + 0.05*m.noise()

	switch fault {
	case BearingWear:
		vibration *= 1 + 2.5*severity
		heat += 9 * severity
	case Leak:
		pressure *= 1 - 0.45*severity
		flow *= 1 - 0.2*severity
	case StuckSensor:
		if math.IsNaN(m.frozen) {
			m.frozen = heat
		}
		heat = m.frozen
	case Overload, Breakdown:
	}
	if fault != StuckSensor {
		m.frozen = math.NaN()
	}
	scrap := 0.02
	if fault == BearingWear || fault == Leak {
		scrap = 0.15
	}
	if whole := math.Floor(m.cycles); whole > m.values[CycleCount] {
		for range int(whole - m.values[CycleCount]) {
			if m.rng.Float64() >= scrap {
				m.good++
			}
		}
		m.values[CycleCount] = whole
	}
	m.values[StateCode] = float64(m.state)
	m.values[GoodCount] = m.good
	m.values[Temperature] = heat
	m.values[Vibration] = vibration
	m.values[Pressure] = pressure
	m.values[MotorCurrent] = current
	m.values[Flow] = flow
	m.values[Speed] = speed
	m.values[Power] = 0.001 * 400 * 1.732 * 0.86 * current
	return &m.values
}

// fault returns the present fault and its severity, 0 to 1.
func (m *Machine) fault() (FaultKind, float64) {
	for m.next < len(m.faults) && m.faults[m.next].End <= m.now {
		m.next++
	}
	if m.next == len(m.faults) || m.faults[m.next].Begin > m.now {
		return "", 0
	}
	f := m.faults[m.next]
	elapsed := float64(m.now-f.Begin) / float64(f.End-f.Begin)
	return f.Kind, min(1, 2*elapsed)
}

// advanceState goes from running to idle or setup and back; a breakdown overrides.
func (m *Machine) advanceState(fault FaultKind) {
	switch {
	case fault == Breakdown:
		m.state, m.stateUntil = Down, m.now
	case m.now < m.stateUntil:
	case m.state == Running:
		m.state = Idle
		if m.rng.IntN(3) == 0 {
			m.state = Setup
		}
		m.stateUntil = m.stateEnd(m.state)
	default:
		m.state = Running
		m.stateUntil = m.stateEnd(Running)
	}
}
