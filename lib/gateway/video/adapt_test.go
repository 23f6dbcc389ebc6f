package video

import (
	"testing"
	"time"
)

func TestLevelFollowsTheBandwidth(t *testing.T) {
	t.Parallel()
	need := rates{keysOnly: 100_000, referenced: 600_000, full: 1_000_000}
	now := time.Unix(1_790_000_000, 0)
	a := newAdapter(now)
	step := func(n, estimate int) {
		for range n {
			now = now.Add(adaptEvery)
			a.decide(now, need, estimate)
		}
	}
	expect := func(want level, when string) {
		t.Helper()
		if a.level != want {
			t.Fatalf("level %d %s, want %d", a.level, when, want)
		}
	}
	step(4, 0)
	expect(full, "without an estimate")
	step(1, 500_000)
	expect(full, "after one low estimate")
	step(1, 1_200_000)
	step(1, 500_000)
	expect(full, "after two low estimates that do not follow each other")
	step(1, 500_000)
	expect(referenced, "after two low estimates")
	step(4, 300_000)
	expect(keysOnly, "with less than the referenced frames need")
	step(20, 20_000)
	expect(keysOnly, "with less than key frames need")
	step(3, 700_000)
	expect(referenced, "when the referenced frames fit")
	step(3, 2_000_000)
	expect(full, "when all fit")
}

// What is sent bounds what the estimate can prove, so the next level is tried; each failure doubles the wait.
func TestHigherLevelIsTried(t *testing.T) {
	t.Parallel()
	need := rates{keysOnly: 100_000, referenced: 600_000, full: 1_000_000}
	now := time.Unix(1_790_000_000, 0)
	a := newAdapter(now)
	var tries []time.Duration
	since := now
	for range 1000 {
		now = now.Add(adaptEvery)
		before := a.level
		a.decide(now, need, 640_000) // the referenced frames, never all
		if before == referenced && a.level == full {
			tries = append(tries, now.Sub(since))
		}
		if before == full && a.level == referenced {
			since = now
		}
	}
	want := []time.Duration{firstProbe, 2 * firstProbe, 4 * firstProbe, 8 * firstProbe, lastProbe, lastProbe}
	if len(tries) < len(want) {
		t.Fatalf("tried after %v, want %v …", tries, want)
	}
	for i := range want {
		if tries[i] != want[i] {
			t.Fatalf("tried after %v, want %v …", tries, want)
		}
	}
}

func TestMeterCountsByLevel(t *testing.T) {
	t.Parallel()
	var m meter
	now := time.Unix(1_790_000_000, 0)
	for i := range 61 {
		f := &Frame{Codec: H264, Units: [][]byte{make([]byte, 1000)}, Key: i%30 == 0, Disposable: i%2 == 1}
		m.add(now.Add(time.Duration(i)*time.Second/30), f)
	}
	want := rates{keysOnly: 8_000, referenced: 15 * 8_000, full: 30 * 8_000}
	if m.last != want {
		t.Errorf("rates %v, want %v", m.last, want)
	}
}
