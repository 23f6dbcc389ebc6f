package stream

import (
	"context"
	"log/slog"
	"time"
)

// Refresher reads a consumer's configuration at an interval, between invocations. It
// is not safe for concurrent use.
type Refresher struct {
	// Interval is the time between two reads. Timeout limits one, since an invocation
	// waits for it.
	Interval, Timeout time.Duration
	Log               *slog.Logger
	Now               func() time.Time

	next time.Time
}

// Refresh calls read if the interval has passed. It logs an error, and calls read again
// after the interval; a read that fails must leave the configuration as it is.
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
