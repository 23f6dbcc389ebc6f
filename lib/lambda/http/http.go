// Package http serves the events of an API Gateway HTTP API (payload format 2.0) by an
// http.Handler, and passes the authenticated caller on to it.
//
// API Gateway caches the authorizer's response for some time, for all routes, and so
// possibly for longer than the token is valid: if the token has expired, the response is
// 401, and the handler is not called. The same holds for a token that was denied since; while
// it is not known which tokens are denied, the response is 503.
package http

import (
	"bytes"
	"cmp"
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
	"unicode"
	"unicode/utf8"

	"github.com/insighthub/insighthub/lib/denylist"
	"github.com/insighthub/insighthub/lib/problem"
)

// MaxResponseBytes bounds a response: as base64 with its envelope it fits in the 6 MiB of
// a Lambda response.
const MaxResponseBytes = 4 << 20

// Config configures a Handler.
type Config struct {
	Handler http.Handler
	Now     func() time.Time
	// Denials are none by default.
	Denials denylist.Denials
	// Revoked, unless nil, is called for each request that is rejected because its token was
	// denied. It must not block.
	Revoked func(caller *Caller, info Info)
}

// Handler is a lambda.Handler over bytes. It is safe for concurrent use if its
// http.Handler is.
type Handler struct{ config Config }

// New returns a Handler.
func New(config Config) *Handler {
	config.Denials = cmp.Or[denylist.Denials](config.Denials, denylist.Nothing{})
	return &Handler{config}
}

// event has the members of payload format 2.0 that are used.
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

func (e *event) info() Info {
	return Info{ID: e.RequestContext.RequestID, SourceIP: e.RequestContext.HTTP.SourceIP}
}

// Invoke serves one event. It returns an error only if the payload is not such an event.
func (h *Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var e event
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, fmt.Errorf("lambdahttp: payload: %w", err)
	}
	if e.Version != "2.0" {
		return nil, fmt.Errorf("lambdahttp: payload version: got %q, want 2.0", e.Version)
	}
	recorder := newRecorder()
	if status, detail := h.accept(ctx, &e); status != 0 {
		WriteProblem(recorder, problem.Document{Status: status, Detail: detail})
	} else if r, rejection := request(ctx, &e); rejection != nil {
		WriteProblem(recorder, *rejection)
	} else {
		h.config.Handler.ServeHTTP(recorder, r)
	}
	return recorder.envelope(), nil
}

// accept returns the status and the detail of the response to a caller whose token is no
// longer accepted; 0 for any other, and for none.
func (h *Handler) accept(ctx context.Context, e *event) (status int, detail string) {
	caller := e.RequestContext.Authorizer.Lambda
	if caller == nil {
		return 0, ""
	}
	if caller.expired(h.config.Now()) {
		return http.StatusUnauthorized, "The token has expired."
	}
	denied, err := h.config.Denials.Denied(ctx, caller.token())
	switch {
	case denied:
		if h.config.Revoked != nil {
			h.config.Revoked(caller, e.info())
		}
		return http.StatusUnauthorized, "The token was revoked. Log in again."
	case err != nil:
		return http.StatusServiceUnavailable, "It is not known whether the token was revoked."
	default:
		return 0, ""
	}
}

// request returns the request that the client sent, or the problem with it.
func request(ctx context.Context, e *event) (r *http.Request, rejection *problem.Document) {
	bad := func(detail string) (*http.Request, *problem.Document) {
		return nil, &problem.Document{Status: http.StatusBadRequest, Detail: detail}
	}
	body := []byte(e.Body)
	if e.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(e.Body); err != nil {
			return bad("The body is not valid base64.")
		}
	}
	ctx = context.WithValue(ctx, requestKey{}, e.info())
	if caller := e.RequestContext.Authorizer.Lambda; caller != nil {
		ctx = WithCaller(ctx, *caller)
	}
	// API Gateway decodes one layer of percent-encoding. A name with a slash is encoded
	// twice, and the second layer is left here. A path that is not percent-encoded is
	// used as it is.
	target := &url.URL{Path: e.RawPath, RawQuery: e.RawQueryString}
	if path, err := url.PathUnescape(e.RawPath); err == nil {
		target.Path, target.RawPath = path, e.RawPath
	}
	if strings.ContainsRune(e.RawPath, utf8.RuneError) || !validPath(target.Path) {
		none := noResource()
		return nil, &none
	}
	r, err := http.NewRequestWithContext(ctx, e.RequestContext.HTTP.Method, "/", bytes.NewReader(body))
	if err != nil {
		return bad("The method is not valid.")
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

// validPath reports whether a resource may have the path: no name has control characters or
// bytes that are not UTF-8. API Gateway replaces such bytes by U+FFFD when it decodes the
// path; a name that has that character is encoded twice, and is rejected here in the first
// layer only.
func validPath(path string) bool {
	return utf8.ValidString(path) && !strings.ContainsFunc(path, unicode.IsControl)
}

// Info is what API Gateway reports of a request.
type Info struct{ ID, SourceIP string }

type requestKey struct{}

// InfoOf returns the Info of a request, or a zero Info.
func InfoOf(ctx context.Context) Info {
	info, _ := ctx.Value(requestKey{}).(Info)
	return info
}

// recorder is a ResponseWriter that holds up to MaxResponseBytes in memory.
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

var errTooLong = errors.New("lambdahttp: the response exceeds " + strconv.Itoa(MaxResponseBytes) + " bytes")

// Write implements http.ResponseWriter. It fails once the response is too long for Lambda;
// the client then gets a problem document.
func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	if r.tooLong || len(r.body)+len(p) > MaxResponseBytes {
		r.tooLong = true
		return 0, errTooLong
	}
	r.body = append(r.body, p...)
	return len(p), nil
}

// tooLong is the problem document in place of a response that is too long.
func tooLong() problem.Document {
	return problem.Document{
		Type: problem.TypeOf("answer-too-long"), Title: "The response is too long", Status: http.StatusUnprocessableEntity,
		Detail: "The response exceeds " + strconv.Itoa(MaxResponseBytes) + " bytes. " +
			"Request a shorter range, a coarser resolution, or an export.",
	}
}
