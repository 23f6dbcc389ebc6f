// Package host starts the functions: it reads settings from the environment, logs, writes
// the function's own metrics, receives invocations and shuts down. Its imports are few,
// since each lengthens every cold start.
package host

import (
	"context"
	"log/slog"
	"os"
	"sync"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/insighthub/insighthub/lib/lambda/metrics"
)

// Function is what a command makes of its Host.
type Function struct {
	// Handler handles the invocations. Its payload is valid only until its response has
	// been sent: the runtime reuses the buffer, so what outlives the handler must be copied.
	Handler lambda.Handler
	// Shutdown, unless nil, sends what the handler has collected, before the process ends.
	Shutdown func(ctx context.Context)
	// Close, unless nil, closes what the handler uses, such as the database pool.
	Close func()
}

// Build makes a function. It reads the settings that it needs from Host.Env and returns
// Host.Env.Err, if there is one, before it connects to anything.
type Build func(ctx context.Context, host *Host) (Function, error)

// Main is the main function of a command: it builds the function and receives invocations
// until Lambda sends SIGTERM. It does not return.
//
// Asking Lambda for SIGTERM costs a request to the Extensions API in each cold start. On
// SIGTERM the instance is shut down, and the process exits with status 0.
func Main(build Build) {
	ctx := context.Background()
	log := Logger(os.Getenv)
	instance, err := New(ctx, os.Getenv, log, build)
	if err != nil {
		log.ErrorContext(ctx, "cannot start", "error", err)
		os.Exit(1)
	}
	lambda.StartWithOptions(instance, lambda.WithContext(ctx), lambda.WithEnableSIGTERM(func() {
		instance.Shutdown(ctx)
		// A process that handles SIGTERM no longer ends by it: it would stay until SIGKILL.
		os.Exit(0)
	}))
}

// Instance is one execution environment of a function. Its invocations are counted, and
// the metrics are written while invocations run.
type Instance struct {
	*metrics.Function
	function Function
}

var _ lambda.Handler = (*Instance)(nil)

// New builds a function from its environment. The error names every problem of the
// environment, the host's and the function's own.
func New(ctx context.Context, getenv func(string) string, log *slog.Logger, build Build) (*Instance, error) {
	host := NewHost(getenv, log)
	function, err := build(ctx, host)
	if err != nil {
		return nil, err
	}
	observed, err := host.observe(function.Handler)
	return &Instance{observed, function}, err
}

// Shutdown runs the function's Shutdown and writes the metrics for the last time, both at
// once, since each takes up to 250 ms of the 300 that Lambda allows; then it closes the function.
func (i *Instance) Shutdown(ctx context.Context) {
	shutdown(ctx, i.function.Close, i.function.Shutdown, i.Function.Shutdown)
}

// shutdown runs the senders at once, and last when they are done. Any may be nil.
func shutdown(ctx context.Context, last func(), senders ...func(context.Context)) {
	var all sync.WaitGroup
	for _, send := range senders {
		if send != nil {
			all.Go(func() { send(ctx) })
		}
	}
	all.Wait()
	if last != nil {
		last()
	}
}
