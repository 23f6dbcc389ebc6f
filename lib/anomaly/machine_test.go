package anomaly

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// pump generates a machine with six sensors: four with constant levels, one that follows
// another, one that wanders.
type pump struct {
	random *rand.Rand
	wander float64
	values [6]float64
}

func newPump(seed uint64) *pump { return &pump{random: rand.New(rand.NewPCG(seed, 7))} }

// next returns the next readings, shifted by shift standard deviations on the given sensors.
func (p *pump) next(shift float64, shifted ...int) []float64 {
	noise := p.random.NormFloat64
	p.wander += 0.05 * noise()
	flow := noise()
	p.values = [6]float64{flow, 2*flow + noise(), 5 + 0.01*noise(), 1e6 + 1e3*noise(), 40 + p.wander + 0.1*noise(), noise()}
	spreads := [6]float64{1, math.Sqrt(5), 0.01, 1e3, 1, 1}
	for _, i := range shifted {
		p.values[i] += shift * spreads[i]
	}
	return p.values[:]
}

func newMachine(tb testing.TB, sensors int) *Machine {
	tb.Helper()
	var m Machine
	if err := m.Reset(sensors); err != nil {
		tb.Fatal(err)
	}
	return &m
}

func TestMachineFindsAShiftAndItsEnd(t *testing.T) {
	t.Parallel()
	m, p := newMachine(t, 6), newPump(1)
	early, inside, late := 0, 0, 0
	for i := range 3000 {
		shift := 0.0
		if i >= 1500 && i < 1900 {
			shift = 3
		}
		score, anomalous := m.Push(int64(i), p.next(shift, 0, 3))
		if anomalous != (score >= Threshold) || !(score >= 0 && score <= 1) {
			t.Fatalf("row %d: score %v, anomalous %v", i, score, anomalous)
		}
		switch {
		case !anomalous:
		case i < 1500:
			early++
		case i < 1900:
			inside++
		default:
			late++
		}
	}
	if early > 100 || inside < 370 || late > 60 {
		t.Errorf("flagged %d rows before, %d of 400 within, %d after; want few, nearly all, few", early, inside, late)
	}
}

func TestMachineRestoredGoesOnAlike(t *testing.T) {
	t.Parallel()
	whole, p := newMachine(t, 6), newPump(2)
	var parts Machine
	if err := parts.Restore(whole.AppendState(nil)); err != nil {
		t.Fatal(err)
	}
	for i := range 3000 {
		shift := 0.0
		if i >= 1000 && i < 2000 {
			shift = 6
		}
		values := p.next(shift, 1)
		if i%7 == 0 {
			values[i%6] = math.NaN()
		}
		score, anomalous := whole.Push(int64(i), values)
		if i%3 == 0 {
			saved := parts.AppendState(nil)
			parts = Machine{}
			if err := parts.Restore(saved); err != nil {
				t.Fatalf("row %d: %v", i, err)
			}
		}
		score2, anomalous2 := parts.Push(int64(i), values)
		if score != score2 || anomalous != anomalous2 || whole.Hash() != parts.Hash() || *whole != parts {
			t.Fatalf("row %d: %v and %v differ after a restore", i, score, score2)
		}
	}
}

func TestMachineRejectsForeignStates(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 3)
	for i := range 500 {
		m.Push(int64(i), []float64{float64(i % 5), 1, 2})
	}
	good := m.AppendState(nil)
	for at := range good {
		bad := append([]byte(nil), good...)
		bad[at] ^= 0x40
		before := *m
		if err := m.Restore(bad); !errors.As(err, new(*StateError)) || *m != before {
			t.Fatalf("byte %d changed: got error %v, want a *StateError and no change", at, err)
		}
	}
	for _, bad := range [][]byte{nil, good[:len(good)-1], append(good, 0), new(Detector).AppendState(nil)} {
		if err := m.Restore(bad); !errors.As(err, new(*StateError)) {
			t.Errorf("%d bytes: got error %v, want a *StateError", len(bad), err)
		}
	}
	for _, sensors := range []int{-1, 0, MaxSensors + 1} {
		if err := m.Reset(sensors); !errors.As(err, new(*SensorsError)) {
			t.Errorf("%d sensors: got error %v, want a *SensorsError", sensors, err)
		}
	}
}
