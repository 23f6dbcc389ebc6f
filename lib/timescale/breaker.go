package timescale

import (
	"errors"
	"sync"
	"time"
)

// errOpen is the cause of calls that fail while the circuit breaker is open.
var errOpen = errors.New("circuit breaker is open after repeated failures")

type breakerState uint8

const (
	breakerClosed   breakerState = iota // calls pass
	breakerOpen                         // calls fail at once
	breakerHalfOpen                     // one trial call is in progress
)

// breaker is a circuit breaker: after several failures in a row it lets calls fail at
// once, so that a database that recovers is not flooded with retries. After the
// cool-down it allows one trial call, whose outcome closes or reopens it.
type breaker struct {
	threshold int
	coolDown  time.Duration
	now       func() time.Time

	mu       sync.Mutex
	state    breakerState
	failures int
	opened   time.Time
}

// allow returns nil if a call may start. Each allowed call ends with record or release.
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
		// A trial that never ends (its goroutine died) must not leave the breaker open
		// for ever.
		if b.now().Sub(b.opened) >= 10*b.coolDown {
			b.opened = b.now()
			return nil
		}
	}
	return &Retryable{cause: errOpen}
}

// record counts the outcome of a call; failed means that the database was unavailable.
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

// release ends an allowed call whose outcome says nothing about the database, such as
// one that was canceled; after a trial the next call is the trial.
func (b *breaker) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == breakerHalfOpen {
		b.state, b.opened = breakerOpen, b.opened.Add(-b.coolDown)
	}
}
