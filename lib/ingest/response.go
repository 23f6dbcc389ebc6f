package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/problem"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// response is an HTTP response in payload format 2.0.
type response struct {
	StatusCode int               `json:"statusCode"`
	Headers    map[string]string `json:"headers"`
	Body       string            `json:"body"`
}

// rejection is one entry of the list of rejected events.
type rejection struct {
	Index  int    `json:"index"`
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

// result is the body of a 202.
type result struct {
	Accepted  int         `json:"accepted"`
	Rejected  int         `json:"rejected"`
	Errors    []rejection `json:"errors"`
	Truncated bool        `json:"errors_truncated,omitempty"`
}

// accepted renders the response to a request that is not rejected as a whole.
func (h *Handler) accepted(r *request) (int, []byte, error) {
	c := &h.collector
	if c.rejected == 0 {
		return http.StatusAccepted, h.allAccepted(c.batch.Len()), nil
	}
	out := result{
		Accepted:  c.batch.Len(),
		Rejected:  c.rejected,
		Errors:    make([]rejection, len(c.listed)),
		Truncated: c.rejected > len(c.listed),
	}
	for i, f := range c.listed {
		out.Errors[i] = rejection{f.index, f.fault.reason.code(), h.faultText(f)}
	}
	if out.Accepted == 0 {
		extensions := map[string]any{"accepted": out.Accepted, "rejected": out.Rejected, "errors": out.Errors}
		if out.Truncated {
			extensions["errors_truncated"] = true
		}
		return h.problem(r, problem.Document{
			Type:       problem.TypeOf("no-event-accepted"),
			Title:      "No event was accepted",
			Status:     http.StatusUnprocessableEntity,
			Detail:     "All events of the request were rejected; errors lists the reasons.",
			Extensions: extensions,
		}, nil)
	}
	return render(http.StatusAccepted, "application/json", nil, out)
}

// beforeCount renders the response of allAccepted up to the number of events.
func beforeCount() ([]byte, error) {
	headers, err := json.Marshal(headersOf("application/json", nil))
	if err != nil {
		return nil, fmt.Errorf("render the headers: %w", err)
	}
	return append(append([]byte(`{"statusCode":202,"headers":`), headers...), `,"body":"{\"accepted\":`...), nil
}

// headersOf returns the headers of a response, including those that every response has.
func headersOf(contentType string, more map[string]string) map[string]string {
	all := map[string]string{"content-type": contentType}
	for name, value := range lambdahttp.Protection() {
		all[strings.ToLower(name)] = value
	}
	maps.Copy(all, more)
	return all
}

// allAccepted renders the response to a request without rejected events.
func (h *Handler) allAccepted(n int) []byte {
	const after = `,\"rejected\":0,\"errors\":[]}"}`
	out := make([]byte, 0, len(h.beforeCount)+len(after)+len("10000"))
	out = append(out, h.beforeCount...)
	out = strconv.AppendInt(out, int64(n), 10)
	return append(out, after...)
}

// rejected renders the response to a request that is rejected as a whole.
func (h *Handler) rejected(r *request, e *bodyError) (int, []byte, error) {
	var headers map[string]string
	if e.kind == problem.TypeOf("unsupported-encoding") {
		headers = map[string]string{"accept-encoding": "gzip, zstd, identity"} // RFC 9110, section 15.5.16
	}
	if e.status == http.StatusUnauthorized {
		headers = map[string]string{"www-authenticate": `Bearer error="invalid_token"`} // RFC 6750, section 3
	}
	return h.problem(r, problem.Document{Type: e.kind, Status: e.status, Detail: e.detail}, headers)
}

// statusOf maps a publisher's error to an HTTP status by the sentinel that it
// wraps; an error that wraps none of them is internal.
func statusOf(err error) int {
	switch {
	case errors.Is(err, telemetry.ErrUnavailable):
		return http.StatusServiceUnavailable
	case errors.Is(err, telemetry.ErrInvalid):
		return http.StatusBadRequest
	default:
		return http.StatusInternalServerError
	}
}

// failed renders the response to a request that the platform failed to serve. The text
// of the error is only logged.
func (h *Handler) failed(r *request, err error) (int, []byte, error) {
	switch status := statusOf(err); status {
	case http.StatusBadRequest:
		return h.problem(r, problem.Document{
			Type: problem.TypeOf("not-accepted"), Status: status, Detail: "The batch cannot be stored in this form.",
		}, nil)
	case http.StatusServiceUnavailable:
		return h.problem(r, problem.Document{
			Type: problem.TypeOf("unavailable"), Status: status,
			Detail: "The stream is temporarily unavailable. Retry the same request; no event is stored twice.",
		}, map[string]string{"retry-after": h.retryAfter(err)})
	default:
		return h.problem(r, problem.Document{
			Type: problem.TypeOf("internal"), Status: status,
			Detail: "The platform failed to accept the batch. Retry the same request; no event is stored twice.",
		}, nil)
	}
}

// retryAfter returns the value of a Retry-After header, in whole seconds: the wait that
// the error names, or the configured one.
func (h *Handler) retryAfter(err error) string {
	wait := h.config.RetryAfter
	var withWait interface{ RetryAfter() time.Duration }
	if errors.As(err, &withWait) {
		wait = withWait.RetryAfter()
	}
	return strconv.Itoa(max(1, int(math.Ceil(wait.Seconds()))))
}

func (h *Handler) problem(r *request, d problem.Document, headers map[string]string) (int, []byte, error) {
	if r.requestID != "" {
		d.Instance = "urn:insighthub:request:" + r.requestID
	}
	return render(d.Status, problem.ContentType, headers, d)
}

// render returns the status and the response with that status.
func render(status int, contentType string, headers map[string]string, body any) (int, []byte, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return http.StatusInternalServerError, nil, fmt.Errorf("render the body of a %d: %w", status, err)
	}
	out, err := json.Marshal(response{status, headersOf(contentType, headers), string(text)})
	if err != nil {
		return http.StatusInternalServerError, nil, fmt.Errorf("render a %d: %w", status, err)
	}
	return status, out, nil
}
