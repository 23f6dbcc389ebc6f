package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// request is what the use-case needs of an API Gateway HTTP API event, payload
// format 2.0. The byte slices are valid until the next readRequest.
type request struct {
	version         string
	contentType     string
	contentEncoding string
	trace           string
	requestID       string
	gateway         string
	site            string
	role            string
	expires         int64 // of the token, in seconds since 1970
	base64          bool
	body            []byte // unescaped, as the client sent it but for base64
	parsed          bool   // parse has taken the body, and it is not in body
}

// errNotEvent is the failure of an invocation that no HTTP API made.
var errNotEvent = errors.New("the payload is not an HTTP API event of format 2.0")

// envelope walks an API Gateway event. The event was written by API Gateway,
// so the walk looks only for what it needs; it survives any input, but does
// not report every departure from JSON.
type envelope struct {
	src []byte
	pos int
	// parse reads a plain JSON body as it stands, escaped, in the payload, if
	// its headers were before it. It returns the index of the quote at the end
	// of the body that begins at start, or -1 when the body must be unescaped.
	parse func(payload []byte, start int) (end int)
	// body receives the unescaped body; text any other string.
	body []byte
	text []byte
}

// read fills r from the payload.
func (e *envelope) read(payload []byte, r *request) error {
	e.src, e.pos = payload, 0
	*r = request{}
	if err := e.walk(r); err != nil {
		return err
	}
	if r.parsed && r.base64 {
		// What looked like JSON was to be base64.
		parse := e.parse
		e.parse, e.pos, *r = nil, 0, request{}
		defer func() { e.parse = parse }()
		return e.walk(r)
	}
	return nil
}

func (e *envelope) walk(r *request) error {
	err := e.object(func(key []byte) error {
		switch string(key) {
		case "version":
			return e.stringInto(&r.version)
		case "headers":
			return e.object(func(key []byte) error { return e.header(key, r) })
		case "requestContext":
			return e.object(func(key []byte) error { return e.requestContext(key, r) })
		case "isBase64Encoded":
			r.base64 = bytes.HasPrefix(e.src[e.pos:], []byte("true"))
			return e.skip()
		case "body":
			return e.readBody(r)
		default:
			return e.skip()
		}
	})
	if err != nil {
		return fmt.Errorf("byte %d: %w", e.pos, err)
	}
	if r.version != "2.0" {
		return fmt.Errorf("version %q: %w", r.version, errNotEvent)
	}
	return nil
}

func (e *envelope) header(key []byte, r *request) error {
	switch len(key) {
	case len("content-type"):
		if strings.EqualFold(string(key), "content-type") {
			return e.stringInto(&r.contentType)
		}
	case len("content-encoding"):
		if strings.EqualFold(string(key), "content-encoding") {
			return e.stringInto(&r.contentEncoding)
		}
	case len("x-amzn-trace-id"):
		if strings.EqualFold(string(key), "x-amzn-trace-id") {
			return e.stringInto(&r.trace)
		}
	}
	return e.skip()
}

func (e *envelope) requestContext(key []byte, r *request) error {
	switch string(key) {
	case "requestId":
		return e.stringInto(&r.requestID)
	case "authorizer":
		return e.object(func(key []byte) error {
			if string(key) != "lambda" {
				return e.skip()
			}
			return e.object(func(key []byte) error { return e.authorizer(key, r) })
		})
	default:
		return e.skip()
	}
}

func (e *envelope) authorizer(key []byte, r *request) error {
	switch string(key) {
	case "gateway":
		return e.stringInto(&r.gateway)
	case "site":
		return e.stringInto(&r.site)
	case "role":
		return e.stringInto(&r.role)
	case "expires":
		return e.numberInto(&r.expires)
	default:
		return e.skip()
	}
}

// object calls member with each key of the object at the cursor, the cursor
// at that key's value; member moves it past the value. Anything that is not
// an object, null among them, is skipped: a missing part and an empty one are
// the same here.
func (e *envelope) object(member func(key []byte) error) error {
	e.space()
	if e.peek() != '{' {
		return e.skip()
	}
	e.pos++
	for first := true; ; first = false {
		e.space()
		switch c := e.peek(); {
		case c == '}':
			e.pos++
			return nil
		case c == ',' && !first:
			e.pos++
			e.space()
		case !first:
			return errNotEvent
		}
		if e.peek() != '"' {
			return errNotEvent
		}
		key, err := e.string(e.text[:0])
		if err != nil {
			return err
		}
		e.text = key
		e.space()
		if e.peek() != ':' {
			return errNotEvent
		}
		e.pos++
		e.space()
		if err := member(key); err != nil {
			return err
		}
	}
}

// peek returns the byte at the cursor, or 0 at the end.
func (e *envelope) peek() byte {
	if e.pos < len(e.src) {
		return e.src[e.pos]
	}
	return 0
}

func (e *envelope) space() {
	for e.pos < len(e.src) && isSpace(e.src[e.pos]) {
		e.pos++
	}
}

func (e *envelope) stringInto(dst *string) error {
	if e.peek() != '"' {
		return e.skip()
	}
	text, err := e.string(e.text[:0])
	if err != nil {
		return err
	}
	e.text = text
	*dst = string(text)
	return nil
}

// numberInto reads a whole number; anything else leaves dst as it is.
func (e *envelope) numberInto(dst *int64) error {
	start := e.pos
	if err := e.skip(); err != nil {
		return err
	}
	if n, err := strconv.ParseInt(string(e.src[start:e.pos]), 10, 64); err == nil {
		*dst = n
	}
	return nil
}

func (e *envelope) readBody(r *request) error {
	if e.peek() != '"' {
		return e.skip()
	}
	if e.parse != nil && r.contentType != "" && r.contentEncoding == "" {
		if f, refusal := formOf(r.contentType); refusal == nil && f == jsonForm {
			if end := e.parse(e.src, e.pos+1); end >= 0 {
				e.pos, r.parsed = end+1, true
				return nil
			}
		}
	}
	body, err := e.string(e.body[:0])
	if err != nil {
		return err
	}
	e.body, r.body = body, body
	return nil
}

// string appends the unescaped string at the cursor to dst.
func (e *envelope) string(dst []byte) ([]byte, error) {
	dst, next := unescape(dst, e.src, e.pos+1)
	if next < 0 {
		return nil, errNotEvent
	}
	e.pos = next
	return dst, nil
}

// skip moves the cursor past the value at it.
func (e *envelope) skip() error {
	switch e.peek() {
	case '"':
		next := stringEnd(e.src, e.pos+1)
		if next < 0 {
			return errNotEvent
		}
		e.pos = next
		return nil
	case '{', '[':
		return e.skipNested()
	default:
		start := e.pos
		for e.pos < len(e.src) && !isDelimiter(e.src[e.pos]) {
			e.pos++
		}
		if e.pos == start {
			return errNotEvent
		}
		return nil
	}
}

// skipNested moves the cursor past the object or array at it by counting brackets.
func (e *envelope) skipNested() error {
	open := 0
	for e.pos < len(e.src) {
		switch e.src[e.pos] {
		case '"':
			next := stringEnd(e.src, e.pos+1)
			if next < 0 {
				return errNotEvent
			}
			e.pos = next
			continue
		case '{', '[':
			if open++; open > maxDepth {
				return errNotEvent
			}
		case '}', ']':
			open--
		}
		e.pos++
		if open == 0 {
			return nil
		}
	}
	return errNotEvent
}
