package ingest

import (
	"math"
	"strconv"

	"github.com/insighthub/insighthub/lib/jsonscan"
)

// number is a JSON number as it was written.
type number struct {
	mantissa uint64 // its digits, unless there were too many
	exponent int    // of ten
	digits   int    // significant ones; more than maxDigits overflow mantissa
	negative bool
	integer  bool // neither a fraction nor an exponent
}

const (
	// maxDigits is how many decimal digits always fit in 64 bits.
	maxDigits = 19
	// maxExact is the largest mantissa, and maxPower the largest power of ten,
	// that a float64 represents exactly.
	maxExact = 1 << 53
	maxPower = 22
	// maxExponent keeps the exponent of a number from overflowing; larger ones are
	// left to strconv.
	maxExponent = 100_000
)

// scanNumber reads the number at b[i] by the grammar of RFC 8259, section 6.
// It returns the index after it, or the index of the fault and false. b must end with a
// byte that cannot be part of a number. See jsonscan.SkipNumber for one that needs no
// such byte; this one computes the value as it goes.
func scanNumber(b []byte, i int) (n number, next int, ok bool) {
	n.integer = true
	if b[i] == '-' {
		n.negative = true
		i++
	}
	switch {
	case b[i] == '0':
		i++
	case jsonscan.IsDigit(b[i]):
		start := i
		for jsonscan.IsDigit(b[i]) {
			n.mantissa = n.mantissa*10 + uint64(b[i]-'0')
			i++
		}
		n.digits = i - start
	default:
		return n, i, false
	}
	if b[i] == '.' {
		n.integer = false
		i++
		start := i
		for jsonscan.IsDigit(b[i]) {
			n.mantissa = n.mantissa*10 + uint64(b[i]-'0')
			i++
		}
		if i == start {
			return n, i, false
		}
		n.exponent = start - i
		// The zeros after "0." are counted too; with very many of them the fast path
		// is not taken.
		n.digits += i - start
	}
	if b[i]|0x20 == 'e' {
		return scanExponent(b, i+1, n)
	}
	return n, i, true
}

func scanExponent(b []byte, i int, n number) (number, int, bool) {
	n.integer = false
	negative := b[i] == '-'
	if negative || b[i] == '+' {
		i++
	}
	if !jsonscan.IsDigit(b[i]) {
		return n, i, false
	}
	exponent := 0
	for jsonscan.IsDigit(b[i]) {
		if exponent < maxExponent {
			exponent = exponent*10 + int(b[i]-'0')
		}
		i++
	}
	if negative {
		exponent = -exponent
	}
	n.exponent += exponent
	return n, i, true
}

// powers are the powers of ten that a float64 represents exactly.
type powers [maxPower + 1]float64

func newPowers() (p powers) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1] * 10
	}
	return p
}

// float returns the float64 nearest to n, whose text is given; ok is false
// if that is not finite. Where mantissa and power of ten are both exact, one
// rounded operation on them is the nearest (Clinger, How to read floating
// point numbers accurately, 1990); for anything else there is strconv.
func (p *powers) float(n number, text []byte) (f float64, ok bool) {
	if n.digits <= maxDigits && n.mantissa <= maxExact && -maxPower <= n.exponent && n.exponent <= maxPower {
		f = float64(n.mantissa)
		if n.exponent < 0 {
			f /= p[-n.exponent]
		} else {
			f *= p[n.exponent]
		}
		if n.negative {
			f = -f
		}
		return f, true
	}
	f, err := strconv.ParseFloat(string(text), 64) // a copy on the stack
	return f, err == nil && !math.IsInf(f, 0)
}

// int64 returns n as an integer; ok is false if it is not an integer of 64 bits.
func (n number) int64() (i int64, ok bool) {
	if !n.integer || n.digits > maxDigits {
		return 0, false
	}
	switch {
	case n.negative && n.mantissa <= 1<<63:
		return -int64(n.mantissa), true
	case !n.negative && n.mantissa <= math.MaxInt64:
		return int64(n.mantissa), true
	default:
		return 0, false
	}
}
