package judge

import (
	"math"
	"math/rand/v2"
)

// Lengths of the generated series, in samples a minute apart: two weeks, so that the hours
// of the day, the hours of the week and the end of an epoch occur.
const (
	syntheticSamples = 20_000
	syntheticSeeds   = 10
	syntheticLearned = 5_000
)

// noise is a kind of series without anomalies.
type noise struct {
	name string
	// deviation is the unit of faults: the standard deviation, or what the name says.
	deviation float64
	// begin returns the series, sample by sample.
	begin func(r *rand.Rand) func(i int) float64
}

func noises() []noise {
	white := func(deviation float64) func(*rand.Rand) func(int) float64 {
		return func(r *rand.Rand) func(int) float64 {
			return func(int) float64 { return 100*deviation + deviation*r.NormFloat64() }
		}
	}
	of := func(one func(r *rand.Rand) float64) func(*rand.Rand) func(int) float64 {
		return func(r *rand.Rand) func(int) float64 { return func(int) float64 { return one(r) } }
	}
	return []noise{
		{"white, deviation 1", 1, white(1)},
		{"white, deviation 0.001", 0.001, white(0.001)},
		{"white, deviation 10⁶", 1e6, white(1e6)},
		{"AR(1), 0.9", 1 / math.Sqrt(1-0.9*0.9), autoregressive(0.9)},
		{"AR(1), 0.99", 1 / math.Sqrt(1-0.99*0.99), autoregressive(0.99)},
		{"Student's t, 3 degrees", math.Sqrt(3), of(student3)},
		{"Laplace", math.Sqrt2, of(func(r *rand.Rand) float64 { return r.ExpFloat64() - r.ExpFloat64() })},
		{"exponential", 1, of(func(r *rand.Rand) float64 { return r.ExpFloat64() })},
		{"uniform", 1 / math.Sqrt(12), of(func(r *rand.Rand) float64 { return r.Float64() })},
		{"Poisson, mean 4", 2, of(func(r *rand.Rand) float64 { return poisson(r, 4) })},
		{"Poisson, mean 100", 10, of(func(r *rand.Rand) float64 { return poisson(r, 100) })},
		{"white, in steps of a deviation", 1, of(func(r *rand.Rand) float64 { return 20 + math.Round(r.NormFloat64()) })},
		{"white, in steps of 1/10 deviation", 1, of(func(r *rand.Rand) float64 { return 20 + math.Round(10*r.NormFloat64())/10 })},
		{"a day's sine of 10 deviations", 1, func(r *rand.Rand) func(int) float64 {
			return func(i int) float64 { return 50 + 10*math.Sin(2*math.Pi*float64(i)/minutesOfDay) + r.NormFloat64() }
		}},
		{"random walk, its step", 1, func(r *rand.Rand) func(int) float64 {
			at := 0.0
			return func(int) float64 {
				at += r.NormFloat64()
				return at
			}
		}},
	}
}

const minutesOfDay = 24 * 60

func autoregressive(part float64) func(*rand.Rand) func(int) float64 {
	return func(r *rand.Rand) func(int) float64 {
		at := r.NormFloat64() / math.Sqrt(1-part*part)
		return func(int) float64 {
			at = part*at + r.NormFloat64()
			return at
		}
	}
}

// student3 has Student's t distribution with three degrees of freedom, whose tails are so
// heavy that it has no fourth moment.
func student3(r *rand.Rand) float64 {
	a, b, c := r.NormFloat64(), r.NormFloat64(), r.NormFloat64()
	return r.NormFloat64() / math.Sqrt((a*a+b*b+c*c)/3)
}

// poisson returns the number of arrivals in a unit of time.
func poisson(r *rand.Rand, mean float64) float64 {
	count := -1.0
	for at := 0.0; at < mean; at += r.ExpFloat64() {
		count++
	}
	return count
}

// fault is a fault that is added to a series.
type fault struct {
	name string
	// within is the number of samples within which it must be detected.
	within int
	// change returns the value of sample i since the start of the fault; held is the last
	// value before it, center the mean of the noise.
	change func(i int, value, held, center, deviation float64) float64
}

func faults() []fault {
	shift := func(deviations float64) func(int, float64, float64, float64, float64) float64 {
		return func(_ int, value, _, _, deviation float64) float64 { return value + deviations*deviation }
	}
	spike := func(deviations float64) func(int, float64, float64, float64, float64) float64 {
		return func(i int, value, _, center, deviation float64) float64 {
			if i > 0 {
				return value
			}
			return center + deviations*deviation
		}
	}
	const driftLength, flatLength = 1000, 300
	return []fault{
		{"shift by 2 deviations", 200, shift(2)},
		{"shift by 5 deviations", 200, shift(5)},
		{"spike of 6 deviations", 1, spike(6)},
		{"spike of 12 deviations", 1, spike(12)},
		{"drift to 8 deviations in 1,000 samples", driftLength, func(i int, value, _, _, deviation float64) float64 {
			return value + 8*deviation*min(1, float64(i)/driftLength)
		}},
		{"three times the deviation", 200, func(_ int, value, _, center, _ float64) float64 { return center + 3*(value-center) }},
		{"a third of the deviation", flatLength, func(_ int, value, _, center, _ float64) float64 { return center + (value-center)/3 }},
		{"flat line of 300 samples", flatLength, func(i int, value, held, _, _ float64) float64 {
			if i < flatLength {
				return held
			}
			return value
		}},
	}
}

// generate returns the seed's series of a kind.
func generate(n noise, seed uint64) Series {
	r := rand.New(rand.NewPCG(seed, 20)) //nolint:gosec // the sequence must be repeatable
	next := n.begin(r)
	s := Series{Micros: make([]int64, syntheticSamples), Values: make([]float64, syntheticSamples)}
	const minute = 60_000_000
	for i := range s.Values {
		s.Micros[i], s.Values[i] = int64(i)*minute, next(i)
	}
	return s
}

// harm returns the series with a fault from a sample on. The center is the mean of the
// previous hour.
func harm(s Series, f fault, from int, deviation float64) Series {
	const before = 60
	center := 0.0
	for _, v := range s.Values[from-before : from] {
		center += v / before
	}
	values := append([]float64(nil), s.Values...)
	for i := from; i < len(values); i++ {
		values[i] = f.change(i-from, values[i], s.Values[from-1], center, deviation)
	}
	return Series{Micros: s.Micros, Values: values}
}
