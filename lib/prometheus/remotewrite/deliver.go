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

// defaultAttempts bounds the attempts where neither a deadline nor the configuration does.
const defaultAttempts = 10

// maxPause bounds one wait where there is no deadline.
const maxPause = time.Minute

// The names of the messages in content types.
const (
	contentTypeV1 = "application/x-protobuf"
	contentTypeV2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
)

// deliver sends the parts until the receiver has answered with something other
// than "later". An answer that refuses the request for its samples is no error.
func (c *Client) deliver(ctx context.Context, w *write, parts []part, describe bool) (answer, error) {
	body := c.encode(w, parts, describe)
	for attempt := 1; ; attempt++ {
		a, err := c.attempt(ctx, w, body)
		if err == nil && c.speaksOlder(&a) {
			// The samples have not been written; the body must be another.
			c.protocol = V1
			body, attempt = c.encode(w, parts, describe), 0
			continue
		}
		switch {
		case err == nil && a.ok() && c.protocol == V2 && !a.confirmed:
			a.message = "no header says what was written: the receiver seems to speak 1.0 only"
			return answer{}, fmt.Errorf("remote write: %w", a.err())
		case err == nil && (a.ok() || a.refused):
			if a.ok() {
				c.describedNow(w.series, parts, describe)
			}
			return a, nil
		case err == nil && !a.retryable():
			return answer{}, fmt.Errorf("remote write: %w", a.err())
		case err != nil && !isNetwork(err):
			return answer{}, err
		}
		if err == nil {
			err = a.err()
		}
		pause := max(c.backoff(attempt), a.retryAfter)
		if c.exhausted(ctx, attempt) || !c.wait(ctx, pause) {
			return answer{}, &RetryError{Status: a.status, Wait: pause, Attempts: attempt, Err: err}
		}
		w.result.Retries++
	}
}

// speaksOlder reports whether the answer comes from a receiver that knows 1.0 only.
func (c *Client) speaksOlder(a *answer) bool {
	if c.cfg.Protocol != Auto || c.protocol != V2 {
		return false
	}
	if a.confirmed {
		c.proven = true
	}
	return !c.proven && (a.status == http.StatusUnsupportedMediaType || a.status == http.StatusBadRequest || a.ok())
}

func (c *Client) encode(w *write, parts []part, describe bool) []byte {
	var due func(string) bool
	if describe {
		now, seen := c.cfg.Now(), make(map[string]bool)
		due = func(family string) bool {
			at, ok := c.described[family]
			if seen[family] || ok && now.Sub(at) < c.cfg.MetadataInterval {
				return false
			}
			seen[family] = true
			return true
		}
	}
	return c.enc.encode(c.protocol, w.series, parts, due)
}

// describedNow notes that a receiver of 1.0 has the metadata of the parts.
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

// networkError is a failure on the way, before an answer was complete.
type networkError struct{ err error }

func (e *networkError) Error() string { return e.err.Error() }
func (e *networkError) Unwrap() error { return e.err }

func isNetwork(err error) bool {
	_, ok := errors.AsType[*networkError](err)
	return ok
}

// attempt makes one request and reads its answer.
func (c *Client) attempt(ctx context.Context, w *write, body []byte) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.AttemptTimeout)
	defer cancel()
	// The transport may read the body after the answer has come; the buffer
	// is needed for the next request by then.
	payload := &detachable{reader: bytes.NewReader(body)}
	defer payload.detach()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.URL, payload)
	if err != nil {
		return answer{}, fmt.Errorf("remote write: %w", err)
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
		return answer{}, fmt.Errorf("remote write: %w", err)
	}
	w.result.Requests++
	w.result.Bytes += len(body)
	resp, err := c.cfg.HTTP.Do(req)
	if err != nil {
		return answer{}, &networkError{err}
	}
	defer func() { _ = resp.Body.Close() }() // nothing of it is needed any more
	return readAnswer(resp, c.enc.sent, c.cfg.Now()), nil
}

func (c *Client) exhausted(ctx context.Context, attempt int) bool {
	limit := c.cfg.MaxAttempts
	if _, ok := ctx.Deadline(); !ok && limit == 0 {
		limit = defaultAttempts
	}
	return ctx.Err() != nil || limit > 0 && attempt >= limit
}

// backoff draws the wait after an attempt from the upper half of its bound.
func (c *Client) backoff(attempt int) time.Duration {
	ceiling := c.cfg.BackoffCap
	if shift := attempt - 1; shift < 30 {
		ceiling = min(ceiling, c.cfg.BackoffBase<<shift)
	}
	return ceiling/2 + time.Duration(c.cfg.Rand()*float64(ceiling/2))
}

// wait sleeps. It returns false at once when the deadline would come first, or
// when the receiver asks a caller without a deadline for more than maxPause.
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

// detachable is a request body that lets go of its buffer.
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
