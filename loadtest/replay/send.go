package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Sender posts events to the HTTP API.
type Sender struct {
	URL string
	// Token returns a bearer token of the gateway; it is called before each request.
	Token  func(context.Context) (string, error)
	Client *http.Client
	// BatchEvents is the most events of one request.
	BatchEvents int
	// Attempts is the most attempts of one request.
	Attempts int
}

// Sum counts the requests, and the events accepted and rejected by all of them.
type Sum struct{ Requests, Accepted, Rejected int }

// Send posts the events in order. It stops at the first request that is rejected, or that
// fails Attempts times. Sending the same events again is safe: duplicates are not stored.
func (s *Sender) Send(ctx context.Context, events []telemetry.Event, progress func(sent int)) (Sum, error) {
	var sum Sum
	for sent := 0; sent < len(events); {
		n := min(s.BatchEvents, len(events)-sent)
		accepted, rejected, err := s.post(ctx, appendJSON(nil, events[sent:sent+n]))
		if err != nil {
			return sum, fmt.Errorf("events %d to %d: %w", sent, sent+n-1, err)
		}
		sent += n
		sum.Requests++
		sum.Accepted += accepted
		sum.Rejected += rejected
		if progress != nil {
			progress(sent)
		}
	}
	return sum, nil
}

func (s *Sender) post(ctx context.Context, body []byte) (accepted, rejected int, err error) {
	for attempt := 1; ; attempt++ {
		var wait time.Duration
		accepted, rejected, wait, err = s.once(ctx, body)
		if err == nil || wait == 0 || attempt >= s.Attempts {
			return accepted, rejected, err
		}
		select {
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// once posts the body. If wait is above zero, a retry after it may succeed.
func (s *Sender) once(ctx context.Context, body []byte) (accepted, rejected int, wait time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		return 0, 0, 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	token, err := s.Token(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := s.Client.Do(req)
	if err != nil {
		return 0, 0, time.Second, err
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	response, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return 0, 0, time.Second, err
	}
	if resp.StatusCode == http.StatusAccepted {
		var a struct{ Accepted, Rejected int }
		if err := json.Unmarshal(response, &a); err != nil {
			return 0, 0, 0, fmt.Errorf("decode response of status 202: %w", err)
		}
		return a.Accepted, a.Rejected, 0, nil
	}
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= http.StatusInternalServerError {
		wait = time.Second
		if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
			wait = time.Duration(n) * time.Second
		}
	}
	return 0, 0, wait, fmt.Errorf("status %d: %.500s", resp.StatusCode, response)
}

func appendJSON(dst []byte, events []telemetry.Event) []byte {
	dst = append(dst, `{"events":[`...)
	for i, e := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"device":`...)
		dst = appendString(dst, string(e.Device))
		dst = append(dst, `,"metric":`...)
		dst = appendString(dst, string(e.Metric))
		dst = append(dst, `,"time":`...)
		dst = strconv.AppendInt(dst, int64(e.Time), 10)
		dst = append(dst, `,"value":`...)
		dst = strconv.AppendFloat(dst, e.Value, 'g', -1, 64)
		dst = append(dst, '}')
	}
	return append(dst, `]}`...)
}

func appendString(dst []byte, s string) []byte {
	b, err := json.Marshal(s)
	if err != nil { // never: a string can always be encoded
		return append(dst, `""`...)
	}
	return append(dst, b...)
}
