package anomaly_test

import (
	"math"
	"testing"

	"github.com/insighthub/insighthub/lib/anomaly"
)

// scoresOf pushes values, five minutes apart.
func scoresOf(values []float64) []float64 {
	micros := make([]int64, len(values))
	for i := range micros {
		micros[i] = int64(i) * 300_000_000
	}
	scores := make([]float64, len(values))
	var d anomaly.Detector
	d.PushBlock(micros, values, scores, make([]uint8, len(values)))
	return scores
}

func repeat(value float64, n int) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = value
	}
	return values
}

func TestNothingIsScoredWhileWarmingUp(t *testing.T) {
	_, values := wave(180)
	values[100] = 1e9
	for i, score := range scoresOf(values) {
		if score != 0 {
			t.Fatalf("sample %d scores %v", i, score)
		}
	}
}

func TestConstantSeries(t *testing.T) {
	for _, value := range []float64{0, 0.1, -1e150, 1e-300, math.MaxFloat64, 5e-324} {
		for i, score := range scoresOf(repeat(value, 40_000)) {
			if score != 0 {
				t.Fatalf("constant %v: sample %d scores %v", value, i, score)
			}
		}
	}
	scores := scoresOf(append(repeat(20, 1000), 20.5))
	if last := scores[1000]; last < anomaly.Threshold {
		t.Errorf("the first other value scores %v, want an anomaly", last)
	}
}

func TestRoundingIsNotNew(t *testing.T) {
	values := repeat(0.1, 5000)
	for i := range values {
		if i >= 2000 && i%2 == 0 {
			values[i] = math.Nextafter(0.1, 1)
		}
	}
	for i, score := range scoresOf(values) {
		if score >= anomaly.Threshold {
			t.Fatalf("sample %d scores %v", i, score)
		}
	}
}

func TestMissingSamplesChangeNothing(t *testing.T) {
	micros, values := wave(1000)
	var d, want anomaly.Detector
	for i, value := range values {
		for _, missing := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			if score, anomalous := d.Push(micros[i], missing); score != 0 || anomalous {
				t.Fatalf("%v scores %v, %v", missing, score, anomalous)
			}
		}
		d.Push(micros[i], value)
		want.Push(micros[i], value)
	}
	if d.Hash() != want.Hash() {
		t.Error("missing samples changed the state")
	}
}

func TestScaleDoesNotMatter(t *testing.T) {
	_, values := wave(10_000)
	want := scoresOf(values)
	for _, exponent := range []int{-100, -40, 40, 100} {
		scaled := make([]float64, len(values))
		for i, value := range values {
			scaled[i] = math.Ldexp(value, exponent)
		}
		for i, score := range scoresOf(scaled) {
			if score != want[i] {
				t.Fatalf("times 2^%d: sample %d scores %v, want %v", exponent, i, score, want[i])
			}
		}
	}
}

// TestScaleMayChange steps over twelve and more orders of magnitude.
func TestScaleMayChange(t *testing.T) {
	_, values := wave(2000)
	for _, factor := range []float64{1e12, 1e-12, 1e300, -1e300} {
		changed := append([]float64(nil), values...)
		for i := 1000; i < len(changed); i++ {
			changed[i] *= factor
		}
		scores := scoresOf(changed)
		for i, score := range scores {
			if !(score >= 0 && score <= 1) {
				t.Fatalf("times %g: sample %d scores %v", factor, i, score)
			}
		}
		if scores[1000] < anomaly.Threshold {
			t.Errorf("times %g: the step scores %v, want an anomaly", factor, scores[1000])
		}
	}
}

func TestClocks(t *testing.T) {
	_, values := wave(3000)
	clocks := map[string]func(i int) int64{
		"standing":  func(int) int64 { return 7 },
		"backward":  func(i int) int64 { return -int64(i) * 300_000_000 },
		"set back":  func(i int) int64 { return int64(i%100) * 300_000_000 },
		"the least": func(i int) int64 { return math.MinInt64 + int64(i) },
		"the ends": func(i int) int64 {
			if i%2 == 0 {
				return math.MinInt64
			}
			return math.MaxInt64
		},
	}
	for name, clock := range clocks {
		t.Run(name, func(t *testing.T) {
			var d anomaly.Detector
			found := false
			for i, value := range values {
				score, anomalous := d.Push(clock(i), value)
				if !(score >= 0 && score <= 1) {
					t.Fatalf("sample %d scores %v", i, score)
				}
				found = found || anomalous && i == 700
			}
			if !found {
				t.Error("the spike is not found")
			}
			var restored anomaly.Detector
			if err := restored.Restore(d.AppendState(nil)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPushBlockTakesTheShortest(t *testing.T) {
	micros, values := wave(1000)
	var d, want anomaly.Detector
	scores, flags := make([]float64, 800), make([]uint8, 900)
	for i := range flags {
		flags[i] = 7
	}
	set := d.PushBlock(micros, values, scores, flags)
	wantSet := 0
	for i := range scores {
		score, anomalous := want.Push(micros[i], values[i])
		if score != scores[i] || anomalous != (flags[i] == 1) || flags[i] > 1 {
			t.Fatalf("sample %d: %v, %d, want %v, %v", i, scores[i], flags[i], score, anomalous)
		}
		if anomalous {
			wantSet++
		}
	}
	if set != wantSet || flags[800] != 7 || d.Hash() != want.Hash() {
		t.Errorf("%d flags set, want %d; flag beyond the end %d", set, wantSet, flags[800])
	}
}

func TestReset(t *testing.T) {
	var d, fresh anomaly.Detector
	d.Push(1, 2)
	if d.Hash() == fresh.Hash() {
		t.Error("a sample left the hash as it was")
	}
	d.Reset()
	if d.Hash() != fresh.Hash() {
		t.Error("a reset detector is not a fresh one")
	}
}

func TestNoAllocations(t *testing.T) {
	micros, values := wave(1000)
	scores, flags := make([]float64, len(values)), make([]uint8, len(values))
	state := make([]byte, 0, anomaly.StateSize)
	var d anomaly.Detector
	allocations := testing.AllocsPerRun(10, func() {
		d.PushBlock(micros, values, scores, flags)
		state = d.AppendState(state[:0])
		if err := d.Restore(state); err != nil {
			t.Error(err)
		}
		d.Hash()
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

func TestStateIsSmall(t *testing.T) {
	if anomaly.StateSize > 4096 {
		t.Errorf("a state takes %d bytes", anomaly.StateSize)
	}
}
