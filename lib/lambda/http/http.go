// Package http lets an http.Handler serve the events of an API Gateway HTTP
// API (payload format 2.0), and tells it who calls.
//
// The authorizer's answer is kept by API Gateway for some time, for all routes. It
// can thus outlive the token that it was given for: a request whose caller has
// lapsed is answered here with 401, before the handler sees it.
package http

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/problem"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// MaxResponseBytes bounds an answer: as base64 with its envelope it fits in the
// 6 MiB of a Lambda response.
const MaxResponseBytes = 4 << 20

// Config sets a Handler up.
type Config struct {
	Handler http.Handler     // required
	Now     func() time.Time // required
}

// Handler is a lambda.Handler over bytes, safe for concurrent use as far as the
// http.Handler behind it is.
type Handler struct{ config Config }

// New returns a Handler.
func New(config Config) (*Handler, error) {
	if config.Handler == nil || config.Now == nil {
		return nil, fmt.Errorf("lambdahttp: %w: want a handler and a clock", telemetry.ErrInvalid)
	}
	return &Handler{config}, nil
}

// event is what of payload format 2.0 is used.
type event struct {
	Version         string            `json:"version"`
	RawPath         string            `json:"rawPath"`
	RawQueryString  string            `json:"rawQueryString"`
	Cookies         []string          `json:"cookies"`
	Headers         map[string]string `json:"headers"`
	Body            string            `json:"body"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
	RequestContext  struct {
		RequestID  string `json:"requestId"`
		DomainName string `json:"domainName"`
		HTTP       struct {
			Method   string `json:"method"`
			SourceIP string `json:"sourceIp"`
		} `json:"http"`
		Authorizer struct {
			Lambda *Caller `json:"lambda"`
		} `json:"authorizer"`
	} `json:"requestContext"`
}

// Invoke serves one event. The error is not nil only when payload is no such event.
func (h *Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var e event
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, fmt.Errorf("lambdahttp: payload: %w", err)
	}
	if e.Version != "2.0" {
		return nil, fmt.Errorf("lambdahttp: payload of version %q, want 2.0", e.Version)
	}
	recorder := newRecorder()
	if caller := e.RequestContext.Authorizer.Lambda; caller != nil && caller.lapsed(h.config.Now()) {
		WriteProblem(recorder, problem.Document{Status: http.StatusUnauthorized, Detail: "the token has expired"})
	} else if r, err := request(ctx, &e); err != nil {
		WriteProblem(recorder, problem.Document{Status: http.StatusBadRequest, Detail: err.Error()})
	} else {
		h.config.Handler.ServeHTTP(recorder, r)
	}
	return recorder.envelope(), nil
}

// request makes the request that the client sent. Its errors are for the client.
func request(ctx context.Context, e *event) (*http.Request, error) {
	body := []byte(e.Body)
	if e.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(e.Body); err != nil {
			return nil, errors.New("the body is not base64")
		}
	}
	ctx = context.WithValue(ctx, requestKey{}, Info{ID: e.RequestContext.RequestID, SourceIP: e.RequestContext.HTTP.SourceIP})
	if caller := e.RequestContext.Authorizer.Lambda; caller != nil {
		ctx = WithCaller(ctx, *caller)
	}
	// API Gateway takes one layer of escapes off a path. What is left of a name that was
	// escaped twice is the second, without which a name could hold no slash. A path with
	// a percent sign and no escape is taken as it is.
	target := &url.URL{Path: e.RawPath, RawQuery: e.RawQueryString}
	if path, err := url.PathUnescape(e.RawPath); err == nil {
		target.Path, target.RawPath = path, e.RawPath
	}
	r, err := http.NewRequestWithContext(ctx, e.RequestContext.HTTP.Method, "/", bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the method is not valid")
	}
	r.URL, r.Host, r.RequestURI = target, e.RequestContext.DomainName, e.RawPath
	for name, value := range e.Headers {
		r.Header.Set(name, value)
	}
	if len(e.Cookies) > 0 {
		r.Header.Set("Cookie", strings.Join(e.Cookies, "; "))
	}
	r.RemoteAddr = e.RequestContext.HTTP.SourceIP + ":0"
	return r, nil
}

// Info is what API Gateway says of a request.
type Info struct{ ID, SourceIP string }

type requestKey struct{}

// InfoOf returns what API Gateway said of the request, or empty texts.
func InfoOf(ctx context.Context) Info {
	info, _ := ctx.Value(requestKey{}).(Info)
	return info
}

// recorder keeps an answer in memory up to MaxResponseBytes.
type recorder struct {
	header  http.Header
	status  int
	body    []byte
	tooLong bool
}

func newRecorder() *recorder { return &recorder{header: make(http.Header)} }

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

var errTooLong = errors.New("lambdahttp: the answer exceeds " + strconv.Itoa(MaxResponseBytes) + " bytes")

// Write implements http.ResponseWriter. It fails once the answer is too long for
// Lambda, and the answer is then a problem document.
func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	if r.tooLong || len(r.body)+len(p) > MaxResponseBytes {
		r.tooLong = true
		return 0, errTooLong
	}
	r.body = append(r.body, p...)
	return len(p), nil
}

// tooLong is what a client gets instead of such an answer.
func tooLong() problem.Document {
	return problem.Document{
		Type: problem.TypeOf("answer-too-long"), Title: "The answer is too long", Status: http.StatusUnprocessableEntity,
		Detail: "the answer exceeds " + strconv.Itoa(MaxResponseBytes) + " bytes; ask for less, a coarser resolution, or an export",
	}
}
