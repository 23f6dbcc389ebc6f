// Package background runs work beside a function's invocations: in the background, one
// piece at a time, each within a bound. A function is frozen between invocations and
// gets a moment before its end, so whoever begins work waits a little for it.
package background

import (
	"context"
	"time"
)

// Work is what one owner does beside the invocations. It is not safe for concurrent
// use: the owner's lock guards it, together with what decides whether work is due.
type Work struct {
	last Piece // nil before the first
}

// Piece is work that was begun; it is closed at its end.
type Piece <-chan struct{}

// Begin begins a piece, which ends by its context when the timeout is over. None may be
// under way.
func (w *Work) Begin(ctx context.Context, timeout time.Duration, do func(context.Context)) Piece {
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

// Last returns the last piece that was begun; nil before the first.
func (w *Work) Last() Piece { return w.last }

// Busy reports whether a piece is under way.
func (w *Work) Busy() bool { return w.last != nil && !w.last.ended() }

func (p Piece) ended() bool {
	select {
	case <-p:
		return true
	default:
		return false
	}
}

// Wait reports whether the piece, if there is one, ended before ctx did. It needs no lock.
func (p Piece) Wait(ctx context.Context) bool {
	if p == nil {
		return true
	}
	select {
	case <-p:
		return true
	case <-ctx.Done():
		return false
	}
}
