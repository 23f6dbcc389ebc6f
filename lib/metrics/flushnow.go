package metrics

import "context"

// FlushNow writes the metrics and waits for it, until the flush's timeout has passed
// or ctx ends: for a function that is invoked too seldom for the next flush to be soon.
func (f *Flusher) FlushNow(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*f.cfg.Timeout)
	defer cancel()
	now := f.cfg.Now()
	f.mu.Lock()
	running := f.running
	f.mu.Unlock()
	if !f.wait(ctx, running) {
		return
	}
	f.mu.Lock()
	if !f.busy() && !f.ended {
		f.begin(ctx, now, f.cfg.Timeout)
	}
	running = f.running
	f.mu.Unlock()
	f.wait(ctx, running)
}
