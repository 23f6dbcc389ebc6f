package remotewrite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// defaultAttempts limits the attempts when neither a deadline nor the configuration does.
const defaultAttempts = 10

// maxPause limits one wait when there is no deadline.
const maxPause = time.Minute

// The names of the messages in content types.
const (
	contentTypeV1 = "application/x-protobuf"
	contentTypeV2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
)

// deliver sends the parts until the response is not one to retry. A response that rejects
// the request because of its samples is not an error.
func (c *Client) deliver(ctx context.Context, w *write, parts []part, describe bool) (response, error) {
	if err := ctx.Err(); err != nil { // a search may end here
		return response{}, &RetryError{Wait: c.cfg.BackoffBase, Err: err}
	}
	body := c.encode(w, parts, describe)
	for attempt := 1; ; attempt++ {
		r, err := c.attempt(ctx, w, body)
		if err == nil && c.supports1Only(&r) {
			// The samples have not been written; 1.0 needs another body.
			c.protocol = V1
			body, attempt = c.encode(w, parts, describe), 0
			continue
		}
		switch {
		case err == nil && r.ok() && c.protocol == V2 && !r.confirmed:
			r.message = "no header reports what was written: the receiver seems to support 1.0 only"
			return response{}, fmt.Errorf("remote write: %w", r.err())
		case err == nil && (r.ok() || r.rejected):
			if r.ok() {
				c.describedNow(w.series, parts, describe)
			}
			return r, nil
		case err == nil && !r.retryable():
			return response{}, fmt.Errorf("remote write: %w", r.err())
		case err != nil && !isNetwork(err):
			return response{}, err
		}
		if err == nil {
			err = r.err()
		}
		pause := max(c.backoff(attempt), r.retryAfter)
		if c.exhausted(ctx, attempt) || !c.wait(ctx, pause) {
			return response{}, &RetryError{Status: r.status, Wait: pause, Attempts: attempt, Err: err}
		}
		w.result.Retries++
	}
}

// supports1Only reports whether the response comes from a receiver that supports 1.0 only.
func (c *Client) supports1Only(r *response) bool {
	if c.cfg.Protocol != Auto || c.protocol != V2 {
		return false
	}
	if r.confirmed {
		c.confirmed = true
	}
	return !c.confirmed && (r.status == http.StatusUnsupportedMediaType || r.status == http.StatusBadRequest || r.ok())
}

func (c *Client) encode(w *write, parts []part, describe bool) []byte {
	if !describe {
		return c.enc.encode(c.protocol, w.series, parts, nil)
	}
	return c.enc.encode(c.protocol, w.series, parts, c.dueFamilies())
}

// dueFamilies returns a function that reports, once for each family, whether its metadata is
// to be sent.
func (c *Client) dueFamilies() func(family string) bool {
	now, seen := c.cfg.Now(), make(map[string]bool)
	return func(family string) bool {
		at, ok := c.described[family]
		if seen[family] || ok && now.Sub(at) < c.cfg.MetadataInterval {
			return false
		}
		seen[family] = true
		return true
	}
}

// describedNow records that a receiver of 1.0 has the metadata of the parts.
func (c *Client) describedNow(series []Series, parts []part, describe bool) {
	if !describe || c.protocol != V1 {
		return
	}
	now := c.cfg.Now()
	for _, p := range parts {
		s := &series[p.series]
		if s.Metadata == (Metadata{}) {
			continue
		}
		if at, ok := c.described[s.name()]; !ok || now.Sub(at) >= c.cfg.MetadataInterval {
			c.described[s.name()] = now
		}
	}
}

// networkError is a failure before a response was complete.
type networkError struct{ err error }

func (e *networkError) Error() string { return e.err.Error() }
func (e *networkError) Unwrap() error { return e.err }

func isNetwork(err error) bool {
	_, ok := errors.AsType[*networkError](err)
	return ok
}

// attempt makes one request and reads its response.
func (c *Client) attempt(ctx context.Context, w *write, body []byte) (response, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.AttemptTimeout)
	defer cancel()
	// The transport may read the body after the response; the next request reuses the
	// buffer by then.
	payload := &detachable{reader: bytes.NewReader(body)}
	defer payload.detach()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.URL, payload)
	if err != nil {
		return response{}, fmt.Errorf("remote write: %w", err)
	}
	req.ContentLength = int64(len(body))
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	if c.protocol == V1 {
		req.Header.Set("Content-Type", contentTypeV1)
		req.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	} else {
		req.Header.Set("Content-Type", contentTypeV2)
		req.Header.Set("X-Prometheus-Remote-Write-Version", "2.0.0")
	}
	if err := c.cfg.SigV4.Sign(ctx, req, body, c.cfg.Now()); err != nil {
		return response{}, fmt.Errorf("remote write: %w", err)
	}
	w.result.Requests++
	w.result.Bytes += len(body)
	resp, err := c.cfg.HTTP.Do(req)
	if err != nil {
		return response{}, &networkError{err}
	}
	defer func() { _ = resp.Body.Close() }() // the response is read
	return readResponse(resp, c.enc.sent, c.cfg.Now()), nil
}

func (c *Client) exhausted(ctx context.Context, attempt int) bool {
	limit := c.cfg.MaxAttempts
	if _, ok := ctx.Deadline(); !ok && limit == 0 {
		limit = defaultAttempts
	}
	return ctx.Err() != nil || limit > 0 && attempt >= limit
}

// backoff returns the wait after an attempt, random in the upper half of its limit.
func (c *Client) backoff(attempt int) time.Duration {
	ceiling := c.cfg.BackoffCap
	if shift := attempt - 1; shift < 30 {
		ceiling = min(ceiling, c.cfg.BackoffBase<<shift)
	}
	return ceiling/2 + time.Duration(c.cfg.Rand()*float64(ceiling/2))
}

// wait sleeps. It returns false at once when the deadline is earlier, or when there is no
// deadline and the receiver asks for more than maxPause.
func (c *Client) wait(ctx context.Context, d time.Duration) bool {
	deadline, ok := ctx.Deadline()
	if ok && d >= deadline.Sub(c.cfg.Now()) || !ok && d > maxPause {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// detachable is a request body that can release its buffer.
type detachable struct {
	mu     sync.Mutex
	reader *bytes.Reader
}

func (d *detachable) Read(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reader == nil {
		return 0, io.ErrUnexpectedEOF
	}
	return d.reader.Read(p)
}

func (d *detachable) Close() error { return nil }

func (d *detachable) detach() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reader = nil
}
