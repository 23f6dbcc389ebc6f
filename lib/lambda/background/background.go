// Package background runs work in the background of a function's invocations, one task at
// a time, each with a timeout. Lambda freezes a function between invocations and allows it
// a moment before it ends, so the code that begins a task also waits a little for it.
package background

import (
	"context"
	"time"
)

// Work runs the tasks of one owner. It is not safe for concurrent use: the owner's lock
// guards it, together with the state that decides whether a task is due.
type Work struct {
	last Task // nil before the first
}

// Task is a task that was started; it is closed when the task ends.
type Task <-chan struct{}

// Begin starts a task, whose context ends after the timeout. No other may be running.
func (w *Work) Begin(ctx context.Context, timeout time.Duration, do func(context.Context)) Task {
	ended := make(chan struct{})
	w.last = ended
	go func() {
		defer close(ended)
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		do(ctx)
	}()
	return w.last
}

// Last returns the task that was started last; nil before the first.
func (w *Work) Last() Task { return w.last }

// Busy reports whether a task is running.
func (w *Work) Busy() bool { return w.last != nil && !w.last.ended() }

func (t Task) ended() bool {
	select {
	case <-t:
		return true
	default:
		return false
	}
}

// Wait reports whether the task, if there is one, ended before ctx did. It needs no lock.
func (t Task) Wait(ctx context.Context) bool {
	if t == nil {
		return true
	}
	select {
	case <-t:
		return true
	case <-ctx.Done():
		return false
	}
}
