package stack

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// throttle is the rate limit of an API's stage: a token bucket of size burst that is
// refilled with rate tokens a second. Without a token the response is 429, as API Gateway's.
type throttle struct {
	next  http.Handler
	rate  float64
	burst float64
	now   func() time.Time

	mu     sync.Mutex
	tokens float64
	at     time.Time
}

func newThrottle(next http.Handler, rate float64, burst int, now func() time.Time) http.Handler {
	if rate <= 0 {
		return next
	}
	b := max(float64(burst), 1)
	return &throttle{next: next, rate: rate, burst: b, tokens: b, now: now, at: now()}
}

func (t *throttle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if t.take() {
		t.next.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusTooManyRequests)
	_, _ = io.WriteString(w, `{"message":"Too Many Requests"}`) // an error means that the client is gone
}

func (t *throttle) take() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	t.tokens = min(t.burst, t.tokens+t.rate*max(0, now.Sub(t.at).Seconds()))
	t.at = now
	if t.tokens < 1 {
		return false
	}
	t.tokens--
	return true
}
