package parity

import (
	"fmt"
	"math"
)

const samples = 10_000

// Generated returns generated series with usual values and with every unusual time and
// number.
func Generated() []*Series {
	var all []*Series
	for i, kind := range kinds() {
		s := &Series{Name: kind.name, Sensors: 1}
		noise := noise(i + 1)
		for at := range samples {
			micros := 1_700_000_000_000_000 + int64(at)*60_000_000
			if kind.time != nil {
				micros = kind.time(at, micros, &noise)
			}
			s.Micros = append(s.Micros, micros)
			s.Values = append(s.Values, kind.value(at, &noise))
		}
		all = append(all, s)
	}
	for _, sensors := range []int{2, 8, 16} {
		all = append(all, generatedMachine(sensors))
	}
	one := &Series{Name: "one-sample", Sensors: 1, Micros: []int64{0}, Values: []float64{1}}
	return append(all, one)
}

type kind struct {
	name  string
	value func(at int, n *noise) float64
	time  func(at int, micros int64, n *noise) int64 // nil for one sample a minute
}

func kinds() []kind {
	usual := func(at int, n *noise) float64 { return 20 + 0.01*triangle(at, 1440) + n.gauss() }
	return []kind{
		{name: "usual", value: usual},
		{name: "level-shifts", value: func(at int, n *noise) float64 { return n.gauss() + float64(10*(at/2500%3)) }},
		{name: "spikes", value: func(at int, n *noise) float64 {
			if at%997 == 996 {
				return 60 * float64(1-2*(at/997%2))
			}
			return n.gauss()
		}},
		{name: "drift", value: func(at int, n *noise) float64 { return 5 + 0.002*float64(at) + 0.5*n.gauss() }},
		{name: "variance", value: func(at int, n *noise) float64 { return n.gauss() * float64(1+8*(at/3000%2)) }},
		{name: "constant", value: func(int, *noise) float64 { return 1.0 / 3 }},
		{name: "flat-lines", value: func(at int, n *noise) float64 {
			if at/700%3 == 2 {
				return 7
			}
			return usual(at, n)
		}},
		{name: "steps", value: func(at int, n *noise) float64 { return math.Round(2 * n.gauss()) }},
		{name: "counter", value: func(at int, _ *noise) float64 { return float64(at) * 0.1 }},
		{name: "missing", value: func(at int, n *noise) float64 {
			switch n.next() % 16 {
			case 0:
				return math.NaN()
			case 1:
				return math.Inf(1)
			case 2:
				return math.Inf(-1)
			}
			return usual(at, n)
		}},
		{name: "all-missing", value: func(at int, _ *noise) float64 { return []float64{math.NaN(), math.Inf(1)}[at%2] }},
		{name: "denormals", value: func(_ int, n *noise) float64 { return math.Float64frombits(n.next() >> 12) }},
		{name: "zeros", value: func(at int, _ *noise) float64 { return math.Copysign(0, float64(at%2)-0.5) }},
		{name: "tiny", value: func(_ int, n *noise) float64 { return 1e-160 * n.gauss() }},
		{name: "huge", value: func(_ int, n *noise) float64 { return 1e308 * n.gauss() / 8 }},
		{name: "scale-steps", value: func(at int, n *noise) float64 {
			return (3 + n.gauss()) * []float64{1, 1e12, 1e-12, 1e24}[at/1700%4]
		}},
		{name: "any-bits", value: func(_ int, n *noise) float64 { return math.Float64frombits(n.next()) }},
		{name: "repeated-times", value: usual, time: func(at int, micros int64, _ *noise) int64 {
			return micros - int64(at%3)*60_000_000
		}},
		{name: "backward-times", value: usual, time: func(_ int, micros int64, n *noise) int64 {
			return micros - int64(n.next()%7)*120_000_000
		}},
		{name: "gaps", value: usual, time: func(at int, micros int64, _ *noise) int64 {
			return micros + int64(at/800)*86_400_000_000
		}},
		{name: "any-times", value: usual, time: func(_ int, _ int64, n *noise) int64 { return int64(n.next()) }},
	}
}

// generatedMachine returns a machine whose sensors follow one load, in units from 1e-6 up.
// From time to time a sensor deviates, the last one permanently, and some readings are
// missing.
func generatedMachine(sensors int) *Series {
	s := &Series{Name: fmt.Sprintf("machine-%d", sensors), Sensors: sensors}
	noise := noise(1000 + sensors)
	unit := 1e-6
	units := make([]float64, sensors)
	for i := range units {
		units[i] = unit
		unit *= 10
	}
	for at := range samples {
		s.Micros = append(s.Micros, 1_700_000_000_000_000+int64(at)*1_000_000)
		load := 10 + 0.02*triangle(at, 600) + noise.gauss()
		for i := range sensors {
			value := load*float64(1+i) + 0.3*noise.gauss()
			switch {
			case i == at/1900%sensors && at%1900 > 1700:
				value += 25
			case i == sensors-1 && at >= 7000:
				value += 40
			case noise.next()%500 == 0:
				value = math.NaN()
			case noise.next()%2000 == 0:
				value = math.Float64frombits(noise.next())
			}
			s.Values = append(s.Values, units[i]*value)
		}
	}
	return s
}

// noise is splitmix64.
type noise uint64

func (n *noise) next() uint64 {
	*n += 0x9e3779b97f4a7c15
	z := uint64(*n)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// gauss returns a nearly normal number of variance 1: the sum of four uniform ones.
func (n *noise) gauss() float64 {
	sum := -2.0
	for range 4 {
		sum += float64(n.next()>>11) / (1 << 53)
	}
	return sum * 1.7320508075688772
}

// triangle rises from 0 to half the period and falls again.
func triangle(at, period int) float64 {
	phase := at % period
	return float64(min(phase, period-phase))
}
