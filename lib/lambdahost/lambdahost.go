// Package lambdahost is the start-up that the functions share: settings from
// the environment, the logger, the deadline, their own metrics, and the loop that
// takes invocations. Its imports are few, since each is paid for in every cold start.
package lambdahost

import (
	"context"
	"os"
	"slices"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
)

// DefaultMargin is the part of an invocation's time that is kept for reporting what was done.
const DefaultMargin = 0.1

// Start takes invocations until the environment is shut down; it does not
// return. A handler's payload is valid only until its response has been sent:
// the loop reuses the buffer, so what outlives the handler must be copied.
//
// With onShutdown functions, or a handler with a method Shutdown(context.Context),
// which runs before them, Lambda is asked to send SIGTERM before it stops the
// environment; when it comes they run, in order, and the process exits with
// status 0. Lambda allows them about 300 ms. Asking costs a request to the Extensions
// API in each cold start.
func Start(ctx context.Context, handler lambda.Handler, onShutdown ...func()) {
	options := []lambda.Option{lambda.WithContext(ctx)}
	if h, ok := handler.(interface{ Shutdown(ctx context.Context) }); ok {
		onShutdown = slices.Insert(slices.Clone(onShutdown), 0, func() { h.Shutdown(ctx) })
	}
	if len(onShutdown) > 0 {
		// A process that takes SIGTERM no longer ends by it: it would stay until SIGKILL.
		exit := func() { os.Exit(0) }
		options = append(options, lambda.WithEnableSIGTERM(append(slices.Clone(onShutdown), exit)...))
	}
	lambda.StartWithOptions(handler, options...)
}

// WithDeadlineMargin returns a context that ends before ctx does: the given
// fraction (0 to 1) of the time that is left is kept for reporting what was
// done. Without a deadline it returns a context that is merely cancellable.
func WithDeadlineMargin(ctx context.Context, fraction float64) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	margin := time.Duration(float64(time.Until(deadline)) * fraction)
	return context.WithDeadline(ctx, deadline.Add(-margin))
}
