package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"maps"
	"net/http"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

const maxIdempotencyKey = 255

// once serves a POST that creates. With an Idempotency-Key the answer is kept for a
// day, and the same request under the same key gets it again.
func (h *Handler) once(c *call, serve endpoint) error {
	key := c.Header.Get("Idempotency-Key")
	if key == "" {
		return serve(c)
	}
	if len(key) > maxIdempotencyKey || printable(key[:min(len(key), 64)]) != key[:min(len(key), 64)] {
		return badRequest("Idempotency-Key: want at most %d printable characters", maxIdempotencyKey)
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.Body, maxBodyBytes))
	if err != nil {
		return &wrong{status: http.StatusRequestEntityTooLarge, text: "the body is too large"}
	}
	c.Body = io.NopCloser(bytes.NewReader(body))
	request := sha256.Sum256(append([]byte(c.Method+" "+c.URL.Path+"?"+c.URL.RawQuery+"\n"), body...))
	kept, err := h.config.Idempotency.BeginRequest(c.Context(), c.caller.Subject, key, request, c.now)
	if errors.Is(err, telemetry.ErrConflict) {
		return &wrong{status: http.StatusConflict, text: "the Idempotency-Key belongs to another request, or to one that is still under way"}
	}
	if err != nil {
		return err
	}
	if kept != nil {
		maps.Copy(c.w.Header(), kept.Header)
		c.w.Header().Set("Idempotency-Replayed", "true")
		c.w.WriteHeader(kept.Status)
		_, err := c.w.Write(kept.Body)
		return err
	}
	w := &keeper{ResponseWriter: c.w}
	inner := *c
	inner.w = w
	err = serve(&inner)
	if err != nil {
		h.answerError(&inner, err)
	}
	answer := &directory.KeptAnswer{Status: w.status, Header: c.w.Header().Clone(), Body: w.body.Bytes()}
	if w.status >= http.StatusInternalServerError {
		answer = nil // it may go better the next time
	}
	// The caller may have gone; the answer is kept for the next time.
	ctx := context.WithoutCancel(c.Context())
	if err := h.config.Idempotency.EndRequest(ctx, c.caller.Subject, key, answer); err != nil {
		h.config.Log.WarnContext(ctx, "an answer could not be kept", "error", err)
	}
	return nil
}

// keeper passes an answer on and keeps a copy.
type keeper struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

// WriteHeader implements http.ResponseWriter.
func (k *keeper) WriteHeader(status int) {
	if k.status == 0 {
		k.status = status
	}
	k.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (k *keeper) Write(p []byte) (int, error) {
	if k.status == 0 {
		k.status = http.StatusOK
	}
	k.body.Write(p)
	return k.ResponseWriter.Write(p)
}
