// Package host is the start-up that the functions share: settings from
// the environment, the logger, their own metrics, and the loop that
// takes invocations. Its imports are few, since each is paid for in every cold start.
package host

import (
	"context"
	"os"
	"slices"

	"github.com/aws/aws-lambda-go/lambda"
)

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
