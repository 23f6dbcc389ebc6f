package host

import "context"

// Flush writes the metrics now and waits for it, for a function that is invoked too
// seldom for the flush of its next invocation to be soon. How it ended is counted.
func (i *Instruments) Flush(ctx context.Context) {
	if i.flusher != nil {
		i.flusher.FlushNow(ctx)
	}
}
