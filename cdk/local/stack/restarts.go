package stack

import (
	"context"
	"time"
)

const (
	firstPause = 200 * time.Millisecond
	lastPause  = 5 * time.Second
	// longRun is how long a server has to have run for its next end to be a new affair.
	longRun = time.Minute
)

// restarts paces how a server that ended by itself is started again: at once, then
// with pauses that double, over several ends too.
type restarts struct{ pause time.Duration }

// until calls start until it succeeds, and returns false when ctx ends before that.
// ran is how long the server had run.
func (r *restarts) until(ctx context.Context, ran time.Duration, start func(context.Context) bool) bool {
	if r.pause == 0 || ran > longRun {
		r.pause = firstPause
	}
	for !start(ctx) {
		t := time.NewTimer(r.pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return false
		case <-t.C:
		}
		r.pause = min(2*r.pause, lastPause)
	}
	return true
}
