package anomaly

import "testing"

// TestMachineKeepsItsBits hashes the states of a fixed series of integers, which is the same
// everywhere. Another hash on another processor, or after a refactoring, is a bug; a new
// setting changes it.
func TestMachineKeepsItsBits(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 5)
	random := uint64(88172645463325252)
	values := make([]float64, 5)
	sum := uint64(offsetBasis)
	for i := range 6000 {
		for j := range values {
			random ^= random << 13
			random ^= random >> 7
			random ^= random << 17
			values[j] = float64(int64(random)>>40) + float64(100_000*j)
		}
		if i/1500%2 == 1 {
			values[1] *= 1.1
			values[3] += 4e6
		}
		m.Push(int64(i), values)
		if i%1000 == 999 {
			sum = (sum ^ m.Hash()) * prime
		}
	}
	const want = 0xe7adbcc6e127e0c9
	if sum != want {
		t.Errorf("got hash %#x, want %#x", sum, uint64(want))
	}
}
