package httpapi

import (
	"slices"
	"unicode/utf8"
	"unsafe"
)

// escapeChunk is how many bytes are escaped between two checks of the capacity.
const escapeChunk = 4 << 10

// A byte becomes at most six bytes, \u001f, and is written as a word of eight.
const (
	maxEscaped = 6
	wordBytes  = 8
)

// escapes holds for each byte its form in a JSON string, from the lowest byte on, and in
// the highest byte the length of that.
var escapes = escapeTable() //nolint:gochecknoglobals // a constant that Go cannot express

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

// appendString appends s as a JSON string. It escapes only what JSON requires; bytes that
// are not UTF-8 become U+FFFD, as in encoding/json.
func appendString(dst []byte, s string) []byte {
	return appendJSON(dst, unsafe.Slice(unsafe.StringData(s), len(s))) //nolint:gosec // read only
}

// appendJSON is appendString for bytes.
func appendJSON(dst, s []byte) []byte {
	if !utf8.Valid(s) {
		s = validUTF8(s)
	}
	// A typical body has a quote about every seven bytes.
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

// appendEscaped appends the escaped s to dst, which must have capacity for
// maxEscaped·len(s)+wordBytes more bytes. The quotes of telemetry are too close together
// for a search by words to be faster. Instead, without a branch, each byte is written as
// its word of the table, and the next one after the length of that. Bounds checks would
// halve the rate; the capacity makes them unnecessary.
func appendEscaped(dst, s []byte) []byte {
	if cap(dst)-len(dst) < maxEscaped*len(s)+wordBytes {
		panic("httpapi: no capacity to escape")
	}
	start := unsafe.Pointer(unsafe.SliceData(dst)) //nolint:gosec // within the capacity just checked
	end := uintptr(len(dst))
	table := escapes
	for _, c := range s {
		word := table[c]
		// The bytes of the word are in the order of the text only on little-endian
		// processors such as amd64 and arm64, the two that Lambda has.
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
