// Package jsonscan reads JSON text (RFC 8259) in place, without building values.
//
// It serves the decoders on hot paths whose input has one known shape: a Scanner walks
// objects and arrays and calls back for each member. Readers with a loop of their own,
// such as lib/ingest, share the functions below it: strings are searched eight bytes at
// a time, and escape sequences are decoded in one place.
//
// The standard library's tokenizer, encoding/json/jsontext, is not available in Go 1.26
// without GOEXPERIMENT=jsonv2. The tests compare this package with encoding/json.
package jsonscan

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"strconv"
	"unicode/utf8"
)

// DefaultMaxDepth is how deep a value that Skip passes over may nest.
const DefaultMaxDepth = 64

// Error says why a text is not valid. Scanner.Pos says where.
type Error string

func (e Error) Error() string { return string(e) }

// The errors of strings.
const (
	errUnterminated = Error("string is not terminated")
	errControl      = Error("control character in a string")
	errEscape       = Error("invalid escape sequence")
	errUTF8         = Error("string is not valid UTF-8")
)

// Scanner reads the JSON text Src from Pos on. Its methods skip white space before what
// they read. Slices that they return refer to Src where that is possible. After an error
// Pos is at the fault, or at the beginning of the string that has it.
type Scanner struct {
	Src []byte
	Pos int
	// MaxDepth bounds the nesting of a value that Skip passes over. Default DefaultMaxDepth.
	MaxDepth int
}

// Peek returns the next byte without consuming it, or 0 at the end.
func (s *Scanner) Peek() byte {
	for s.Pos < len(s.Src) {
		if c := s.Src[s.Pos]; !IsSpace(c) {
			return c
		}
		s.Pos++
	}
	return 0
}

// expect consumes c.
func (s *Scanner) expect(c byte) error {
	if s.Peek() != c {
		return Error("expected " + strconv.QuoteRune(rune(c)))
	}
	s.Pos++
	return nil
}

// End returns an error unless nothing follows.
func (s *Scanner) End() error {
	if s.Peek(); s.Pos < len(s.Src) {
		return Error("unexpected data after the document")
	}
	return nil
}

// Object reads an object and calls member with the name of each member; member reads the
// value. Repeated names are for member to reject.
func (s *Scanner) Object(member func(name []byte) error) error {
	return s.list('{', '}', func() error {
		name, err := s.Text()
		if err != nil {
			return err
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		return member(name)
	})
}

// Array reads an array and calls element at each element; element reads it.
func (s *Scanner) Array(element func() error) error { return s.list('[', ']', element) }

func (s *Scanner) list(opening, closing byte, element func() error) error {
	if err := s.expect(opening); err != nil {
		return err
	}
	if s.Peek() == closing {
		s.Pos++
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if s.Peek() == closing {
			s.Pos++
			return nil
		}
		if err := s.expect(','); err != nil {
			return err
		}
	}
}

// rawString reads a string and returns the text between its quotes, and whether that has
// escape sequences. It does not look for control characters or invalid UTF-8.
func (s *Scanner) rawString() (raw []byte, escaped bool, err error) {
	if err := s.expect('"'); err != nil {
		return nil, false, err
	}
	rest := s.Src[s.Pos:]
	end := bytes.IndexByte(rest, '"')
	if end < 0 {
		return nil, false, errUnterminated
	}
	if i := bytes.IndexByte(rest[:end], '\\'); i >= 0 {
		next, err := SkipString(rest, i)
		if err != nil {
			s.Pos += next
			return nil, false, err
		}
		end, escaped = next-1, true
	}
	s.Pos += end + 1
	return rest[:end], escaped, nil
}

// Text reads a string and returns its value, a copy if it has escape sequences. Control
// characters and invalid UTF-8 are errors; an unpaired surrogate becomes U+FFFD, as in
// encoding/json.
func (s *Scanner) Text() ([]byte, error) {
	if s.Peek() == '"' { // most strings have nothing to look at
		rest := s.Src[s.Pos+1:]
		if n := Plain(rest); n < len(rest) && rest[n] == '"' && utf8.Valid(rest[:n]) {
			s.Pos += n + len(`""`)
			return rest[:n], nil
		}
	}
	start := s.Pos
	raw, escaped, err := s.rawString()
	if err != nil {
		return nil, err
	}
	switch {
	case hasControl(raw):
		err = errControl
	case !utf8.Valid(raw):
		err = errUTF8
	case escaped:
		raw, err = s.unescape(start)
	}
	if err != nil {
		s.Pos = start
	}
	return raw, err
}

// Base64 reads a string of base64 and returns its characters. It does not check them: the
// decoder of base64 rejects any that are not of the alphabet.
func (s *Scanner) Base64() ([]byte, error) {
	s.Peek()
	start := s.Pos
	raw, escaped, err := s.rawString()
	if err == nil && escaped {
		raw, err = s.unescape(start)
	}
	return raw, err
}

// unescape returns the value of the string between start and Pos.
func (s *Scanner) unescape(start int) ([]byte, error) {
	out, next := Unescape(make([]byte, 0, s.Pos-start), s.Src[:s.Pos], start+1)
	if next < 0 {
		return nil, errEscape
	}
	return out, nil
}

func hasControl(raw []byte) bool {
	for ; len(raw) >= WordBytes; raw = raw[WordBytes:] {
		if w := binary.LittleEndian.Uint64(raw); (w-' '*low)&^w&high != 0 {
			return true
		}
	}
	for _, c := range raw {
		if c < ' ' {
			return true
		}
	}
	return false
}

// Null reads the literal null, if it is next.
func (s *Scanner) Null() bool { return s.Peek() == 'n' && s.literal("null") == nil }

// Number reads a number and returns its text.
func (s *Scanner) Number() ([]byte, error) {
	s.Peek()
	next, err := SkipNumber(s.Src, s.Pos)
	start := s.Pos
	s.Pos = next
	return s.Src[start:next], err
}

// Skip reads a value of any kind. It accepts invalid UTF-8.
func (s *Scanner) Skip() error { return s.skip(cmp.Or(s.MaxDepth, DefaultMaxDepth)) }

func (s *Scanner) skip(depth int) error {
	switch c := s.Peek(); c {
	case '{', '[':
		if depth == 0 {
			return Error("nested too deeply")
		}
		if c == '[' {
			return s.list('[', ']', func() error { return s.skip(depth - 1) })
		}
		return s.list('{', '}', func() error {
			if s.Peek() != '"' {
				return s.expect('"')
			}
			if err := s.skipString(); err != nil {
				return err
			}
			if err := s.expect(':'); err != nil {
				return err
			}
			return s.skip(depth - 1)
		})
	case '"':
		return s.skipString()
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	default:
		_, err := s.Number()
		return err
	}
}

// skipString reads the string at Pos.
func (s *Scanner) skipString() error {
	next, err := SkipString(s.Src, s.Pos+1)
	s.Pos = next
	return err
}

func (s *Scanner) literal(want string) error {
	if !bytes.HasPrefix(s.Src[s.Pos:], []byte(want)) {
		return Error("expected " + want)
	}
	s.Pos += len(want)
	return nil
}
