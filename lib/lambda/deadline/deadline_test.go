package deadline_test

import (
	"context"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/lambda/deadline"
)

func TestWithMargin(t *testing.T) {
	t.Parallel()
	now := time.Now()
	const none = 0
	for name, c := range map[string]struct{ left, limit, want time.Duration }{
		"a tenth is reserved":      {time.Hour, none, 54 * time.Minute},
		"the limit is shorter":     {29 * time.Second, 10 * time.Second, 10 * time.Second},
		"the deadline is shorter":  {10 * time.Second, 10 * time.Second, 9 * time.Second},
		"little is left":           {time.Second, 10 * time.Second, 900 * time.Millisecond},
		"the deadline has passed":  {-time.Second, none, -time.Second},
		"a limit, and no deadline": {none, 10 * time.Second, 10 * time.Second},
		"neither":                  {none, none, none},
	} {
		parent, cancel := t.Context(), context.CancelFunc(func() {})
		if c.left != none {
			parent, cancel = context.WithDeadline(parent, now.Add(c.left))
		}
		ctx, stop := deadline.WithMargin(parent, now, c.limit)
		end, ok := ctx.Deadline()
		if ok != (c.want != none) || ok && end.Sub(now) != c.want {
			t.Errorf("%s: got a deadline %v: %v from now, want %v", name, ok, end.Sub(now), c.want)
		}
		if stop(); c.want != none && ctx.Err() == nil {
			t.Errorf("%s: got a context that cannot be cancelled", name)
		}
		cancel()
	}
}
