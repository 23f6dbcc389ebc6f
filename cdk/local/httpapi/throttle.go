package httpapi

import (
	"sync"
	"time"
)

// Throttle limits the requests to one route: a token bucket of Burst tokens, to which
// RatePerSecond are added each second. Below 0 either is the account's. A request that finds
// no token gets 429, before its authorizer or its function is invoked.
type Throttle struct {
	RatePerSecond float64
	Burst         int
}

// Unthrottled is the limit of a route that has none of its own. The account's quota, which
// all APIs of an account share, is not emulated.
func Unthrottled() Throttle { return Throttle{-1, -1} }

// bucket is the token bucket of a route.
type bucket struct {
	rate, burst float64

	mu     sync.Mutex
	tokens float64
	at     time.Time // when tokens were added last; zero before the first request
}

// accountBurst is the default quota of an account.
const accountBurst = 5000

// newBucket returns a full bucket, or nil without a limit.
func newBucket(t Throttle) *bucket {
	if t.RatePerSecond < 0 {
		return nil
	}
	burst := float64(t.Burst)
	if t.Burst < 0 {
		burst = accountBurst
	}
	return &bucket{rate: t.RatePerSecond, burst: burst, tokens: burst}
}

// take takes a token, if there is one.
func (b *bucket) take(now time.Time) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.at.IsZero() {
		b.tokens = min(b.burst, b.tokens+b.rate*max(0, now.Sub(b.at).Seconds()))
	}
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
