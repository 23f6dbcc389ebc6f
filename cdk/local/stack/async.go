package stack

import (
	"context"
	"errors"
	"time"

	"github.com/insighthub/insighthub/cdk/local/lambda"
)

// The queue of Lambda's asynchronous invocations: an event that finds no concurrency is
// tried again, after a pause that doubles, until it is six hours old. Such a try is not one
// of the attempts, which are those of a function that fails.
const (
	firstAsyncPause = time.Second
	lastAsyncPause  = 5 * time.Minute
	maxEventAge     = 6 * time.Hour
)

// invoker invokes a function.
type invoker interface {
	Invoke(ctx context.Context, payload []byte) (lambda.Result, error)
}

// invokeAsync invokes a function as EventBridge does, and waits for the result.
func invokeAsync(ctx context.Context, f invoker, event []byte) (lambda.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, maxEventAge)
	defer cancel()
	for pause := firstAsyncPause; ; pause = min(2*pause, lastAsyncPause) {
		result, err := f.Invoke(ctx, event)
		if !errors.Is(err, lambda.ErrThrottled) {
			return result, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return result, err
		case <-timer.C:
		}
	}
}
