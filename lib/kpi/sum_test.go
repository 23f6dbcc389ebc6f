package kpi

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestSumIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(
			rapid.Float64Range(-1e6, 1e6),
			rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64),
			rapid.Float64Range(-1e-300, 1e-300),
			rapid.SampledFrom([]float64{
				0, math.Copysign(0, -1), 1 << 33, 1<<33 - 1./1024, 0x1p-22, 0x1p-23, 5e-324, math.MaxFloat64, -math.MaxFloat64, 0.1,
			}),
		)
		values := rapid.SliceOfN(value, 1, 40).Draw(t, "values")
		var forward, parts sum
		exact := new(big.Float).SetPrec(5000)
		for _, v := range values {
			forward.add(v)
			exact.Add(exact, new(big.Float).SetFloat64(v))
		}
		cut := rapid.IntRange(0, len(values)).Draw(t, "cut")
		var other sum
		for _, v := range values[:cut] {
			other.add(v)
		}
		for i := len(values) - 1; i >= cut; i-- {
			parts.add(values[i])
		}
		if rapid.Bool().Draw(t, "spill") {
			parts.spill()
		}
		parts.merge(&other)
		n := uint64(len(values))
		rounded, _ := exact.Float64()
		want := rounded / float64(n)
		if math.IsInf(rounded, 0) {
			scaled, _ := exact.SetMantExp(exact, -64).Float64()
			want = math.Ldexp(scaled/float64(n), 64)
		}
		for name, s := range map[string]*sum{"in order": &forward, "in parts": &parts} {
			if got := s.mean(n); got != want {
				t.Errorf("%s: mean of %v: got %v, want %v", name, values, got, want)
			}
		}
	})
}

func TestSumOverflowsIntoTheWideOne(t *testing.T) {
	var s sum
	s.hi, s.lo = math.MaxInt64, math.MaxUint64-5
	s.add(1)
	if s.wide == nil {
		t.Fatal("got a sum of 128 bits after an overflow, want a wide one")
	}
	// 2^127 − 6 units of 2^-74, and 1.
	want := 0x1p53 + 1.
	if got := s.mean(1); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestSumRoundsToNearest checks the bits after the first 64: 2^32 plus half of its last
// place is a tie, which the smallest further addend breaks.
func TestSumRoundsToNearest(t *testing.T) {
	for _, sign := range []float64{1, -1} {
		var s sum
		s.add(sign * 0x1p32)
		s.add(sign * 0x1p-21)
		if got := s.mean(1); got != sign*0x1p32 {
			t.Errorf("a tie: got %x", got)
		}
		s.add(sign * 0x1p-50)
		if got := s.mean(1); got != sign*(0x1p32+0x1p-20) {
			t.Errorf("more than a tie: got %x", got)
		}
		if s.wide != nil {
			t.Error("got a wide sum, want one of 128 bits")
		}
	}
}
