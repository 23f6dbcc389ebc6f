package anomaly_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/insighthub/insighthub/lib/anomaly"
)

// A shape is a series made from seed-dependent noise, with an anomaly that
// begins at row from and must be flagged before row to.
type shape struct {
	name     string
	step     int64 // seconds between rows
	rows     int
	from, to int
	value    func(i int, noise *rand.Rand) float64
}

const (
	fiveMinutes = 300
	perDay      = 86400 / fiveMinutes
	happens     = 8*perDay + 100
	trough      = 8*perDay + 3*perDay/4
)

// workday is high from 9 to 18 o'clock.
func workday(i int) float64 {
	if at := i % perDay * 24 / perDay; at >= 9 && at < 18 {
		return 80
	}
	return 20
}

func shapes() []shape {
	after := func(i int) bool { return i >= happens }
	during := func(i, rows int) bool { return i >= happens && i < happens+rows }
	normal := func(noise *rand.Rand) float64 { return 2 * noise.NormFloat64() }
	sine := func(i int) float64 { return 30 * math.Sin(2*math.Pi*float64(i)/perDay) }
	long := func(name string, within int, value func(int, *rand.Rand) float64) shape {
		return shape{name: name, step: fiveMinutes, rows: 14 * perDay, from: happens, to: happens + within, value: value}
	}
	return []shape{
		long("spike", 3, func(i int, noise *rand.Rand) float64 {
			if during(i, 1) {
				return 130
			}
			return 100 + normal(noise)
		}),
		long("dropout", 3, func(i int, noise *rand.Rand) float64 {
			if during(i, 2) {
				return 0
			}
			return 100 + normal(noise)
		}),
		long("level shift of two deviations", 100, func(i int, noise *rand.Rand) float64 {
			if after(i) {
				return 104 + normal(noise)
			}
			return 100 + normal(noise)
		}),
		long("drift", 400, func(i int, noise *rand.Rand) float64 {
			return 100 + 0.04*float64(max(0, i-happens)) + normal(noise)
		}),
		long("more noise", 100, func(i int, noise *rand.Rand) float64 {
			if after(i) {
				return 100 + 3*normal(noise)
			}
			return 100 + normal(noise)
		}),
		long("less noise", 200, func(i int, noise *rand.Rand) float64 {
			if after(i) {
				return 100 + 0.1*normal(noise)
			}
			return 100 + normal(noise)
		}),
		long("flat line", 200, func(i int, noise *rand.Rand) float64 {
			if after(i) {
				return 100.5
			}
			return 100 + normal(noise)
		}),
		long("flat line in a daily sine", 200, func(i int, noise *rand.Rand) float64 {
			if after(i) {
				return sine(happens)
			}
			return sine(i) + normal(noise)
		}),
		{
			name: "spike within a daily sine's range", step: fiveMinutes, rows: 10 * perDay, from: trough, to: trough + 3,
			value: func(i int, noise *rand.Rand) float64 {
				if i == trough {
					return sine(i) + 40
				}
				return sine(i) + normal(noise)
			},
		},
		long("a working day without work", perDay, func(i int, noise *rand.Rand) float64 {
			if i/perDay == 8 {
				return 20 + normal(noise)
			}
			return workday(i) + normal(noise)
		}),
		long("a working day at half", perDay, func(i int, noise *rand.Rand) float64 {
			if i/perDay == 8 {
				return 20 + (workday(i)-20)/2 + normal(noise)
			}
			return workday(i) + normal(noise)
		}),
		long("work at night", perDay, func(i int, noise *rand.Rand) float64 {
			if i/perDay == 8 && i%perDay > 20*perDay/24 {
				return 80 + normal(noise)
			}
			return workday(i) + normal(noise)
		}),
		{
			name: "a pump's level, by seconds", step: 1, rows: 5000, from: 3000, to: 3100,
			value: func(i int, noise *rand.Rand) float64 {
				if i >= 3000 {
					return 0.033 + 0.001*noise.NormFloat64()
				}
				return 0.030 + 0.001*noise.NormFloat64()
			},
		},
	}
}

func TestShapesAreFound(t *testing.T) {
	for _, s := range shapes() {
		t.Run(s.name, func(t *testing.T) {
			const seeds = 20
			found, alarms := 0, 0
			for seed := range uint64(seeds) {
				noise := rand.New(rand.NewPCG(seed, 7))
				var d anomaly.Detector
				hit := false
				for i := range s.rows {
					_, anomalous := d.Push(int64(i)*s.step*1_000_000, s.value(i, noise))
					switch {
					case !anomalous || i >= s.to:
					case i >= s.from:
						hit = true
					default:
						alarms++
					}
				}
				if hit {
					found++
				}
			}
			if found < seeds {
				t.Errorf("found in %d of %d series", found, seeds)
			}
			// The noise's own records are new too: few of thousands of samples.
			if most := seeds * s.from / 300; alarms > most {
				t.Errorf("%d false alarms before, want at most %d", alarms, most)
			}
		})
	}
}
