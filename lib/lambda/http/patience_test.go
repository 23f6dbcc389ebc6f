package http_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
)

// TestPatient: never beyond what the function has, and something even when that is little.
func TestPatient(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ function, most, want time.Duration }{
		{0, 0, 0},
		{0, 10 * time.Second, 10 * time.Second},
		{29 * time.Second, 10 * time.Second, 10 * time.Second},
		{29 * time.Second, 0, 28 * time.Second},
		{10 * time.Second, 10 * time.Second, 9 * time.Second},
		{time.Second, 10 * time.Second, 500 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx := t.Context()
			if c.function > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, c.function)
				defer cancel()
			}
			ctx, cancel := lambdahttp.Patient(ctx, c.most)
			defer cancel()
			var got time.Duration
			if deadline, ok := ctx.Deadline(); ok {
				got = time.Until(deadline)
			}
			if got != c.want {
				t.Errorf("%+v: got %s", c, got)
			}
		})
	}
}
