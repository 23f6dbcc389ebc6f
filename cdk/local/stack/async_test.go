package stack

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insighthub/insighthub/cdk/local/httpapi"
	"github.com/insighthub/insighthub/cdk/local/lambda"
	"github.com/insighthub/insighthub/cdk/local/template"
)

// throttledUntil throttles until a time.
type throttledUntil struct {
	at    time.Time
	tries int
}

func (f *throttledUntil) Invoke(context.Context, []byte) (lambda.Result, error) {
	f.tries++
	if time.Now().Before(f.at) {
		return lambda.Result{}, lambda.ErrThrottled
	}
	return lambda.Result{Payload: []byte("1")}, nil
}

// TestAsyncInvocationsWait: an event that finds no concurrency waits in Lambda's queue for up
// to six hours.
func TestAsyncInvocationsWait(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		wait, least, most time.Duration
		tries             int
		err               error
	}{
		"at once":     {0, 0, 0, 1, nil},
		"for minutes": {10 * time.Minute, 10 * time.Minute, 15 * time.Minute, 11, nil},
		"for ever":    {24 * time.Hour, 6 * time.Hour, 6 * time.Hour, 80, lambda.ErrThrottled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				f := &throttledUntil{at: begin.Add(c.wait)}
				result, err := invokeAsync(t.Context(), f, nil)
				if took := time.Since(begin); took < c.least || took > c.most || !errors.Is(err, c.err) || f.tries > c.tries {
					t.Errorf("%q, %v after %v and %d tries; want %v after %v to %v and at most %d tries",
						result.Payload, err, took, f.tries, c.err, c.least, c.most, c.tries)
				}
			})
		})
	}
}

func TestThrottleOfRoute(t *testing.T) {
	t.Parallel()
	stage := template.APIStage{
		Name: "$default", Default: template.Throttle{RateLimit: 5, BurstLimit: 6},
		Routes: map[string]template.Throttle{"GET /a": {RateLimit: 1, BurstLimit: 2}, "GET /b": {RateLimit: -1, BurstLimit: -1}},
	}
	for key, want := range map[string]httpapi.Throttle{
		"GET /a": {RatePerSecond: 1, Burst: 2}, "GET /b": {RatePerSecond: -1, Burst: -1}, "GET /c": {RatePerSecond: 5, Burst: 6},
	} {
		if got := throttleOf(stage, key); *got != want {
			t.Errorf("%s: %v, want %v", key, *got, want)
		}
	}
	if got := throttleOf(template.APIStage{}, "GET /a"); got != nil {
		t.Errorf("without a stage: %v, want no throttle", *got)
	}
}
