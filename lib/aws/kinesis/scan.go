package kinesis

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of JSON that is skipped.
const maxDepth = 64

// scanError says what is wrong with a payload.
type scanError string

func (e scanError) Error() string { return string(e) }

const errTwice = scanError("member occurs twice")

// scanner reads JSON (RFC 8259) from in.
type scanner struct {
	in []byte
	at int
}

func (s *scanner) space() {
	for s.at < len(s.in) {
		switch s.in[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// next returns the first byte that is not white space, without taking it, or 0 at the end.
func (s *scanner) next() byte {
	s.space()
	if s.at == len(s.in) {
		return 0
	}
	return s.in[s.at]
}

// take takes c, after white space.
func (s *scanner) take(c byte) error {
	if s.next() != c {
		return scanError("want " + string(rune(c)))
	}
	s.at++
	return nil
}

// end reports an error when something other than white space follows.
func (s *scanner) end() error {
	if s.space(); s.at < len(s.in) {
		return scanError("something after the end")
	}
	return nil
}

// object calls member for each member, with its name; member reads the value.
func (s *scanner) object(member func(name []byte) error) error {
	return s.list('{', '}', func() error {
		name, err := s.text()
		if err != nil {
			return err
		}
		if err := s.take(':'); err != nil {
			return err
		}
		return member(name)
	})
}

// array calls element for each element; element reads it.
func (s *scanner) array(element func() error) error { return s.list('[', ']', element) }

func (s *scanner) list(from, to byte, element func() error) error {
	if err := s.take(from); err != nil {
		return err
	}
	if s.next() == to {
		s.at++
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if s.next() == to {
			s.at++
			return nil
		}
		if err := s.take(','); err != nil {
			return err
		}
	}
}

// string returns the inside of a string as it stands in the input, and whether
// it has escapes. It does not look for control characters or wrong UTF-8.
func (s *scanner) string() (raw []byte, escaped bool, err error) {
	if err := s.take('"'); err != nil {
		return nil, false, err
	}
	rest := s.in[s.at:]
	end := bytes.IndexByte(rest, '"')
	if end < 0 {
		return nil, false, scanError("string without an end")
	}
	if i := bytes.IndexByte(rest[:end], '\\'); i >= 0 {
		escaped = true
		for end = i; ; end++ {
			if end >= len(rest) {
				return nil, false, scanError("string without an end")
			}
			if rest[end] == '\\' {
				end++
			} else if rest[end] == '"' {
				break
			}
		}
	}
	s.at += end + 1
	return rest[:end], escaped, nil
}

// text returns the value of a string: part of the input, or a copy when there are escapes.
func (s *scanner) text() ([]byte, error) {
	start := s.at
	raw, escaped, err := s.string()
	if err != nil {
		return nil, err
	}
	v, err := raw, checkText(raw)
	if err == nil && escaped {
		v, err = unescape(raw)
	}
	if err != nil {
		s.at = start
	}
	return v, err
}

// checkText reports control characters and wrong UTF-8.
func checkText(raw []byte) error {
	ascii := true
	for _, c := range raw {
		if c < ' ' {
			return scanError("control character in a string")
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	if !ascii && !utf8.Valid(raw) {
		return scanError("string is not UTF-8")
	}
	return nil
}

// unescape returns a copy of raw with its escapes replaced. As in
// encoding/json, half of a surrogate pair becomes U+FFFD.
func unescape(raw []byte) ([]byte, error) {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			continue
		}
		i++
		if i == len(raw) {
			return nil, scanError("unknown escape")
		}
		switch raw[i] {
		case '"', '\\', '/':
			out = append(out, raw[i])
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, ok := hex4(raw[i+1:])
			if !ok {
				return nil, scanError(`\u without four hexadecimal digits`)
			}
			i += 4
			if utf16.IsSurrogate(r) {
				pair := rune(utf8.RuneError)
				if len(raw) > i+6 && raw[i+1] == '\\' && raw[i+2] == 'u' {
					if low, ok := hex4(raw[i+3:]); ok {
						pair = utf16.DecodeRune(r, low)
					}
				}
				if r = pair; r != utf8.RuneError {
					i += 6
				}
			}
			out = utf8.AppendRune(out, r)
		default:
			return nil, scanError("unknown escape")
		}
	}
	return out, nil
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// number returns a number as it stands in the input.
func (s *scanner) number() ([]byte, error) {
	s.space()
	b, i := s.in[s.at:], 0
	digits := func() bool {
		from := i
		for i < len(b) && b[i] >= '0' && b[i] <= '9' {
			i++
		}
		return i > from
	}
	if i < len(b) && b[i] == '-' {
		i++
	}
	first := i
	if !digits() || (b[first] == '0' && i > first+1) {
		return nil, scanError("want a number")
	}
	if i < len(b) && b[i] == '.' {
		i++
		if !digits() {
			return nil, scanError("want a digit after the point")
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return nil, scanError("want a digit in the exponent")
		}
	}
	s.at += i
	return b[:i], nil
}

// skip passes over one value of any kind.
func (s *scanner) skip(depth int) error {
	if depth > maxDepth {
		return scanError("nested too deeply")
	}
	switch c := s.next(); c {
	case '{':
		return s.list('{', '}', func() error {
			if err := s.skipString(); err != nil {
				return err
			}
			if err := s.take(':'); err != nil {
				return err
			}
			return s.skip(depth + 1)
		})
	case '[':
		return s.list('[', ']', func() error { return s.skip(depth + 1) })
	case '"':
		return s.skipString()
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	default:
		_, err := s.number()
		return err
	}
}

// skipString passes over a string; its UTF-8 does not matter.
func (s *scanner) skipString() error {
	start := s.at
	raw, escaped, err := s.string()
	if err != nil {
		return err
	}
	for _, c := range raw {
		if c < ' ' {
			s.at = start
			return scanError("control character in a string")
		}
	}
	if escaped {
		if _, err := unescape(raw); err != nil {
			s.at = start
			return err
		}
	}
	return nil
}

func (s *scanner) literal(want string) error {
	if !bytes.HasPrefix(s.in[s.at:], []byte(want)) {
		return scanError("want " + want)
	}
	s.at += len(want)
	return nil
}
