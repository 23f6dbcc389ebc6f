package lambda

import (
	"context"
	"errors"
	"slices"
	"time"
)

// waiter is an invocation that waits for concurrency.
type waiter struct {
	granted chan struct{} // closed when the invocation may start
}

// acquire acquires concurrency for one invocation: immediately, or in turn within MaxWait
// if it is the emulator's limit that is reached. Invocations that wait for their turn would
// run in Lambda, so they count against a reserved concurrency.
func (f *Function) acquire(ctx context.Context) error {
	f.mu.Lock()
	reserved := f.cfg.ReservedConcurrency
	switch {
	case f.closed:
		f.mu.Unlock()
		return ErrClosed
	case reserved >= 0 && f.inFlight+len(f.waiting) >= reserved:
		f.counts.throttles++
		f.mu.Unlock()
		return ErrThrottled
	case f.inFlight < f.cfg.MaxConcurrency:
		f.inFlight++
		f.mu.Unlock()
		return nil
	case f.cfg.MaxWait == 0:
		f.counts.throttles++
		f.mu.Unlock()
		return ErrThrottled
	}
	w := &waiter{granted: make(chan struct{})}
	f.waiting = append(f.waiting, w)
	f.mu.Unlock()

	timer := time.NewTimer(f.cfg.MaxWait)
	defer timer.Stop()
	var err error
	select {
	case <-w.granted:
		return nil
	case <-timer.C:
		err = ErrThrottled
	case <-ctx.Done():
		err = ctx.Err()
	case <-f.stop:
		err = ErrClosed
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.Index(f.waiting, w); i >= 0 {
		f.waiting = slices.Delete(f.waiting, i, i+1)
	} else {
		f.releaseConcurrency() // it was granted in the meantime
	}
	if errors.Is(err, ErrThrottled) {
		f.counts.throttles++
	}
	return err
}

// releaseConcurrency ends what acquire began: the invocation that has waited longest may
// start. Callers hold mu.
func (f *Function) releaseConcurrency() {
	if len(f.waiting) == 0 {
		f.inFlight--
		return
	}
	next := f.waiting[0]
	f.waiting = slices.Delete(f.waiting, 0, 1)
	close(next.granted)
}
