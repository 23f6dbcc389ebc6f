package ingest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/insighthub/insighthub/lib/problem"
)

// response is what API Gateway makes an HTTP response from (payload format 2.0).
type response struct {
	StatusCode int               `json:"statusCode"`
	Headers    map[string]string `json:"headers"`
	Body       string            `json:"body"`
}

// rejection is one entry of an answer's list of rejected events.
type rejection struct {
	Index  int    `json:"index"`
	Reason string `json:"reason"`
}

// result is the body of a 202.
type result struct {
	Accepted  int         `json:"accepted"`
	Rejected  int         `json:"rejected"`
	Errors    []rejection `json:"errors"`
	Truncated bool        `json:"errors_truncated,omitempty"`
}

// answer renders the outcome of a request whose envelope was right.
func (h *Handler) answer(r *request) ([]byte, error) {
	c := &h.collector
	if c.rejected == 0 {
		return allAccepted(c.batch.Len()), nil
	}
	out := result{
		Accepted:  c.batch.Len(),
		Rejected:  c.rejected,
		Errors:    make([]rejection, len(c.listed)),
		Truncated: c.rejected > len(c.listed),
	}
	for i, f := range c.listed {
		out.Errors[i] = rejection{f.index, h.faultText(f.fault)}
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
			Detail:     "each of the request's events was rejected",
			Extensions: extensions,
		}, nil)
	}
	return render(http.StatusAccepted, "application/json", nil, out)
}

// allAccepted renders the usual answer.
func allAccepted(n int) []byte {
	const before, after = `{"statusCode":202,"headers":{"content-type":"application/json"},"body":"{\"accepted\":`, `,\"rejected\":0,\"errors\":[]}"}`
	out := make([]byte, 0, len(before)+len(after)+len("10000"))
	out = append(out, before...)
	out = strconv.AppendInt(out, int64(n), 10)
	return append(out, after...)
}

// refused renders the answer to a request that is refused as a whole.
func (h *Handler) refused(r *request, e *bodyError) ([]byte, error) {
	var headers map[string]string
	if e.kind == problem.TypeOf("unsupported-encoding") {
		headers = map[string]string{"accept-encoding": "gzip, zstd, identity"} // RFC 9110, section 15.5.16
	}
	return h.problem(r, problem.Document{Type: e.kind, Status: e.status, Detail: e.detail}, headers)
}

// failed renders the answer to a request that the platform failed to serve;
// what an error of ours says stays in the log.
func (h *Handler) failed(r *request, err error) ([]byte, error) {
	switch status := problem.StatusOf(err); status {
	case http.StatusBadRequest:
		return h.problem(r, problem.Document{
			Type: problem.TypeOf("not-accepted"), Status: status, Detail: "the batch can not be stored in this form",
		}, nil)
	case http.StatusServiceUnavailable:
		seconds := max(1, int(h.config.RetryAfter.Seconds()))
		return h.problem(r, problem.Document{
			Type: problem.TypeOf("unavailable"), Status: status,
			Detail: "the stream does not accept events at the moment; send the same batch again, nothing is stored twice",
		}, map[string]string{"retry-after": strconv.Itoa(seconds)})
	default:
		return h.problem(r, problem.Document{
			Type: problem.TypeOf("internal"), Status: http.StatusInternalServerError,
			Detail: "the platform failed to accept the batch; send the same batch again, nothing is stored twice",
		}, nil)
	}
}

func (h *Handler) problem(r *request, d problem.Document, headers map[string]string) ([]byte, error) {
	if r.requestID != "" {
		d.Instance = "urn:insighthub:request:" + r.requestID
	}
	return render(d.Status, problem.ContentType, headers, d)
}

func render(status int, contentType string, headers map[string]string, body any) ([]byte, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("render the body of a %d: %w", status, err)
	}
	all := map[string]string{"content-type": contentType}
	for name, value := range headers {
		all[name] = value
	}
	out, err := json.Marshal(response{status, all, string(text)})
	if err != nil {
		return nil, fmt.Errorf("render a %d: %w", status, err)
	}
	return out, nil
}
