// Package eventually waits, in tests, for a condition that another goroutine or
// process brings about.
//
// The timeout is far longer than any machine needs, so that a slow one does not fail a
// test: it is there to report what never happened, not to measure.
package eventually

import (
	"errors"
	"fmt"
	"time"
)

// Timeout is the longest that a condition is waited for.
const Timeout = 3 * time.Minute

// Pauses between two checks: they double from the first to the last.
const (
	firstPause = time.Millisecond
	lastPause  = 100 * time.Millisecond
)

// TB is the part of testing.TB that is used here.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

// True waits until condition returns true, and fails the test with what was expected
// when Timeout is over. Like t.Fatalf it is called from the test's goroutine.
func True(t TB, what string, condition func() bool) {
	t.Helper()
	wait(t, what, func() error {
		if condition() {
			return nil
		}
		return errors.New("the condition is false")
	})
}

// NoError waits until check returns nil. When Timeout is over, the failure holds the
// last error, which says what was seen instead.
func NoError(t TB, what string, check func() error) {
	t.Helper()
	wait(t, what, check)
}

// Equal waits until get returns want. When Timeout is over, the failure holds the last value.
func Equal[V comparable](t TB, what string, want V, get func() V) {
	t.Helper()
	wait(t, what, func() error {
		if got := get(); got != want {
			return fmt.Errorf("got %v, want %v", got, want)
		}
		return nil
	})
}

func wait(t TB, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(Timeout)
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v; last: %v", what, Timeout, err)
			return
		}
		time.Sleep(pause)
	}
}
