package api

import (
	"context"
	"time"
)

const (
	// patience bounds a request, so that a caller hears of a dependency that hangs
	// while it still listens; an export may use what the function has.
	patience = 10 * time.Second
	// margin of the function's deadline is left to answer in.
	margin = time.Second
)

// patient bounds the work on a request.
func patient(ctx context.Context, long bool) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		// Never so early that nothing can be tried.
		left := time.Until(deadline)
		left = max(left-margin, left/2)
		if !long {
			left = min(left, patience)
		}
		return context.WithTimeout(ctx, left)
	}
	if long {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, patience)
}
