package kinesis

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/insighthub/insighthub/cdk/local/awsjson"
)

const (
	targetPrefix = "Kinesis_20131202."
	contentType  = awsjson.ContentType
	// maxBody is the base64 of the largest PutRecords with its keys, and some more.
	maxBody = 24 << 20
)

// api serves the operations.
type api struct {
	server *Server
	puts   sync.Pool // of *putMemory
}

// action serves one operation whose request and response are small: it returns the
// document to encode, or nil for an empty body.
type action func(body []byte) (any, error)

// putMemory is reused by the requests that put records.
type putMemory struct {
	put     putRequest
	results []PutResult
}

// Handler returns the HTTP API: POST / with X-Amz-Target, as the AWS SDKs, the command
// line and npm clients send it. Signatures are not checked.
func (s *Server) Handler() http.Handler {
	a := newAPI(s)
	operations := map[string]awsjson.Operation{
		"PutRecords": a.putting(a.putRecords), "PutRecord": a.putting(a.putRecord), "GetRecords": a.getRecords,
	}
	for name, act := range s.actions() {
		operations[name] = awsjson.JSON(act)
	}
	return awsjson.New(awsjson.Config{TargetPrefix: targetPrefix, Operations: operations, MaxBytes: maxBody, Log: s.cfg.Log})
}

func newAPI(s *Server) *api {
	a := &api{server: s}
	a.puts.New = func() any { return new(putMemory) }
	return a
}

// putting returns an operation that puts records, with its memory from the pool.
func (a *api) putting(serve func(m *putMemory, body, out []byte) ([]byte, error)) awsjson.Operation {
	return func(body, out []byte) ([]byte, error) {
		m := a.puts.Get().(*putMemory) //nolint:forcetypeassert // its New returns nothing else
		defer func() {
			clear(m.results)
			m.put.reset()
			a.puts.Put(m)
		}()
		return serve(m, body, out)
	}
}

// unmarshal decodes the small body of an operation.
func unmarshal(body []byte, into any) error { return awsjson.Unmarshal(body, into) }

// streamRef identifies a stream by name, by ARN or by both.
type streamRef struct {
	StreamName string
	StreamARN  string
}

// name returns the stream's name.
func (r streamRef) name() (string, error) {
	if r.StreamARN == "" {
		if r.StreamName == "" {
			return "", errorf(InvalidArgument, "StreamName or StreamARN is required.")
		}
		if !validStreamName(r.StreamName) {
			return "", invalid(r.StreamName, "streamName", "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+")
		}
		return r.StreamName, nil
	}
	_, name, ok := strings.Cut(r.StreamARN, ":stream/")
	if !ok || !validStreamName(name) {
		return "", invalid(r.StreamARN, "streamARN",
			`Member must satisfy regular expression pattern: arn:aws.*:kinesis:.*:\d{12}:stream/\S+`)
	}
	if r.StreamName != "" && r.StreamName != name {
		return "", errorf(InvalidArgument, "StreamName %s and StreamARN %s are of different streams.", r.StreamName, r.StreamARN)
	}
	return name, nil
}

// lookup returns the stream that r identifies.
func (s *Server) lookup(r streamRef) (*stream, error) {
	name, err := r.name()
	if err != nil {
		return nil, err
	}
	return s.find(name)
}

// seconds returns a time in the protocol's form, seconds since the epoch.
func seconds(t time.Time) json.Number {
	return json.Number(strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64))
}
