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

// DefaultRetryAfter is the Retry-After of a 503 or 429 whose handler has not set one.
const DefaultRetryAfter = 2 * time.Second

// WriteProblem responds with a problem document. 401, 429 and 503 get the header that HTTP
// wants with them.
func WriteProblem(w http.ResponseWriter, d problem.Document) {
	body, err := json.Marshal(d)
	if err != nil { // an extension cannot be encoded: send the rest
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

// WriteError responds with a Rejection, or as Status says.
func WriteError(w http.ResponseWriter, err error) {
	if r, ok := errors.AsType[*Rejection](err); ok {
		WriteProblem(w, r.Problem())
		return
	}
	WriteProblem(w, problem.Document{Status: Status(err)})
}

// Status returns the HTTP status for the kind of an error.
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

// WriteJSON responds with v as JSON.
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
