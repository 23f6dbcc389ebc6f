package kinesis

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

const (
	targetPrefix = "Kinesis_20131202."
	contentType  = "application/x-amz-json-1.1"
	// maxBody is the base64 of the largest PutRecords with its keys, and room for the rest.
	maxBody = 24 << 20
	// keepBuffer is the largest buffer that is kept for the next request.
	keepBuffer = 16 << 20
)

// api answers requests of the awsjson 1.1 protocol.
type api struct {
	server  *Server
	scratch sync.Pool // of *scratch
	actions map[string]action
}

// action serves one operation whose request is small: it returns what is to be
// encoded as JSON, or nil for an empty body.
type action func(body []byte) (any, error)

// scratch is the memory of one request.
type scratch struct {
	in, out []byte
	put     putRequest
	results []PutResult
}

// Handler returns the HTTP face of the server: POST / with X-Amz-Target, as the
// AWS SDKs, the command line and npm clients send it. Signatures are not checked.
func (s *Server) Handler() http.Handler {
	a := &api{server: s}
	a.scratch.New = func() any { return new(scratch) }
	a.actions = s.actions()
	return a
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m := a.scratch.Get().(*scratch) //nolint:forcetypeassert // its New makes nothing else
	defer a.release(m)
	out, err := a.serve(m, r)
	header := w.Header()
	header["Content-Type"] = []string{contentType}
	header["X-Amzn-Requestid"] = []string{"local"}
	status := http.StatusOK
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			fmt.Fprintf(a.server.cfg.Log, "kinesis: %s: %v\n", r.Header.Get("X-Amz-Target"), err)
			e = &Error{InternalFailure, internalMessage}
		}
		status = e.status()
		out, _ = json.Marshal(struct { //nolint:errchkjson // two strings
			Type    ErrorType `json:"__type"`
			Message string    `json:"message"`
		}{e.Type, e.Message})
	}
	header["Content-Length"] = []string{strconv.Itoa(len(out))}
	w.WriteHeader(status)
	_, _ = w.Write(out) // the client has gone: nobody is left to tell
}

func (a *api) release(m *scratch) {
	if cap(m.in) > keepBuffer {
		m.in = nil
	}
	if cap(m.out) > keepBuffer {
		m.out = nil
	}
	clear(m.results)
	m.put.reset()
	a.scratch.Put(m)
}

func (a *api) serve(m *scratch, r *http.Request) ([]byte, error) {
	if r.Method != http.MethodPost {
		return nil, errorf(UnknownOperation, "only POST is served")
	}
	operation, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	if !ok {
		return nil, errorf(UnknownOperation, "X-Amz-Target names no operation of %s", strings.TrimSuffix(targetPrefix, "."))
	}
	if v := r.Header.Get("Content-Type"); v != contentType && !strings.HasPrefix(v, contentType+";") {
		return nil, errorf(Serialization, "content type %.64q is not served, only %s", v, contentType)
	}
	if err := m.read(r); err != nil {
		return nil, err
	}
	switch operation {
	case "PutRecords":
		return a.putRecords(m)
	case "PutRecord":
		return a.putRecord(m)
	case "GetRecords":
		return a.getRecords(m)
	}
	act, ok := a.actions[operation]
	if !ok {
		return nil, errorf(UnknownOperation, "%.64s is not served by the local stack", operation)
	}
	v, err := act(m.in)
	if err != nil || v == nil {
		return nil, err
	}
	return json.Marshal(v)
}

// read fills in with the body, all of it, before anything is answered.
func (m *scratch) read(r *http.Request) error {
	tooLarge := errorf(RequestEntityTooLarge, "the body is larger than %d bytes", maxBody)
	if r.ContentLength > maxBody {
		return tooLarge
	}
	m.in = m.in[:0]
	if n := int(r.ContentLength); n > cap(m.in) {
		m.in = make([]byte, 0, n+n/4+512)
	}
	for {
		if len(m.in) == cap(m.in) {
			m.in = append(m.in, make([]byte, 4096)...)[:len(m.in)]
		}
		n, err := r.Body.Read(m.in[len(m.in):cap(m.in)])
		m.in = m.in[:len(m.in)+n]
		if len(m.in) > maxBody {
			return tooLarge
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errorf(Serialization, "the body ended early")
		}
	}
}

// unmarshal reads the small body of an operation.
func unmarshal(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return &Error{Serialization, serializationMsg}
	}
	return nil
}

// streamRef names a stream by name, by ARN or by both.
type streamRef struct {
	StreamName string
	StreamARN  string
}

// name returns the stream's name.
func (r streamRef) name() (string, error) {
	if r.StreamARN == "" {
		if r.StreamName == "" {
			return "", errorf(InvalidArgument, "StreamName and StreamARN are both missing: one of them must name the stream.")
		}
		if !validStreamName(r.StreamName) {
			return "", invalid(r.StreamName, "streamName", "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+")
		}
		return r.StreamName, nil
	}
	_, name, ok := strings.Cut(r.StreamARN, ":stream/")
	if !ok || !validStreamName(name) {
		return "", invalid(r.StreamARN, "streamARN", `Member must satisfy regular expression pattern: arn:aws.*:kinesis:.*:\d{12}:stream/\S+`)
	}
	if r.StreamName != "" && r.StreamName != name {
		return "", errorf(InvalidArgument, "StreamName %s and StreamARN %s name two streams.", r.StreamName, r.StreamARN)
	}
	return name, nil
}

// lookup returns the stream that r names.
func (s *Server) lookup(r streamRef) (*stream, error) {
	name, err := r.name()
	if err != nil {
		return nil, err
	}
	return s.find(name)
}

// seconds is how the protocol writes a time.
func seconds(t time.Time) json.Number {
	return json.Number(strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64))
}
