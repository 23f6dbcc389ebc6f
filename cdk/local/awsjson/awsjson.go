// Package awsjson serves the AWS JSON 1.1 protocol: POST / with the operation in
// X-Amz-Target, and JSON in and out. Signatures are not checked.
package awsjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ContentType of requests and responses.
const ContentType = "application/x-amz-json-1.1"

// requestID is the value of X-Amzn-Requestid, which the emulators do not log.
const requestID = "local"

// reusedBytes is the size up to which a buffer is reused for the next request.
const reusedBytes = 16 << 20

// Operation serves one operation. It appends the response to out and returns the
// result; an empty one is an empty body. Neither slice may be used after it returns. An
// error that is no *Error is logged, and its text is not sent.
type Operation func(request, out []byte) ([]byte, error)

// JSON returns an operation that encodes the document that serve returns; nil is an empty body.
func JSON(serve func(request []byte) (any, error)) Operation {
	return func(request, out []byte) ([]byte, error) {
		document, err := serve(request)
		if err != nil || document == nil {
			return nil, err
		}
		encoded, err := json.Marshal(document)
		return append(out, encoded...), err
	}
}

// Of returns an operation that decodes its request into an In.
func Of[In any](serve func(in In) (any, error)) Operation {
	return JSON(func(request []byte) (any, error) {
		var in In
		if err := Unmarshal(request, &in); err != nil {
			return nil, err
		}
		return serve(in)
	})
}

// Unmarshal decodes a request. Its error is a SerializationException.
func Unmarshal(request []byte, into any) error {
	if json.Unmarshal(request, into) != nil {
		return Errorf(Serialization, "The body is not JSON, or a member has the wrong type.")
	}
	return nil
}

// Seconds returns a time as the protocol writes it: seconds since 1970, with milliseconds.
func Seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// Config of a service.
type Config struct {
	// TargetPrefix is the first part of X-Amz-Target, such as "Kinesis_20131202.".
	TargetPrefix string
	Operations   map[string]Operation
	// MaxBytes is the largest body of a request.
	MaxBytes int
	// Log receives a line for each error that is no *Error; nil discards them.
	Log io.Writer
}

// New returns the HTTP handler of a service.
func New(config Config) http.Handler {
	s := &service{Config: config}
	s.buffers.New = func() any { return new(buffers) }
	return s
}

type service struct {
	Config

	buffers sync.Pool // of *buffers
}

// buffers are the memory of one request.
type buffers struct{ in, out []byte }

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b := s.buffers.Get().(*buffers) //nolint:forcetypeassert // its New returns nothing else
	defer s.release(b)
	out, err := s.serve(b, r)
	status := http.StatusOK
	if err != nil {
		status, out = s.failure(r, err)
	}
	header := w.Header()
	header["Content-Type"] = []string{ContentType}
	header["X-Amzn-Requestid"] = []string{requestID}
	header["Content-Length"] = []string{strconv.Itoa(len(out))}
	w.WriteHeader(status)
	_, _ = w.Write(out) //nolint:gosec // JSON; and an error means that the client is gone
}

func (s *service) release(b *buffers) {
	if cap(b.in) > reusedBytes {
		b.in = nil
	}
	if cap(b.out) > reusedBytes {
		b.out = nil
	}
	s.buffers.Put(b)
}

func (s *service) serve(b *buffers, r *http.Request) ([]byte, error) {
	if r.Method != http.MethodPost {
		return nil, Errorf(UnknownOperation, "The method is %.20s, want POST.", r.Method)
	}
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), s.TargetPrefix)
	if !ok {
		return nil, Errorf(UnknownOperation, "X-Amz-Target does not begin with %s", s.TargetPrefix)
	}
	if v := r.Header.Get("Content-Type"); v != ContentType && !strings.HasPrefix(v, ContentType+";") {
		return nil, Errorf(Serialization, "The content type is %.64q, want %s.", v, ContentType)
	}
	if err := s.read(b, r); err != nil {
		return nil, err
	}
	operation := s.Operations[name]
	if operation == nil {
		return nil, Errorf(UnknownOperation, "The local stack has no operation %.64s.", name)
	}
	out, err := operation(b.in, b.out[:0])
	if cap(out) > cap(b.out) {
		b.out = out
	}
	return out, err
}

// read reads the whole body into in.
func (s *service) read(b *buffers, r *http.Request) error {
	if r.ContentLength > int64(s.MaxBytes) {
		return s.tooLarge()
	}
	b.in = b.in[:0]
	if n := int(r.ContentLength); n > cap(b.in) {
		b.in = make([]byte, 0, n+n/4+512)
	}
	for {
		if len(b.in) == cap(b.in) {
			b.in = append(b.in, make([]byte, 4096)...)[:len(b.in)]
		}
		n, err := r.Body.Read(b.in[len(b.in):cap(b.in)])
		b.in = b.in[:len(b.in)+n]
		if len(b.in) > s.MaxBytes {
			return s.tooLarge()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return Errorf(Serialization, "The body ended early.")
		}
	}
}

func (s *service) tooLarge() error {
	return Errorf(RequestEntityTooLarge, "The body has more than %d bytes.", s.MaxBytes)
}

// failure returns the status and the body of an error, and logs it if its text is not sent.
func (s *service) failure(r *http.Request, err error) (status int, body []byte) {
	var e *Error
	if !errors.As(err, &e) {
		if s.Log != nil {
			fmt.Fprintf(s.Log, "%s: %v\n", r.Header.Get("X-Amz-Target"), err)
		}
		e = Errorf(InternalFailure, "The server failed; its log says why.")
	}
	body, _ = json.Marshal(e) //nolint:errchkjson // two strings
	return e.Status(), body
}
