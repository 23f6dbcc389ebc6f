package anomaly_test

import (
	"errors"
	"math"
	"testing"

	"github.com/insighthub/insighthub/lib/anomaly"
)

// wave is a noisy sine with a spike at 700.
func wave(n int) (micros []int64, values []float64) {
	seed := uint64(1)
	for i := range n {
		seed = seed*6364136223846793005 + 1442695040888963407
		noise := float64(seed>>40)/float64(1<<24) - 0.5
		value := 20 + math.Sin(float64(i)/20) + noise
		if i == 700 {
			value += 40
		}
		micros = append(micros, int64(i)*300_000_000)
		values = append(values, value)
	}
	return micros, values
}

func TestSpikeIsAnomalous(t *testing.T) {
	var d anomaly.Detector
	micros, values := wave(1000)
	flagged := -1
	for i := range values {
		if _, anomalous := d.Push(micros[i], values[i]); anomalous && flagged < 0 {
			flagged = i
		}
	}
	if flagged != 700 {
		t.Errorf("got the first flag at %d, want 700", flagged)
	}
}

func TestRestoreContinues(t *testing.T) {
	micros, values := wave(1000)
	var whole anomaly.Detector
	var parts anomaly.Detector
	for i := range values {
		want, _ := whole.Push(micros[i], values[i])
		state := parts.AppendState(nil)
		if len(state) != anomaly.StateSize {
			t.Fatalf("state of %d bytes, want %d", len(state), anomaly.StateSize)
		}
		parts = anomaly.Detector{}
		if err := parts.Restore(state); err != nil {
			t.Fatal(err)
		}
		if got, _ := parts.Push(micros[i], values[i]); got != want {
			t.Fatalf("sample %d: score %v after a restore, want %v", i, got, want)
		}
	}
	if whole.Hash() != parts.Hash() {
		t.Errorf("got hash %#x, want %#x", parts.Hash(), whole.Hash())
	}
}

func TestRestoreRejectsCorruption(t *testing.T) {
	var d anomaly.Detector
	micros, values := wave(300)
	for i := range values {
		d.Push(micros[i], values[i])
	}
	state := d.AppendState(nil)
	before := d.Hash()
	for i := range state {
		state[i] ^= 0x10
		if err := d.Restore(state); !errors.As(err, new(*anomaly.StateError)) {
			t.Fatalf("byte %d flipped: got error %v, want a *StateError", i, err)
		}
		state[i] ^= 0x10
	}
	if d.Hash() != before {
		t.Error("a rejected state changed the detector")
	}
}
