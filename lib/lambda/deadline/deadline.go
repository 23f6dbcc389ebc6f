// Package deadline ends the work of an invocation before the function's own deadline, so
// that a dependency that hangs still leaves time for a response.
package deadline

import (
	"context"
	"time"
)

// WithMargin returns a context that ends before ctx does: a tenth of the time that is left
// at now is reserved for the response, or for saving what was done. The limit, unless it is
// 0, bounds the work further. With neither a deadline nor a limit the context is ctx, and
// nothing is allocated.
func WithMargin(ctx context.Context, now time.Time, limit time.Duration) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		left := deadline.Sub(now)
		left -= left / 10
		if limit == 0 || left < limit {
			return context.WithDeadline(ctx, now.Add(left))
		}
	}
	if limit == 0 {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, now.Add(limit))
}
