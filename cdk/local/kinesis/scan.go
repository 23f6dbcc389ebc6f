package kinesis

import (
	"bytes"
	"encoding/json"
	"errors"
)

var errSyntax = errors.New("not JSON of the expected shape")

// scanner walks JSON text without building anything. It accepts exactly JSON
// (RFC 8259); what it does not understand itself it gives to encoding/json.
type scanner struct {
	buf []byte
	pos int
}

func (s *scanner) space() {
	for s.pos < len(s.buf) {
		switch s.buf[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek returns the next byte that is not white space, or 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.pos == len(s.buf) {
		return 0
	}
	return s.buf[s.pos]
}

// take consumes c, if it is next.
func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.pos++
	return true
}

// null consumes the literal null, if it is next.
func (s *scanner) null() bool {
	if s.peek() == 'n' && bytes.HasPrefix(s.buf[s.pos:], []byte("null")) {
		s.pos += 4
		return true
	}
	return false
}

// rawString consumes a string and returns what is between its quotes, still
// escaped; plain says that it holds only printable ASCII and no escape.
func (s *scanner) rawString() (raw []byte, plain bool, err error) {
	if !s.take('"') {
		return nil, false, errSyntax
	}
	plain = true
	for i := s.pos; i < len(s.buf); i++ {
		switch c := s.buf[i]; {
		case c == '"':
			raw = s.buf[s.pos:i]
			s.pos = i + 1
			return raw, plain, nil
		case c == '\\':
			plain = false
			i++
		case c < ' ' || c > '~':
			plain = false
		}
	}
	return nil, false, errSyntax
}

// text consumes a string and returns its value, which is valid until buf changes.
func (s *scanner) text() ([]byte, error) {
	start := s.pos
	raw, plain, err := s.rawString()
	if err != nil || plain {
		return raw, err
	}
	return unquote(bytes.TrimSpace(s.buf[start:s.pos]))
}

func unquote(quoted []byte) ([]byte, error) {
	var v string
	if err := json.Unmarshal(quoted, &v); err != nil {
		return nil, errSyntax
	}
	return []byte(v), nil
}

// optionalText is text, or nil for null.
func (s *scanner) optionalText() ([]byte, error) {
	if s.null() {
		return nil, nil
	}
	return s.text()
}

// blob consumes a base64 string, which may be long, and returns its characters.
func (s *scanner) blob() ([]byte, error) {
	if s.peek() != '"' {
		return nil, errSyntax
	}
	n := bytes.IndexByte(s.buf[s.pos+1:], '"')
	if n < 0 {
		return nil, errSyntax
	}
	raw := s.buf[s.pos+1 : s.pos+1+n]
	if bytes.IndexByte(raw, '\\') >= 0 {
		return s.text() // some clients escape the slash
	}
	s.pos += n + 2
	return raw, nil
}

// skip consumes any value.
func (s *scanner) skip() error {
	s.space()
	start, depth := s.pos, 0
	for {
		switch s.peek() {
		case 0:
			return errSyntax
		case '"':
			if _, _, err := s.rawString(); err != nil {
				return err
			}
		case '{', '[':
			depth++
			s.pos++
		case '}', ']':
			depth--
			s.pos++
		case ',', ':':
			if depth == 0 {
				return errSyntax
			}
			s.pos++
		default:
			s.literal()
		}
		if depth <= 0 {
			break
		}
	}
	if !json.Valid(s.buf[start:s.pos]) {
		return errSyntax
	}
	return nil
}

// literal consumes up to the next delimiter: a number or a word, right or wrong.
func (s *scanner) literal() {
	for s.pos++; s.pos < len(s.buf); s.pos++ {
		switch s.buf[s.pos] {
		case ' ', '\t', '\n', '\r', ',', ':', '{', '}', '[', ']', '"':
			return
		}
	}
}

// object consumes an object and calls member for each; member consumes the value.
func (s *scanner) object(member func(name []byte) error) error {
	if !s.take('{') {
		return errSyntax
	}
	if s.take('}') {
		return nil
	}
	for {
		name, err := s.text()
		if err != nil {
			return err
		}
		if !s.take(':') {
			return errSyntax
		}
		if err := member(name); err != nil {
			return err
		}
		if s.take('}') {
			return nil
		}
		if !s.take(',') {
			return errSyntax
		}
	}
}

// array consumes an array and calls element at the start of each; element consumes it.
func (s *scanner) array(element func() error) error {
	if !s.take('[') {
		return errSyntax
	}
	if s.take(']') {
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if s.take(']') {
			return nil
		}
		if !s.take(',') {
			return errSyntax
		}
	}
}
