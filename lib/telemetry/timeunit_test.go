package telemetry

import "testing"

func TestGuessUnit(t *testing.T) {
	t.Parallel()
	const earliest, latest = 1479806013123456, 1795425913123456 // ten years up to November 2026
	for _, c := range []struct {
		n    int64
		unit string
		at   Micros
	}{
		{1795425713, "seconds", 1795425713000000},
		{1795425713123, "milliseconds", 1795425713123000},
		{1795425713123456789, "nanoseconds", 1795425713123456},
		{134398993131234560, "a Windows file time (100 ns since 1601)", 1795425713123456},
		{639310225131234560, ".NET ticks (100 ns since the year 1)", 1795425713123456},
		{1795425713123456, "", 0}, // microseconds
		{0, "", 0},
		{-1795425713123, "", 0},
		{1 << 62, "", 0},
		{-1 << 63, "", 0},
		{1<<63 - 1, "", 0},
		{86_400_000_000, "", 0},
	} {
		if unit, at := GuessUnit(c.n, earliest, latest); unit != c.unit || at != c.at {
			t.Errorf("%d: got %q and %d, want %q and %d", c.n, unit, at, c.unit, c.at)
		}
	}
}
