package jsonscan

import (
	"bytes"
	"slices"
	"strconv"
)

// MaxExact is the number up to which a float64 holds all whole numbers.
const MaxExact = 1 << 53

// ExactFloat reports whether f, a float64 from ±2^53 on, is what text says. text is a JSON number.
// One that is not whole is rounded as any decimal is, and so is one with the digits that
// a float64 is usually written with: the fewest that identify it, or 17. Other whole
// numbers, such as 9007199254740993, are counters or identifiers that would change; one
// beyond 2^64 with a point or an exponent is not asked about.
func ExactFloat(f float64, text []byte) bool {
	want := decimalOf(text)
	if want.exponent < 0 {
		return true
	}
	for _, written := range [][]byte{
		strconv.AppendFloat(nil, f, 'e', -1, 64),
		strconv.AppendFloat(nil, f, 'e', 16, 64),
		strconv.AppendFloat(nil, f, 'f', 0, 64), // all digits of f
	} {
		if have := decimalOf(written); have.exponent == want.exponent && bytes.Equal(have.digits, want.digits) {
			return true
		}
	}
	return false
}

// decimal is digits × 10^exponent; digits has no zeros at its ends.
type decimal struct {
	digits   []byte
	exponent int
}

// decimalOf splits a JSON number, without its sign.
func decimalOf(text []byte) (d decimal) {
	text = bytes.TrimPrefix(text, []byte{'-'})
	if e := bytes.IndexAny(text, "eE"); e >= 0 {
		// An exponent beyond int is clamped, and belongs to 0 or to no finite number.
		d.exponent, _ = strconv.Atoi(string(text[e+1:]))
		text = text[:e]
	}
	whole, fraction, _ := bytes.Cut(text, []byte{'.'})
	d.exponent -= len(fraction)
	d.digits = slices.Concat(whole, fraction)
	d.digits = bytes.TrimLeft(d.digits, "0")
	all := len(d.digits)
	d.digits = bytes.TrimRight(d.digits, "0")
	d.exponent += all - len(d.digits)
	return d
}
