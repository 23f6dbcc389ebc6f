package kpi

import (
	"math"
	"math/big"
	"math/bits"
)

// sum is an exact sum of float64s, which does not depend on their order. It is a 128-bit
// integer in units of 2^-74, for every value of magnitude 2^-22 to 2^33 and smaller ones
// with few digits. All other values are added to wide, an integer in units of the
// smallest float64.
type sum struct {
	hi   int64
	lo   uint64
	wide *big.Int // nil while it is not needed
}

const (
	sumUnit      = -74
	smallestUnit = -1074
	// maxShift leaves 20 bits free, so that an overflow takes 2^20 additions.
	maxShift = 127 - 53 - 20
)

// add adds v, which is finite.
func (s *sum) add(v float64) {
	b := math.Float64bits(v)
	e, m := int(b>>52&0x7ff), b&(1<<52-1)
	if e == 0 {
		e = 1
	} else {
		m |= 1 << 52
	}
	// The value is m × 2^(e-1075).
	shift := e - 1075 - sumUnit
	var hi, lo uint64
	switch {
	case shift < 0:
		if bits.TrailingZeros64(m) < -shift {
			if m != 0 {
				s.addWide(m, e, v < 0)
			}
			return
		}
		lo = m >> -shift
	case shift <= maxShift:
		hi, lo = m>>(64-shift), m<<shift // shift is at most 54; a shift by 64 gives 0
	default:
		s.addWide(m, e, v < 0)
		return
	}
	if v < 0 {
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	s.add128(int64(hi), lo)
}

func (s *sum) add128(hi int64, lo uint64) {
	newLo, carry := bits.Add64(s.lo, lo, 0)
	newHi := int64(uint64(s.hi) + uint64(hi) + carry)
	if (s.hi^newHi)&(hi^newHi) < 0 {
		s.spill()
		newHi, newLo = hi, lo
	}
	s.hi, s.lo = newHi, newLo
}

// addWide adds m × 2^(e-1075), or subtracts it.
func (s *sum) addWide(m uint64, e int, negative bool) {
	var n big.Int
	n.SetUint64(m)
	n.Lsh(&n, uint(e-1))
	if s.wide == nil {
		s.wide = new(big.Int)
	}
	if negative {
		s.wide.Sub(s.wide, &n)
	} else {
		s.wide.Add(s.wide, &n)
	}
}

// spill moves the 128 bits to wide.
func (s *sum) spill() {
	if s.wide == nil {
		s.wide = new(big.Int)
	}
	n := s.narrow()
	s.wide.Add(s.wide, n.Lsh(n, sumUnit-smallestUnit))
	s.hi, s.lo = 0, 0
}

// narrow returns the 128 bits as an integer.
func (s *sum) narrow() *big.Int {
	var n, lo big.Int
	n.Lsh(n.SetInt64(s.hi), 64)
	return n.Add(&n, lo.SetUint64(s.lo))
}

// merge adds other.
func (s *sum) merge(other *sum) {
	if other.wide != nil {
		if s.wide == nil {
			s.wide = new(big.Int)
		}
		s.wide.Add(s.wide, other.wide)
	}
	s.add128(other.hi, other.lo)
}

// mean returns the sum divided by n: the exact sum is rounded to a float64, then the
// quotient is. It depends on the values alone, not on the order of additions.
func (s *sum) mean(n uint64) float64 {
	if s.wide == nil {
		return float128(s.hi, s.lo) / float64(n)
	}
	total := *s
	total.wide = new(big.Int).Set(s.wide)
	total.spill()
	const scale = 64 // so that a sum beyond the greatest float64 has a mean
	f := new(big.Float).SetInt(total.wide)
	f.SetMantExp(f, smallestUnit)
	if v, _ := f.Float64(); !math.IsInf(v, 0) {
		return v / float64(n)
	}
	v, _ := f.SetMantExp(f, -scale).Float64()
	return math.Ldexp(v/float64(n), scale)
}

// float128 rounds the 128-bit integer hi, lo in units of 2^-74 to the nearest float64,
// ties to even.
func float128(hi int64, lo uint64) float64 {
	negative := hi < 0
	h := uint64(hi)
	if negative {
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		h, _ = bits.Sub64(0, h, borrow)
	}
	var f float64
	if h == 0 {
		f = math.Ldexp(float64(lo), sumUnit)
	} else {
		// The first 64 bits, with the last set as a sticky bit if any bit was cut off: it
		// is below the 53 bits of the result, so the conversion rounds correctly.
		n := bits.LeadingZeros64(h)
		top := h<<n | lo>>(64-n)
		if lo<<n != 0 {
			top |= 1
		}
		f = math.Ldexp(float64(top), sumUnit+64-n)
	}
	if negative {
		f = -f
	}
	return f
}
