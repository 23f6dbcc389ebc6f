package http

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/insighthub/insighthub/lib/problem"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// DefaultRetryAfter is what a client is asked to wait when a dependency is down
// and does not say for how long.
const DefaultRetryAfter = 2 * time.Second

// WriteProblem answers with a problem document. 401 and 503 get the header that
// they ask for.
func WriteProblem(w http.ResponseWriter, d problem.Document) {
	body, err := json.Marshal(d)
	if err != nil { // an extension that is no JSON: the rest is still true
		d.Extensions = nil
		body, _ = json.Marshal(d)
	}
	h := w.Header()
	h.Set("Content-Type", problem.ContentType)
	h.Set("Cache-Control", "no-store")
	h.Del("ETag")
	switch d.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		if h.Get("Retry-After") == "" {
			h.Set("Retry-After", strconv.Itoa(int(DefaultRetryAfter.Seconds())))
		}
	}
	w.WriteHeader(d.Status)
	_, _ = w.Write(append(body, '\n'))
}

// Status is the one table from kinds of errors to HTTP status.
func Status(err error) int {
	switch {
	case errors.Is(err, telemetry.ErrInvalid):
		return http.StatusUnprocessableEntity
	case errors.Is(err, telemetry.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, telemetry.ErrConflict):
		return http.StatusConflict
	case errors.Is(err, telemetry.ErrUnavailable):
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// WriteJSON answers with v as JSON.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, err = w.Write(append(body, '\n'))
	return err
}
