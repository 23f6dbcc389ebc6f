package kpi

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// TestCountersMeasured reads simulated counters, whose items are known, with faults, and
// logs how many items the rule of this package counts per 1,000 real ones, and how many a
// rule by which every decrease is a reset. It fails when the rule gets worse than what
// docs/adr/0027-counters.md states.
func TestCountersMeasured(t *testing.T) {
	const seconds, runs = 3600, 20
	// A fault changes the count of a second, or what is read in it.
	type fault func(r *rand.Rand, i int, count, read *float64)
	each := func(n int, f func(r *rand.Rand, count, read *float64)) fault {
		return func(r *rand.Rand, _ int, count, read *float64) {
			if r.IntN(n) == 0 {
				f(r, count, read)
			}
		}
	}
	jitter := func(by int) fault {
		return each(4, func(r *rand.Rand, _, read *float64) { *read -= float64(1 + r.IntN(by)) })
	}
	zeros := each(60, func(_ *rand.Rand, _, read *float64) { *read = 0 })
	resets := each(600, func(_ *rand.Rand, count, read *float64) { *count, *read = 0, 0 })
	spikes := each(60, func(r *rand.Rand, _, read *float64) { *read += float64(100 + r.IntN(10_000)) })
	both := func(r *rand.Rand, i int, count, read *float64) {
		jitter(3)(r, i, count, read)
		resets(r, i, count, read)
	}
	for _, tc := range []struct {
		name    string
		rate    float64 // items a second
		ideal   time.Duration
		every   int // seconds between readings
		start   float64
		fault   fault
		atMost  float64 // share of the items that may be counted wrong
		modulus int64
	}{
		{"no fault", 1, time.Second, 1, 1000, nil, 0, 0},
		{"dips of 1 to 3", 1, time.Second, 1, 1000, jitter(3), 0.002, 0},
		{"dips of 1 to 3, no ideal cycle", 1, 0, 1, 1000, jitter(3), 0.002, 0},
		{"dips of 1 to 30, fast machine", 20, 50 * time.Millisecond, 1, 1000, jitter(30), 0.002, 0},
		{"single zeros", 1, time.Second, 1, 1000, zeros, 0.002, 0},
		{"single zeros, no ideal cycle", 1, 0, 1, 1000, zeros, 0.002, 0},
		{"single zeros, a reading each 10 s", 1, time.Second, 10, 0, zeros, 0.005, 0},
		{"spikes of 100 to 10,000", 1, time.Second, 1, 1000, spikes, 0.05, 0},
		{"the same, no ideal cycle", 1, 0, 1, 1000, spikes, 1, 0},
		{"resets", 1, time.Second, 1, 1000, resets, 0.005, 0},
		{"resets, no ideal cycle", 1, 0, 1, 1000, resets, 0.005, 0},
		{"resets, a reading each 10 s", 1, time.Second, 10, 1000, resets, 0.02, 0},
		{"resets and dips", 1, time.Second, 1, 1000, both, 0.02, 0},
		{"resets, an ideal cycle 5 times too long", 1, 5 * time.Second, 1, 1000, resets, 0.005, 0},
		{"16 bits", 20, 50 * time.Millisecond, 1, 60_000, nil, 0, 65536},
		{"16 bits and single zeros", 20, 50 * time.Millisecond, 1, 60_000, zeros, 0.005, 65536},
		{"16 bits and resets", 20, 50 * time.Millisecond, 1, 60_000, resets, 0.005, 65536},
		{"16 bits and dips", 20, 50 * time.Millisecond, 1, 60_000, jitter(3), 0.002, 65536},
	} {
		machine := newMachine(t, MachineConfig{CountMetric: "c", IdealCycle: tc.ideal, CounterModulus: tc.modulus})
		var truth, ours, naive, wrong float64
		for run := range uint64(runs) {
			r := rand.New(rand.NewPCG(run, 1))
			var c counter
			count, before, sum, known := tc.start, 0.0, 0.0, false
			var made float64
			for i := range seconds {
				items := float64(r.IntN(int(2*tc.rate) + 1))
				count += items
				read := count
				if tc.modulus > 0 {
					read = math.Mod(count, float64(tc.modulus))
				}
				if tc.fault != nil && i > 0 {
					tc.fault(r, i, &count, &read)
				}
				if i%tc.every != 0 {
					if known {
						made += items
					}
					continue
				}
				at := noon + telemetry.Micros(i)*second
				if !known {
					c, known, before = counter{mark: read, at: at}, true, read
					continue
				}
				made += items
				sum += c.next(machine, at, read)
				if read >= before {
					naive += read - before
				} else {
					naive += max(0, read)
				}
				before = read
			}
			truth, ours, wrong = truth+made, ours+sum, wrong+math.Abs(sum-made)
		}
		t.Logf("| %s | %.1f | %.1f |", tc.name, 1000*ours/truth, 1000*naive/truth)
		if wrong > tc.atMost*truth {
			t.Errorf("%s: got %.4f of the items wrong, want at most %.4f", tc.name, wrong/truth, tc.atMost)
		}
	}
}
