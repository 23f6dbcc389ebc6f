package httpapi

import (
	"slices"
	"unicode/utf8"
	"unsafe"
)

// escapeChunk is how much is escaped between two looks at the room that is left.
const escapeChunk = 4 << 10

// A byte becomes at most six bytes, \u001f, and is written as a word of eight.
const (
	maxEscaped = 6
	wordBytes  = 8
)

// escapes holds for each byte what it becomes in a JSON string, from the
// lowest byte on, and in its highest byte the number of bytes.
var escapes = escapeTable() //nolint:gochecknoglobals // a constant that Go can not write as one

func escapeTable() *[256]uint64 {
	const hex = "0123456789abcdef"
	var table [256]uint64
	set := func(c byte, text string) {
		for i := range len(text) {
			table[c] |= uint64(text[i]) << (8 * i)
		}
		table[c] |= uint64(len(text)) << 56
	}
	for i := range 256 {
		c := byte(i)
		switch {
		case c == '"' || c == '\\':
			set(c, string([]byte{'\\', c}))
		case c == '\n':
			set(c, `\n`)
		case c == '\r':
			set(c, `\r`)
		case c == '\t':
			set(c, `\t`)
		case c < ' ':
			set(c, `\u00`+string([]byte{hex[c>>4], hex[c&0xf]}))
		default:
			set(c, string([]byte{c}))
		}
	}
	return &table
}

// appendString appends s as a JSON string. It escapes what JSON demands and
// nothing more; bytes that are not UTF-8 become U+FFFD, as encoding/json has it.
func appendString(dst []byte, s string) []byte {
	return appendJSON(dst, unsafe.Slice(unsafe.StringData(s), len(s))) //nolint:gosec // read only
}

// appendJSON is appendString for bytes.
func appendJSON(dst, s []byte) []byte {
	if !utf8.Valid(s) {
		s = validUTF8(s)
	}
	// A body is mostly text with a quote every seven bytes or so.
	dst = slices.Grow(dst, len(s)+len(s)/4+maxEscaped+wordBytes)
	dst = append(dst, '"')
	for len(s) > 0 {
		n := min(len(s), escapeChunk)
		dst = slices.Grow(dst, maxEscaped*n+wordBytes)
		dst = appendEscaped(dst, s[:n])
		s = s[n:]
	}
	return append(dst, '"')
}

// appendEscaped appends the escaped s to dst, which must have room for
// maxEscaped·len(s)+wordBytes more bytes. Quotes stand too close together in
// telemetry for a search by words to pay: without a branch, each byte is
// written as the word that the table holds, and the next one behind as much of
// it as counts. The bounds checks would halve the rate; the room makes them
// unnecessary.
func appendEscaped(dst, s []byte) []byte {
	if cap(dst)-len(dst) < maxEscaped*len(s)+wordBytes {
		panic("httpapi: no room to escape")
	}
	start := unsafe.Pointer(unsafe.SliceData(dst)) //nolint:gosec // within the room just checked
	end := uintptr(len(dst))
	table := escapes
	for _, c := range s {
		word := table[c]
		// The word's bytes in memory are in the order of the text only where the
		// lowest comes first, as on amd64 and arm64, the two that Lambda has.
		*(*uint64)(unsafe.Add(start, end)) = word
		end += uintptr(word >> 56)
	}
	return dst[:end]
}

// validUTF8 returns a copy of s with U+FFFD for each byte that is not UTF-8.
func validUTF8(s []byte) []byte {
	valid := make([]byte, 0, len(s)+len(s)/2)
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		valid = utf8.AppendRune(valid, r)
		s = s[n:]
	}
	return valid
}
