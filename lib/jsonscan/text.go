package jsonscan

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// WordBytes is how many bytes Special looks at.
const WordBytes = 8

// Special returns a mask in which the top bit is set for each byte of w that a string
// cannot hold as it is: '"', '\' and control characters. The first byte is the lowest.
// The subtractions may also mark bytes above one that was found, never below: the first
// mark is always right.
func Special(w uint64) uint64 { return (w-' '*low)&^w&high | quoteOrBackslash(w) }

const (
	low  = 0x0101010101010101
	high = 0x80 * low
)

// quoteOrBackslash is Special without control characters.
func quoteOrBackslash(w uint64) uint64 {
	quote, backslash := w^('"'*low), w^('\\'*low)
	return ((quote-low)&^quote | (backslash-low)&^backslash) & high
}

// First returns the index of the first byte that is marked.
func First(mask uint64) int { return bits.TrailingZeros64(mask) >> 3 }

// Plain returns how many bytes at the beginning of s are neither '"', '\' nor control
// characters.
func Plain(s []byte) int {
	n := 0
	for ; n+WordBytes <= len(s); n += WordBytes {
		if mask := Special(binary.LittleEndian.Uint64(s[n:])); mask != 0 {
			return n + First(mask)
		}
	}
	for ; n < len(s); n++ {
		if c := s[n]; c < ' ' || c == '"' || c == '\\' {
			break
		}
	}
	return n
}

// IsSpace reports whether c is white space between tokens.
func IsSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// IsDigit reports whether c is a decimal digit.
func IsDigit(c byte) bool { return c-'0' <= 9 }

// SkipString returns the index after the closing quote of the string whose first byte is
// src[i]. After an error it is the index of the fault. Invalid UTF-8 is accepted.
func SkipString(src []byte, i int) (next int, err error) {
	for {
		i += Plain(src[i:])
		if i >= len(src) {
			return len(src), errUnterminated
		}
		switch src[i] {
		case '"':
			return i + 1, nil
		case '\\':
			_, next := Escape(src, i)
			if next < 0 {
				return i, errEscape
			}
			i = next
		default:
			return i, errControl
		}
	}
}

// Unescape appends the value of the string whose first byte is src[i] to dst. It returns
// the index after the closing quote, or -1 if the string is not valid or not terminated.
// An unpaired surrogate becomes U+FFFD. Invalid UTF-8 and control characters are copied:
// a check would cost a body of megabytes a fifth more time, and those who need it have
// made it to find the string's end.
func Unescape(dst, src []byte, i int) (out []byte, next int) {
	// A string is never longer than its escaped form, and the extra word lets
	// whole words be written where only a part of them counts.
	n := len(dst)
	end := endHint(src, i)
	dst = slices.Grow(dst, end-i+WordBytes)
	dst = dst[:n+end-i+WordBytes]
	for i+WordBytes <= len(src) {
		w := binary.LittleEndian.Uint64(src[i:])
		binary.LittleEndian.PutUint64(dst[n:], w)
		mask := quoteOrBackslash(w)
		if mask == 0 {
			n, i = n+WordBytes, i+WordBytes
			continue
		}
		k := First(mask)
		n, i = n+k, i+k
		if src[i] == '"' {
			return dst[:n], i + 1
		}
		if i+1 < len(src) && src[i+1] == '"' { // most escapes are in a body of JSON
			dst[n] = '"'
			n, i = n+1, i+2
			continue
		}
		r, next := Escape(src, i)
		if next < 0 {
			return nil, -1
		}
		n, i = n+utf8.EncodeRune(dst[n:], r), next
	}
	for i < len(src) {
		switch c := src[i]; c {
		case '"':
			return dst[:n], i + 1
		case '\\':
			r, next := Escape(src, i)
			if next < 0 {
				return nil, -1
			}
			n, i = n+utf8.EncodeRune(dst[n:], r), next
		default:
			dst[n] = c
			n, i = n+1, i+1
		}
	}
	return nil, -1
}

// endHint returns an upper bound of the index at which the string at i ends: its end if
// it is short, else the end of src. To find the end of a long body would be one more pass
// over it.
func endHint(src []byte, i int) int {
	const short = 512
	if len(src)-i > short {
		if end, err := SkipString(src[:i+short], i); err == nil {
			return end
		}
	}
	return len(src)
}

// Escape decodes the escape sequence at src[i], which is a '\', and the second half of a
// surrogate pair if one follows. It returns the index after it, or -1 if it is not valid.
// An unpaired surrogate is returned unchanged; utf8.AppendRune replaces it by U+FFFD.
func Escape(src []byte, i int) (r rune, next int) {
	if i+1 >= len(src) {
		return 0, -1
	}
	switch c := src[i+1]; c {
	case '"', '\\', '/':
		return rune(c), i + 2
	case 'b':
		return '\b', i + 2
	case 'f':
		return '\f', i + 2
	case 'n':
		return '\n', i + 2
	case 'r':
		return '\r', i + 2
	case 't':
		return '\t', i + 2
	case 'u':
	default:
		return 0, -1
	}
	if r = hex4(src, i+2); r < 0 {
		return 0, -1
	}
	next = i + 6
	if utf16.IsSurrogate(r) && next+1 < len(src) && src[next] == '\\' && src[next+1] == 'u' {
		if pair := utf16.DecodeRune(r, hex4(src, next+2)); pair != utf8.RuneError {
			return pair, next + 6
		}
	}
	return r, next
}

// hex4 returns the value of the four hexadecimal digits at src[i], or -1.
func hex4(src []byte, i int) rune {
	if i+4 > len(src) {
		return -1
	}
	var r rune
	for _, c := range src[i : i+4] {
		switch {
		case IsDigit(c):
			c -= '0'
		case c|0x20-'a' < 6:
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// SkipNumber returns the index after the number at src[i] (RFC 8259, section 6). After an
// error it is the index of the fault.
func SkipNumber(src []byte, i int) (next int, err error) {
	digits := func() bool {
		start := i
		for i < len(src) && IsDigit(src[i]) {
			i++
		}
		return i > start
	}
	if i < len(src) && src[i] == '-' {
		i++
	}
	if i < len(src) && src[i] == '0' {
		i++
	} else if !digits() {
		return i, Error("expected a value")
	}
	if i < len(src) && src[i] == '.' {
		i++
		if !digits() {
			return i, Error("expected a digit after the decimal point")
		}
	}
	if i < len(src) && src[i]|0x20 == 'e' {
		i++
		if i < len(src) && (src[i] == '+' || src[i] == '-') {
			i++
		}
		if !digits() {
			return i, Error("expected a digit in the exponent")
		}
	}
	return i, nil
}
