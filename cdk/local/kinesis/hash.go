package kinesis

import (
	"crypto/md5" //nolint:gosec // Kinesis routes by MD5; nothing here is a secret.
	"encoding/binary"
	"math/bits"
)

// hashKey is a 128-bit hash key. The shards of a stream divide the space of hash keys.
type hashKey struct{ hi, lo uint64 }

// maxHashKey returns the largest hash key, 2^128-1.
func maxHashKey() hashKey { return hashKey{^uint64(0), ^uint64(0)} }

// hashOf returns the hash key of a partition key: the MD5 of its UTF-8 as a big-endian number.
func hashOf(partitionKey string) hashKey {
	sum := md5.Sum([]byte(partitionKey)) //nolint:gosec // as above
	return hashKey{binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:])}
}

func (h hashKey) less(o hashKey) bool {
	return h.hi < o.hi || h.hi == o.hi && h.lo < o.lo
}

func (h hashKey) next() hashKey {
	lo, carry := bits.Add64(h.lo, 1, 0)
	return hashKey{h.hi + carry, lo}
}

func (h hashKey) prev() hashKey {
	lo, borrow := bits.Sub64(h.lo, 1, 0)
	return hashKey{h.hi - borrow, lo}
}

// String returns the decimal form, which the API uses.
func (h hashKey) String() string {
	var buf [40]byte
	i := len(buf)
	for {
		var r uint64
		h.hi, r = bits.Div64(0, h.hi, 10)
		h.lo, r = bits.Div64(r, h.lo, 10)
		i--
		buf[i] = '0' + byte(r)
		if h == (hashKey{}) {
			return string(buf[i:])
		}
	}
}

// parseHashKey parses the decimal form. As the API does, it rejects leading zeros and numbers
// of more than 128 bits.
func parseHashKey(s string) (hashKey, bool) {
	if s == "" || len(s) > 39 || len(s) > 1 && s[0] == '0' {
		return hashKey{}, false
	}
	var h hashKey
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return hashKey{}, false
		}
		carryHi, lo := bits.Mul64(h.lo, 10)
		over, hi := bits.Mul64(h.hi, 10)
		var carry uint64
		lo, carry = bits.Add64(lo, uint64(c-'0'), 0)
		hi, carry = bits.Add64(hi, carryHi, carry)
		if over+carry != 0 {
			return hashKey{}, false
		}
		h = hashKey{hi, lo}
	}
	return h, true
}

// hashRange is the range of hash keys of a shard, both ends included.
type hashRange struct{ first, last hashKey }

func (r hashRange) contains(h hashKey) bool { return !h.less(r.first) && !r.last.less(h) }

// evenRange returns part i of n equal parts of the hash keys; the last includes the remainder.
func evenRange(i, n int) hashRange {
	start := func(i int) hashKey { return scale(uint64(i), uint64(n)) }
	r := hashRange{first: start(i), last: maxHashKey()}
	if i < n-1 {
		r.last = start(i + 1).prev()
	}
	return r
}

// scale returns i × floor(2^128 / n).
func scale(i, n uint64) hashKey {
	if n == 1 {
		return hashKey{} // i is 0
	}
	// 2^128/n by schoolbook division of the digits 1, 0, 0 in base 2^64.
	hi, r := bits.Div64(1, 0, n)
	lo, _ := bits.Div64(r, 0, n)
	carry, low := bits.Mul64(lo, i)
	return hashKey{hi*i + carry, low}
}
