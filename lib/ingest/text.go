package ingest

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// Eight bytes are looked at in one step: a byte of a word that is to be found
// gets its top bit set in a mask. The subtractions may also mark bytes above
// one that was found, never below, so the lowest mark is always right.
const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
	// word is the number of bytes in one step; the event parser's buffer ends
	// with as many zero bytes, which no JSON text holds.
	word = 8
)

// quoteOrBackslash marks the bytes of w that are '"' or '\'.
func quoteOrBackslash(w uint64) uint64 {
	q := w ^ (lowBits * '"')
	s := w ^ (lowBits * '\\')
	return ((q-lowBits)&^q | (s-lowBits)&^s) & highBits
}

// notPlain marks the bytes of w that end the plain part of a string: '"', '\',
// a control character, or a byte that is not ASCII.
func notPlain(w uint64) uint64 {
	q := w ^ (lowBits * '"')
	s := w ^ (lowBits * '\\')
	return ((w-lowBits*0x20)&^w | (q-lowBits)&^q | (s-lowBits)&^s | w) & highBits
}

// first returns the index of the lowest marked byte.
func first(mask uint64) int { return bits.TrailingZeros64(mask) >> 3 }

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// isDelimiter reports whether c ends a literal or a number.
func isDelimiter(c byte) bool {
	return isSpace(c) || c == ',' || c == '}' || c == ']' || c == ':' || c == '"' || c == '{' || c == '['
}

// stringEnd returns the index after the closing quote of the string whose
// first byte is src[i], or -1.
func stringEnd(src []byte, i int) int {
	for i < len(src) {
		if i+word <= len(src) {
			mask := quoteOrBackslash(binary.LittleEndian.Uint64(src[i:]))
			if mask == 0 {
				i += word
				continue
			}
			i += first(mask)
		}
		switch src[i] {
		case '"':
			return i + 1
		case '\\':
			i += 2
		default:
			i++
		}
	}
	return -1
}

// unescape appends to dst the string whose first byte is src[i] and returns
// the index after its closing quote, or -1. An unpaired surrogate becomes
// U+FFFD; bytes that are not escaped are taken as they are.
func unescape(dst, src []byte, i int) (out []byte, next int) {
	// A string is never longer than its escaped form, and the extra word lets
	// whole words be written where only a part of them counts.
	n := len(dst)
	end := stringEndHint(src, i)
	dst = slices.Grow(dst, end-i+word)
	dst = dst[:n+end-i+word]
	for i+word <= len(src) {
		w := binary.LittleEndian.Uint64(src[i:])
		binary.LittleEndian.PutUint64(dst[n:], w)
		mask := quoteOrBackslash(w)
		if mask == 0 {
			n, i = n+word, i+word
			continue
		}
		k := first(mask)
		n, i = n+k, i+k
		if src[i] == '"' {
			return dst[:n], i + 1
		}
		if i+1 < len(src) && src[i+1] == '"' {
			dst[n] = '"'
			n, i = n+1, i+2
			continue
		}
		var size int
		if size, i = unescapeOne(dst[n:], src, i); i < 0 {
			return nil, -1
		}
		n += size
	}
	for i < len(src) {
		switch c := src[i]; c {
		case '"':
			return dst[:n], i + 1
		case '\\':
			var size int
			if size, i = unescapeOne(dst[n:], src, i); i < 0 {
				return nil, -1
			}
			n += size
		default:
			dst[n] = c
			n, i = n+1, i+1
		}
	}
	return nil, -1
}

// stringEndHint returns an upper bound of the index at which the string at i
// ends: its end when it is short, else the end of src. Finding the end of a
// long body would be one more pass over it.
func stringEndHint(src []byte, i int) int {
	const short = 512
	if len(src)-i <= short {
		return len(src)
	}
	if end := stringEnd(src[:i+short], i); end >= 0 {
		return min(end, len(src))
	}
	return len(src)
}

// unescapeOne writes to dst what the escape sequence at src[i] stands for and
// returns its size and the index after the sequence, or an index of -1.
func unescapeOne(dst, src []byte, i int) (size, next int) {
	if i+1 >= len(src) {
		return 0, -1
	}
	c := src[i+1]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		r, next := unescapeRune(src, i)
		if next < 0 {
			return 0, -1
		}
		return utf8.EncodeRune(dst, r), next
	default:
		return 0, -1
	}
	dst[0] = c
	return 1, i + 2
}

// unescapeRune decodes the \uXXXX at src[i] and the second half of a surrogate
// pair if one follows. An unpaired surrogate is returned as utf8.RuneError.
func unescapeRune(src []byte, i int) (r rune, next int) {
	r = hex4(src, i+2)
	if r < 0 {
		return 0, -1
	}
	next = i + 6
	if !utf16.IsSurrogate(r) {
		return r, next
	}
	if next+1 < len(src) && src[next] == '\\' && src[next+1] == 'u' {
		if pair := utf16.DecodeRune(r, hex4(src, next+2)); pair != utf8.RuneError {
			return pair, next + 6
		}
	}
	return utf8.RuneError, next
}

// hex4 returns the value of the four hexadecimal digits at src[i], or -1.
func hex4(src []byte, i int) rune {
	if i+4 > len(src) {
		return -1
	}
	var r rune
	for _, c := range src[i : i+4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}
