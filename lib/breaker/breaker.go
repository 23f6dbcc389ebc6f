// Package breaker decides whether a dependency that fails is called: a circuit breaker that
// opens by the share of failures in a span of time, and after a single timeout that a probe
// confirms.
//
// A dependency that refuses costs its callers milliseconds, one that hangs costs each of them
// a whole timeout. So refusals are counted, and a timeout raises a suspicion at once: the
// next caller probes first, with a short timeout, and the others go on. A dependency that is
// slow but responds to the probe stays in use.
package breaker

import (
	"cmp"
	"errors"
	"sync"
	"time"
)

// ErrOpen is the cause of calls that fail at once.
var ErrOpen = errors.New("circuit breaker is open after failures")

// Outcome is how a call ended.
type Outcome uint8

// The outcomes.
const (
	Responded Outcome = iota // the dependency responded, with an error or not
	Failed                   // it refused, or the connection was lost
	TimedOut                 // it did not respond in time
	Unknown                  // the caller canceled: the call says nothing
)

// Config of a Breaker. Zero values mean the defaults in the comments.
type Config struct {
	// Failures is how many calls at least, and Share which part of all, must have failed in
	// Window to open.
	Failures int           // 5
	Share    float64       // 0.5
	Window   time.Duration // 10 s
	// CoolDown is from a failed probe to the next.
	CoolDown time.Duration // 1 s
	Now      func() time.Time
}

type state uint8

const (
	closed    state = iota // calls pass
	suspected              // a call timed out: calls pass, and one probes
	open                   // calls fail at once, and one probes after each cool-down
)

const slots = 10 // of a window

type slot struct {
	number        int64 // of the slot since 1970
	calls, failed int
}

// Breaker is safe for concurrent use.
type Breaker struct {
	config Config

	mu      sync.Mutex
	state   state
	since   time.Time // of open: when the last probe failed
	probing time.Time // when the probe in progress began; zero without one
	slots   [slots]slot
}

// New returns a closed Breaker.
func New(config Config) *Breaker {
	config.Failures = cmp.Or(config.Failures, 5)
	config.Share = cmp.Or(config.Share, 0.5)
	config.Window = cmp.Or(config.Window, 10*time.Second)
	config.CoolDown = cmp.Or(config.CoolDown, time.Second)
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Breaker{config: config}
}

// Allow returns ErrOpen if a call is to fail at once. If probe is set the caller probes the
// dependency first and reports by Probed. An allowed call ends with Record.
func (b *Breaker) Allow() (probe bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.config.Now()
	// A probe that never ends (its process was frozen) is given up.
	free := b.probing.IsZero() || now.Sub(b.probing) >= 10*b.config.CoolDown
	switch b.state {
	case suspected:
		probe = free
	case open:
		if !free || now.Sub(b.since) < b.config.CoolDown {
			return false, ErrOpen
		}
		probe = true
	case closed:
	}
	if probe {
		b.probing = now
	}
	return probe, nil
}

// Probed ends a probe: if the dependency responded the breaker closes, otherwise it opens.
// Unknown leaves the probe to the next caller.
func (b *Breaker) Probed(outcome Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = time.Time{}
	switch outcome {
	case Responded:
		b.state, b.slots = closed, [slots]slot{}
	case Failed, TimedOut:
		b.state, b.since = open, b.config.Now()
	case Unknown:
	}
}

// Record counts the outcome of a call.
func (b *Breaker) Record(outcome Outcome) {
	if outcome == Unknown {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.config.Now()
	width := b.config.Window / slots
	number := now.UnixNano() / int64(width)
	at := &b.slots[number%slots]
	if at.number != number {
		*at = slot{number: number}
	}
	at.calls++
	if outcome == Responded {
		return
	}
	at.failed++
	if b.state == open {
		return // a call that began before
	}
	calls, failed := 0, 0
	for _, s := range b.slots {
		if number-s.number < slots {
			calls, failed = calls+s.calls, failed+s.failed
		}
	}
	switch {
	case failed >= b.config.Failures && float64(failed) >= b.config.Share*float64(calls):
		b.state, b.since = open, now
	case outcome == TimedOut && b.state == closed:
		b.state = suspected
	}
}
