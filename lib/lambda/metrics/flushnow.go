package metrics

import "context"

// FlushNow writes the metrics and waits until that is done, until the flush's timeout has
// passed or ctx ends: for a function that is invoked so rarely that its next flush is far.
func (f *Flusher) FlushNow(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*f.cfg.Timeout)
	defer cancel()
	now := f.cfg.Now()
	f.mu.Lock()
	flush := f.flushes.Last()
	f.mu.Unlock()
	if !flush.Wait(ctx) {
		return
	}
	f.mu.Lock()
	if !f.flushes.Busy() && !f.ended {
		f.begin(ctx, now, f.cfg.Timeout)
	}
	flush = f.flushes.Last()
	f.mu.Unlock()
	flush.Wait(ctx)
}
