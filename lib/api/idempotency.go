package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/password"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Idempotency stores the responses to POSTs.
type Idempotency interface {
	// BeginRequest stores a key of the subject. When the key exists already, it returns
	// the response that is stored with it, or telemetry.ErrConflict for another request
	// with the same key and for a request that is still being served.
	BeginRequest(ctx context.Context, subject, key string, request [32]byte, now time.Time) (*directory.StoredResponse, error)
	// EndRequest stores the response; nil deletes the key.
	EndRequest(ctx context.Context, subject, key string, response *directory.StoredResponse) error
}

const maxIdempotencyKey = 255

// serveIdempotent serves a POST that creates something. With an Idempotency-Key the
// response is stored for a day, and the same request with the same key gets it again.
func (h *Handler) serveIdempotent(c *call, r route) error {
	key := c.Header.Get("Idempotency-Key")
	if key == "" {
		return r.serve(c)
	}
	if len(key) > maxIdempotencyKey || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
		return badRequest("Idempotency-Key must be at most %d printable characters of ASCII.", maxIdempotencyKey)
	}
	body, err := lambdahttp.ReadBody(c.w, c.Request, maxBodyBytes)
	if err != nil {
		return err
	}
	c.Body = io.NopCloser(bytes.NewReader(body))
	request := sha256.Sum256(append([]byte(c.Method+" "+c.URL.Path+"?"+c.URL.RawQuery+"\n"), body...))
	if r.secret {
		// What is stored must not be a faster way to the password than its own hash.
		request = password.Digest(request[:], []byte(c.caller.Subject+"\x00"+key))
	}
	stored, err := h.config.Idempotency.BeginRequest(c.Context(), c.caller.Subject, key, request, c.now)
	if errors.Is(err, telemetry.ErrConflict) {
		return &rejection{
			Status: http.StatusConflict,
			Detail: "The Idempotency-Key belongs to another request, or to one that is still being served.",
		}
	}
	if err != nil {
		return err
	}
	if stored != nil {
		c.selected = url.Values{"idempotency_key": {key}, "replayed": {"true"}}
		c.w.Header().Set("Idempotency-Replayed", "true")
		if r.replay != nil && stored.Status < http.StatusBadRequest {
			return r.replay(c, stored)
		}
		maps.Copy(c.w.Header(), stored.Header)
		c.w.WriteHeader(stored.Status)
		_, err := c.w.Write(stored.Body)
		return err
	}
	w := &recorder{statusWriter: statusWriter{ResponseWriter: c.w}}
	inner := *c
	inner.w = w
	err = r.serve(&inner)
	c.selected = inner.selected
	if err != nil {
		h.writeError(&inner, err)
	}
	response := &directory.StoredResponse{Status: w.status, Header: c.w.Header().Clone(), Body: w.body.Bytes()}
	if w.ticket != nil && w.status < http.StatusBadRequest {
		response.Body = w.ticket
	}
	if w.status >= http.StatusInternalServerError {
		response = nil // a retry may succeed
	}
	// The client may have disconnected; its retry finds the response.
	ctx := context.WithoutCancel(c.Context())
	if err := h.config.Idempotency.EndRequest(ctx, c.caller.Subject, key, response); err != nil {
		h.config.Log.WarnContext(ctx, "response to an Idempotency-Key not stored", "error", err)
	}
	return nil
}

// recorder passes a response on and records it.
type recorder struct {
	statusWriter

	body bytes.Buffer
	// ticket is stored in place of the body, for the route's replay.
	ticket []byte
}

// storeTicket stores what the route's replay needs, instead of the response.
func (c *call) storeTicket(v any) {
	if r, ok := c.w.(*recorder); ok {
		r.ticket = []byte(marshal(v))
	}
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(p []byte) (int, error) {
	r.body.Write(p)
	return r.statusWriter.Write(p)
}
