package stack

import (
	"context"
	"time"
)

const (
	firstPause = 200 * time.Millisecond
	lastPause  = 5 * time.Second
	// longRun is how long a server has to have run for the pauses to be reset.
	longRun = time.Minute
)

// backoff paces the restarts of a server that ends by itself: at once, then after
// pauses that double, also if it ends again soon.
type backoff struct{ pause time.Duration }

// retry calls start until it succeeds, and returns false if ctx ends first. ran is how
// long the server had run.
func (b *backoff) retry(ctx context.Context, ran time.Duration, start func(context.Context) bool) bool {
	if b.pause == 0 || ran > longRun {
		b.pause = firstPause
	}
	for !start(ctx) {
		t := time.NewTimer(b.pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return false
		case <-t.C:
		}
		b.pause = min(2*b.pause, lastPause)
	}
	return true
}
