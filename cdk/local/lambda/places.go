package lambda

import (
	"context"
	"errors"
	"slices"
	"time"
)

// waiter is an invocation that waits for a place.
type waiter struct {
	granted chan struct{} // closed when the place is its own
}

// takePlace takes one of the places that concurrency leaves: at once, or in
// turn within MaxWait when it is the host's bound that is reached.
func (f *Function) takePlace(ctx context.Context) error {
	f.mu.Lock()
	limit, reserved := f.cfg.concurrency()
	switch {
	case f.closed:
		f.mu.Unlock()
		return ErrClosed
	case f.inFlight < limit:
		f.inFlight++
		f.mu.Unlock()
		return nil
	case reserved || f.cfg.MaxWait == 0:
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
		f.freePlace() // granted just now, and not wanted any more
	}
	if errors.Is(err, ErrThrottled) {
		f.counts.throttles++
	}
	return err
}

// freePlace gives a place back, to the one who has waited longest if there is
// one. Callers hold mu.
func (f *Function) freePlace() {
	if len(f.waiting) == 0 {
		f.inFlight--
		return
	}
	next := f.waiting[0]
	f.waiting = slices.Delete(f.waiting, 0, 1)
	close(next.granted)
}
