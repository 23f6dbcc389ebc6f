package http

import (
	"context"
	"time"
)

// margin of a function's deadline is left to answer in.
const margin = time.Second

// Patient bounds the work on a request, so that a caller hears of a dependency that
// hangs from the function and not, without a word of what to do, from what runs it.
// The bound is most, zero for none, and always before the function's own deadline.
func Patient(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		// Never so early that nothing can be tried.
		left := time.Until(deadline)
		left = max(left-margin, left/2)
		if most == 0 || left < most {
			most = left
		}
	}
	if most == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, most)
}
