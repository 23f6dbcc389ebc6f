package httpapi

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/insighthub/insighthub/cdk/local/lambda"
)

// API is one HTTP API. It is safe for concurrent use.
type API struct {
	cfg     Config
	router  *router
	buffers sync.Pool // of *[]byte
}

var _ http.Handler = (*API)(nil)

// New returns an API, or all problems of its routes: duplicate routes, invalid paths and
// unknown identity sources.
func New(cfg Config) (*API, error) {
	var problems []error
	caches := make(map[*Authorizer]*cache)
	routes := make([]*route, len(cfg.Routes))
	for i, given := range cfg.Routes {
		r, err := newRoute(given, caches)
		if err != nil {
			problems = append(problems, fmt.Errorf("route %d (%s): %w", i, r.key, err))
		}
		routes[i] = r
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("httpapi.New: %w", err)
	}
	router, err := newRouter(routes)
	if err != nil {
		return nil, fmt.Errorf("httpapi.New: %w", err)
	}
	return &API{cfg: cfg.withDefaults(), router: router}, nil
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := newRequestID()
	w.Header()["Apigw-Requestid"] = []string{id}
	path, ok := a.routePath(r.URL.Path)
	if !ok {
		writeError(w, http.StatusNotFound)
		return
	}
	matched, parameters := a.router.match(r.Method, path)
	if matched == nil {
		writeError(w, http.StatusNotFound)
		return
	}
	now := a.cfg.Now()
	if !matched.bucket.take(now) {
		writeError(w, http.StatusTooManyRequests)
		return
	}
	e := &event{
		api: a, request: r, route: matched, parameters: parameters, id: id, path: path,
		trace: r.Header.Get("X-Amzn-Trace-Id"), sourceIP: hostname(r.RemoteAddr), at: now,
	}
	if r.URL.RawQuery != "" {
		e.query, _ = url.ParseQuery(r.URL.RawQuery) // parameters that cannot be parsed are left out, as in AWS
	}
	if e.trace == "" {
		e.trace = newTrace(e.at)
	}
	authorizerContext, status := a.authorize(r.Context(), e)
	if status != 0 {
		writeError(w, status)
		return
	}
	a.integrate(r.Context(), w, e, authorizerContext)
}

// routePath removes the stage from a path.
func (a *API) routePath(path string) (string, bool) {
	if a.cfg.Stage == defaultStage {
		return path, true
	}
	rest, ok := strings.CutPrefix(path, "/"+a.cfg.Stage)
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	if rest == "" {
		rest = "/"
	}
	return rest, true
}

// integrate invokes the route's function and writes its response.
func (a *API) integrate(ctx context.Context, w http.ResponseWriter, e *event, authorizerContext []byte) {
	body := a.buffer()
	defer a.put(body)
	// Only the recorder of a test does not support a deadline. It is reset after the body:
	// otherwise it would cancel the request's context during the invocation.
	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(time.Now().Add(a.cfg.BodyTimeout))
	var err error
	*body, err = readBody((*body)[:0], e.request)
	_ = connection.SetReadDeadline(time.Time{})
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		writeError(w, http.StatusRequestTimeout)
		return
	case errors.Is(err, errBodyTooLarge):
		writeError(w, http.StatusRequestEntityTooLarge)
		return
	case err != nil: // the client closed the connection
		writeError(w, http.StatusBadRequest)
		return
	}
	e.bodyBytes = len(*body)
	payload := a.buffer()
	defer a.put(payload)
	*payload = e.appendRequest((*payload)[:0], *body, authorizerContext)

	result, status := a.invoke(ctx, e, e.route.Function, e.route.Timeout, *payload)
	if status != 0 {
		writeError(w, status)
		return
	}
	response, err := parseResponse(result)
	if err != nil {
		a.cfg.Log.Error("invalid response of the function", "request", e.id, "route", e.route.key, "error", err)
		writeError(w, http.StatusInternalServerError)
		return
	}
	response.write(w)
}

// invoke returns the function's response, or the status of the error response.
func (a *API) invoke(ctx context.Context, e *event, function Invoker, timeout time.Duration, payload []byte) ([]byte, int) {
	ctx, cancel := context.WithTimeout(lambda.WithTrace(ctx, e.trace), timeout)
	defer cancel()
	result, err := function.Invoke(ctx, payload)
	var status int
	switch {
	case err == nil && result.FunctionError == "":
		return result.Payload, 0
	case err == nil:
		err = fmt.Errorf("function error %s: %s", result.FunctionError, result.Payload)
		status = http.StatusInternalServerError
	case errors.Is(err, lambda.ErrTooLarge):
		status = http.StatusRequestEntityTooLarge
	case errors.Is(err, lambda.ErrThrottled), errors.Is(err, lambda.ErrClosed),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		status = http.StatusServiceUnavailable
	default:
		status = http.StatusInternalServerError
	}
	a.cfg.Log.Error("invocation failed", "request", e.id, "route", e.route.key, "status", status, "error", err)
	return nil, status
}

func (a *API) buffer() *[]byte {
	if b, ok := a.buffers.Get().(*[]byte); ok {
		return b
	}
	return new([]byte)
}

// maxPooledBytes limits the buffers in the pool: the largest request must not stay in
// memory.
const maxPooledBytes = 4 << 20

func (a *API) put(b *[]byte) {
	if cap(*b) <= maxPooledBytes {
		a.buffers.Put(b)
	}
}

var errBodyTooLarge = errors.New("body too large")

// readBody appends the body to dst. It allocates the length that the client declares, up
// to MaxBodyBytes.
func readBody(dst []byte, r *http.Request) ([]byte, error) {
	if r.ContentLength > MaxBodyBytes {
		return dst, errBodyTooLarge
	}
	if r.ContentLength > 0 {
		start := len(dst)
		dst = slices.Grow(dst, int(r.ContentLength))[:start+int(r.ContentLength)]
		_, err := io.ReadFull(r.Body, dst[start:])
		return dst, err
	}
	for {
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, max(4<<10, len(dst)))
		}
		n, err := r.Body.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		switch {
		case len(dst) > MaxBodyBytes:
			return dst, errBodyTooLarge
		case errors.Is(err, io.EOF):
			return dst, nil
		case err != nil:
			return dst, err
		}
	}
}

// writeError writes an error response of the API itself.
func writeError(w http.ResponseWriter, status int) {
	text := http.StatusText(status)
	body := `{"message":"` + text + `"}`
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// newRequestID returns a request id in API Gateway's format: JKJaXmPLvHcESHA=.
func newRequestID() string {
	var b [11]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.URLEncoding.EncodeToString(b[:])
}

func newTrace(at time.Time) string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return "Root=1-" + strconv.FormatInt(at.Unix(), 16) + "-" + hex.EncodeToString(b[:])
}
