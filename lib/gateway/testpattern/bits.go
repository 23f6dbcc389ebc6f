package testpattern

import "math/bits"

// bitWriter assembles the raw payload of a NAL unit, most significant bit first.
type bitWriter struct {
	bytes []byte
	last  uint64 // bits that do not fill a byte yet
	n     uint   // their number, below 8
}

// put writes the low n bits of value, n at most 32.
func (w *bitWriter) put(value uint32, n uint) {
	w.last = w.last<<n | uint64(value)&(1<<n-1)
	w.n += n
	for w.n >= 8 {
		w.n -= 8
		w.bytes = append(w.bytes, byte(w.last>>w.n))
	}
	w.last &= 1<<w.n - 1
}

func (w *bitWriter) flag(set bool) {
	if set {
		w.put(1, 1)
	} else {
		w.put(0, 1)
	}
}

// unsigned writes ue(v), section 9.1.
func (w *bitWriter) unsigned(value uint32) {
	n := uint(bits.Len32(value + 1))
	w.put(0, n-1)
	w.put(value+1, n)
}

// signed writes se(v), section 9.1.1.
func (w *bitWriter) signed(value int) {
	if value > 0 {
		w.unsigned(uint32(2*value - 1))
	} else {
		w.unsigned(uint32(-2 * value))
	}
}

// align fills the byte with zeros.
func (w *bitWriter) align() {
	if w.n > 0 {
		w.put(0, 8-w.n)
	}
}

// trail ends the payload: a one, and zeros up to the byte's end.
func (w *bitWriter) trail() {
	w.put(1, 1)
	w.align()
}

// nal returns the NAL unit of a payload: header, and the payload with bytes that prevent the emulation of a start code (section 7.4.1).
func nal(header byte, payload []byte) []byte {
	unit := make([]byte, 0, len(payload)+len(payload)/64+8)
	unit = append(unit, header)
	zeros := 0
	for _, b := range payload {
		if zeros == 2 && b <= 3 {
			unit = append(unit, 3)
			zeros = 0
		}
		unit = append(unit, b)
		if b == 0 {
			zeros++
		} else {
			zeros = 0
		}
	}
	return unit
}
