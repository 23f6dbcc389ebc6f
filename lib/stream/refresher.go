package stream

import (
	"context"
	"log/slog"
	"time"
)

// Refresher reads a consumer's configuration at an interval, between invocations. It
// is not safe for concurrent use.
type Refresher struct {
	// Interval is the time between two readings, Timeout bounds one, for an invocation waits for it.
	Interval, Timeout time.Duration
	Log               *slog.Logger
	Now               func() time.Time

	next time.Time
}

// Refresh calls read when it is time. An error is logged, and tried again after the
// interval: read leaves the configuration as it is then.
func (r *Refresher) Refresh(ctx context.Context, read func(context.Context) error) {
	now := r.Now()
	if now.Before(r.next) {
		return
	}
	r.next = now.Add(r.Interval)
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	if err := read(ctx); err != nil {
		r.Log.LogAttrs(ctx, slog.LevelWarn, "configuration cannot be read, the last one stays", slog.String("error", err.Error()))
	}
}
