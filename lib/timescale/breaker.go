package timescale

import (
	"errors"
	"sync"
	"time"
)

// errOpen is what the breaker answers while it keeps calls away from the database.
var errOpen = errors.New("circuit breaker is open after repeated failures")

type breakerState uint8

const (
	breakerClosed   breakerState = iota // calls pass
	breakerOpen                         // calls fail at once
	breakerHalfOpen                     // one call is out as a trial
)

// breaker keeps calls away from a database that just failed several times in a
// row, so that a flood of retries does not meet it while it recovers. After the
// cool-down one call is let through; its outcome decides.
type breaker struct {
	threshold int
	coolDown  time.Duration
	now       func() time.Time

	mu       sync.Mutex
	state    breakerState
	failures int
	opened   time.Time
}

// allow reports whether a call may start. Each allowed call ends in record or release.
func (b *breaker) allow() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch b.state {
	case breakerClosed:
		return nil
	case breakerOpen:
		if b.now().Sub(b.opened) >= b.coolDown {
			b.state, b.opened = breakerHalfOpen, b.now()
			return nil
		}
	case breakerHalfOpen:
		// A trial whose outcome never came (its goroutine died) does not keep the
		// breaker shut for ever.
		if b.now().Sub(b.opened) >= 10*b.coolDown {
			b.opened = b.now()
			return nil
		}
	}
	return &Retryable{cause: errOpen}
}

// record takes a call's outcome; failed means that the database was unavailable.
func (b *breaker) record(failed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !failed {
		b.state, b.failures = breakerClosed, 0
		return
	}
	b.failures++
	if b.state == breakerHalfOpen || b.failures >= b.threshold {
		b.state, b.opened = breakerOpen, b.now()
	}
}

// release takes back an allowed call whose outcome says nothing about the
// database; a trial is then open to the next caller.
func (b *breaker) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == breakerHalfOpen {
		b.state, b.opened = breakerOpen, b.opened.Add(-b.coolDown)
	}
}
