package ingest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/insighthub/insighthub/lib/jsonscan"
)

// request has the parts of an API Gateway HTTP API event (payload format 2.0) that are
// read. Body is valid until the next envelope.read.
type request struct {
	version         string
	query           string
	contentType     string
	contentEncoding string
	trace           string
	requestID       string
	gateway         string
	site            string
	role            string
	expires         int64 // of the token, in seconds since 1970
	tokenVersion    int64 // see denylist.Token
	issued          int64
	base64          bool
	body            []byte // unescaped; as the client sent it, or in base64
	parsed          bool   // envelope.parse has read the body, and body is empty
}

// errNotEvent fails an invocation whose payload does not come from an HTTP API.
var errNotEvent = errors.New("the payload is not an HTTP API event of format 2.0")

const errBadString = jsonscan.Error("string is not valid")

// envelope walks an API Gateway event and reads only what it needs.
type envelope struct {
	jsonscan.Scanner
	// parse reads a JSON body in place, escaped, if the headers precede it in the
	// payload. It returns the index of the quote at the end of the body that begins
	// at start, or -1 if the body must be unescaped.
	parse func(payload []byte, start int) (end int)
	// body is the buffer of the unescaped body, text that of any other string.
	body []byte
	text []byte
}

// read fills r from the payload.
func (e *envelope) read(payload []byte, r *request) error {
	e.Src, e.Pos = payload, 0
	*r = request{}
	if err := e.walk(r); err != nil {
		return err
	}
	if r.parsed && r.base64 {
		// The body was parsed as JSON before isBase64Encoded was read.
		parse := e.parse
		e.parse, e.Pos, *r = nil, 0, request{}
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
		case "rawQueryString":
			return e.stringInto(&r.query)
		case "headers":
			return e.object(func(key []byte) error { return e.header(key, r) })
		case "requestContext":
			return e.object(func(key []byte) error { return e.requestContext(key, r) })
		case "isBase64Encoded":
			r.base64 = e.Peek() == 't'
			return e.Skip()
		case "body":
			return e.readBody(r)
		default:
			return e.Skip()
		}
	})
	if err != nil {
		return fmt.Errorf("%w: byte %d: %w", errNotEvent, e.Pos, err)
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
	return e.Skip()
}

func (e *envelope) requestContext(key []byte, r *request) error {
	switch string(key) {
	case "requestId":
		return e.stringInto(&r.requestID)
	case "authorizer":
		return e.object(func(key []byte) error {
			if string(key) != "lambda" {
				return e.Skip()
			}
			return e.object(func(key []byte) error { return e.authorizer(key, r) })
		})
	default:
		return e.Skip()
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
	case "version":
		return e.numberInto(&r.tokenVersion)
	case "issued":
		return e.numberInto(&r.issued)
	default:
		return e.Skip()
	}
}

// object calls member with each name of the object at the cursor. Anything that is not
// an object, null among them, is skipped: a missing part and an empty one are the same
// here.
func (e *envelope) object(member func(name []byte) error) error {
	if e.Peek() != '{' {
		return e.Skip()
	}
	return e.Object(member)
}

// stringInto reads a string; anything else leaves dst as it is.
func (e *envelope) stringInto(dst *string) error {
	if e.Peek() != '"' {
		return e.Skip()
	}
	text, err := e.string(e.text)
	if err != nil {
		return err
	}
	e.text = text
	*dst = string(text)
	return nil
}

// numberInto reads a whole number; anything else leaves dst as it is.
func (e *envelope) numberInto(dst *int64) error {
	e.Peek()
	start := e.Pos
	if err := e.Skip(); err != nil {
		return err
	}
	if n, err := strconv.ParseInt(string(e.Src[start:e.Pos]), 10, 64); err == nil {
		*dst = n
	}
	return nil
}

func (e *envelope) readBody(r *request) error {
	if e.Peek() != '"' {
		return e.Skip()
	}
	if e.parse != nil && r.contentType != "" && r.contentEncoding == "" {
		if f, err := formOf(r.contentType); err == nil && f == jsonForm {
			if end := e.parse(e.Src, e.Pos+1); end >= 0 {
				e.Pos, r.parsed = end+1, true
				return nil
			}
		}
	}
	body, err := e.string(e.body)
	if err != nil {
		return err
	}
	e.body, r.body = body, body
	return nil
}

// string returns the value of the string at the cursor, in the memory of dst. Unlike
// Scanner.Text it leaves invalid UTF-8 as it is: a body that has some is the client's
// fault, and the parser names the event.
func (e *envelope) string(dst []byte) ([]byte, error) {
	dst, next := jsonscan.Unescape(dst[:0], e.Src, e.Pos+1)
	if next < 0 {
		return nil, errBadString
	}
	e.Pos = next
	return dst, nil
}
