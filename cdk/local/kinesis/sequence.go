package kinesis

import "math/bits"

// sequence is a decoded sequence number. Kinesis encodes it as a decimal number of 56
// digits; the bits are, from the top: the digit 2, the second in which the shard was
// created (36 bits), the low 4 bits of the shard's index, the record's index in the
// shard (64), 8 zero bits, the second of arrival (36), the shard's index (32) and the
// version 2 (4). So numbers increase with each record of a shard, and those of a child,
// which is created in a later second, are above its parents'.
type sequence struct {
	created int64  // seconds since the epoch at which the shard was created
	index   uint64 // of the record in its shard, from 1; 0 is before the first
	arrived int64  // seconds since the epoch
	shard   uint32
}

// lastIndex is the index in a closed shard's ending sequence number.
const lastIndex = 1<<63 - 1

const (
	sequenceDigits  = 56
	sequenceVersion = 2
	pow19           = 10_000_000_000_000_000_000
	mask36          = 1<<36 - 1
)

// append appends the decimal form.
func (q sequence) append(dst []byte) []byte {
	arrived := uint64(q.arrived) & mask36
	l0 := sequenceVersion | uint64(q.shard)<<4 | arrived<<36
	l1 := arrived>>28 | q.index<<16
	l2 := q.index>>48 | uint64(q.shard&15)<<16 | (uint64(q.created)&mask36)<<20 | 2<<56

	var chunk [3]uint64 // base 10^19, least first
	for i := range chunk {
		var r uint64
		l2, r = bits.Div64(0, l2, pow19)
		l1, r = bits.Div64(r, l1, pow19)
		l0, r = bits.Div64(r, l0, pow19)
		chunk[i] = r
	}
	n := len(dst)
	dst = append(dst, make([]byte, sequenceDigits)...)
	at := n + sequenceDigits
	for i, width := range [3]int{19, 19, sequenceDigits - 38} {
		v := chunk[i]
		for range width {
			at--
			dst[at] = '0' + byte(v%10)
			v /= 10
		}
	}
	return dst
}

// String returns the decimal form.
func (q sequence) String() string {
	var buf [sequenceDigits]byte
	return string(q.append(buf[:0]))
}

// parseSequence parses the decimal form; false means that the number has another layout.
func parseSequence(s string) (sequence, bool) {
	if len(s) != sequenceDigits {
		return sequence{}, false
	}
	var l0, l1, l2 uint64
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return sequence{}, false
		}
		var c0, c1, carry uint64
		c0, l0 = bits.Mul64(l0, 10)
		c1, l1 = bits.Mul64(l1, 10)
		l2 *= 10 // 56 digits stay below 2^187: limb 2 does not overflow
		l0, carry = bits.Add64(l0, uint64(c-'0'), 0)
		l1, carry = bits.Add64(l1, c0, carry)
		l2, _ = bits.Add64(l2, c1, carry)
	}
	q := sequence{
		created: int64(l2 >> 20 & mask36),
		index:   l1>>16 | l2<<48,
		arrived: int64(l0>>36 | l1&0xff<<28),
		shard:   uint32(l0 >> 4),
	}
	ok := l0&15 == sequenceVersion && l1>>8&0xff == 0 && l2>>56 == 2 && uint32(l2>>16&15) == q.shard&15 && q.index <= lastIndex
	return q, ok
}
