package shardstatetest

import (
	"context"
	"errors"
	"fmt"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// scenario is a sequence of deliveries and faults; the world is checked after it.
type scenario struct {
	name string
	run  func(context.Context, *world) error
}

// fill puts n records on the stream.
func (w *world) fill(n int) {
	for i := range n {
		w.stream.put(fmt.Sprintf("gw-%d", i*5%8), int64(1+i*i%97), 120, int64(i%4)*400)
	}
}

// conflict requires that an invocation failed because another one has saved.
func conflict(err error) error {
	if !errors.Is(err, telemetry.ErrConflict) {
		return fmt.Errorf("got %w, want a conflict", errOr(err))
	}
	return nil
}

func errOr(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return err
}

func scenarios() []scenario {
	return []scenario{
		{"no faults", func(ctx context.Context, w *world) error {
			w.fill(60)
			return w.drain(ctx, w.warm[0], 7)
		}},
		{"killed at each stage", killedAtEachStage},
		{"killed between effects", func(ctx context.Context, w *world) error {
			w.fill(60)
			inv := w.deliver(w.warm[0], 0, 0, 50)
			if err := inv.until(ctx, toEffect); err != nil {
				return err
			}
			for range 3 {
				if err := inv.step(ctx, noFault); err != nil {
					return err
				}
			}
			return w.deliver(w.warm[0], 0, 0, 20).until(ctx, ended)
		}},
		{"cold after each invocation", func(ctx context.Context, w *world) error {
			w.fill(40)
			for i := range 8 {
				p, err := w.cold()
				if err != nil {
					return err
				}
				if err := w.deliver(p, 0, i*5, 5).until(ctx, ended); err != nil {
					return err
				}
			}
			return nil
		}},
		{"processes take turns", func(ctx context.Context, w *world) error {
			w.fill(60)
			for i := range 12 {
				if err := w.deliver(w.warm[i%len(w.warm)], 0, i*5, 5).until(ctx, ended); err != nil {
					return err
				}
			}
			return nil
		}},
		{"redelivered with earlier records", func(ctx context.Context, w *world) error {
			w.fill(60)
			for _, d := range [][2]int{{0, 10}, {0, 10}, {5, 10}, {0, 3}, {1, 40}, {0, 60}} {
				if err := w.deliver(w.warm[0], 0, d[0], d[1]).until(ctx, ended); err != nil {
					return err
				}
			}
			return nil
		}},
		{"the zombie saves first", func(ctx context.Context, w *world) error { return zombie(ctx, w, w.warm[0], w.warm[1], true) }},
		{"the zombie saves last", func(ctx context.Context, w *world) error { return zombie(ctx, w, w.warm[0], w.warm[1], false) }},
		{"the zombie saves first in the same process", func(ctx context.Context, w *world) error {
			return zombie(ctx, w, w.warm[0], w.warm[0], true)
		}},
		{"the zombie saves last in the same process", func(ctx context.Context, w *world) error {
			return zombie(ctx, w, w.warm[0], w.warm[0], false)
		}},
		{"the zombie was the first invocation", func(ctx context.Context, w *world) error {
			w.fill(30)
			old := w.deliver(w.warm[0], 0, 0, 10)
			if err := old.until(ctx, toSave); err != nil {
				return err
			}
			if err := w.deliver(w.warm[1], 0, 0, 4).until(ctx, ended); err != nil {
				return err
			}
			return conflict(old.until(ctx, ended))
		}},
		{"the zombie's effects are last", func(ctx context.Context, w *world) error {
			w.fill(60)
			old := w.deliver(w.warm[0], 0, 0, 40)
			if err := old.until(ctx, toEffect); err != nil {
				return err
			}
			if err := w.drain(ctx, w.warm[1], 3); err != nil {
				return err
			}
			return conflict(old.until(ctx, ended))
		}},
		{"responses to saves are lost", func(ctx context.Context, w *world) error { return lost(ctx, w, responseLost, nil) }},
		{"the client's own retry is rejected", func(ctx context.Context, w *world) error { return lost(ctx, w, retryRejected, nil) }},
		{"saves fail", func(ctx context.Context, w *world) error { return lost(ctx, w, notApplied, telemetry.ErrUnavailable) }},
		{"saved, but neither response nor object can be read", func(ctx context.Context, w *world) error {
			return lost(ctx, w, appliedUnreadable, telemetry.ErrUnavailable)
		}},
		{"saves are delayed", delayedSaves},
		{"a lost response, and another invocation has saved since", func(ctx context.Context, w *world) error {
			w.fill(30)
			old := w.deliver(w.warm[0], 0, 0, 10)
			if err := old.until(ctx, toSave); err != nil {
				return err
			}
			if err := old.step(ctx, appliedUnreadable); !errors.Is(err, telemetry.ErrUnavailable) {
				return fmt.Errorf("got %w, want telemetry.ErrUnavailable", errOr(err))
			}
			if err := w.deliver(w.warm[1], 0, 0, 20).until(ctx, ended); err != nil {
				return err
			}
			return w.deliver(w.warm[0], 0, 0, 10).until(ctx, ended)
		}},
		{"splits and merges", splitsAndMerges},
		{"children of shards that were never written to", func(ctx context.Context, w *world) error {
			w.fill(40)
			w.stream.split(0)
			w.stream.split(1)
			w.stream.split(2)
			w.stream.merge(4) // across the boundary of the first split
			w.fill(40)
			return w.drain(ctx, w.warm[0], 6)
		}},
		{"a zombie of the parent while the child has begun", func(ctx context.Context, w *world) error {
			w.fill(40)
			old := w.deliver(w.warm[0], 0, 0, 40)
			if err := old.until(ctx, toSave); err != nil {
				return err
			}
			w.stream.split(0)
			w.fill(30)
			if err := w.drain(ctx, w.warm[1], 9); err != nil {
				return err
			}
			return conflict(old.until(ctx, ended))
		}},
		{"two invocations begin a child", func(ctx context.Context, w *world) error {
			w.fill(40)
			if err := w.drain(ctx, w.warm[0], 8); err != nil {
				return err
			}
			w.stream.split(0)
			w.fill(30)
			old := w.deliver(w.warm[0], 1, 0, 5)
			if err := old.until(ctx, toSave); err != nil {
				return err
			}
			if err := w.deliver(w.warm[1], 1, 0, 3).until(ctx, ended); err != nil {
				return err
			}
			return conflict(old.until(ctx, ended))
		}},
	}
}

func killedAtEachStage(ctx context.Context, w *world) error {
	w.fill(60)
	at, size := 0, 13
	for s := range ended {
		if err := w.deliver(w.warm[0], 0, at, size).until(ctx, s); err != nil {
			return err
		}
		// The invocation is abandoned there; the next one has other records.
		if err := w.deliver(w.warm[0], 0, at, size-5).until(ctx, ended); err != nil {
			return err
		}
		at += size - 5
	}
	return nil
}

// zombie pauses an invocation before its save while its successor runs.
func zombie(ctx context.Context, w *world, of, successor *process, first bool) error {
	w.fill(60)
	if err := w.deliver(of, 0, 0, 10).until(ctx, ended); err != nil {
		return err
	}
	old := w.deliver(of, 0, 10, 20)
	if err := old.until(ctx, toSave); err != nil {
		return err
	}
	next := w.deliver(successor, 0, 10, 9)
	if err := next.until(ctx, toSave); err != nil {
		return err
	}
	if !first {
		old, next = next, old
	}
	if err := old.until(ctx, ended); err != nil {
		return err
	}
	return conflict(next.until(ctx, ended))
}

// lost injects a fault into every second save; want is the error of those invocations.
func lost(ctx context.Context, w *world, f fault, want error) error {
	w.fill(60)
	for i := range 10 {
		inv := w.deliver(w.warm[0], 0, w.progress[0], 6)
		if err := inv.until(ctx, toSave); err != nil {
			return err
		}
		if i%2 == 0 {
			if err := inv.until(ctx, ended); err != nil {
				return err
			}
			continue
		}
		if err := inv.step(ctx, f); !errors.Is(err, want) {
			return fmt.Errorf("got %w, want %w", errOr(err), errOr(want))
		}
	}
	return nil
}

func delayedSaves(ctx context.Context, w *world) error {
	w.fill(60)
	old := w.deliver(w.warm[0], 0, 0, 10)
	if err := old.until(ctx, toSave); err != nil {
		return err
	}
	if err := old.step(ctx, delayed); !errors.Is(err, telemetry.ErrUnavailable) {
		return fmt.Errorf("got %w, want telemetry.ErrUnavailable", errOr(err))
	}
	next := w.deliver(w.warm[0], 0, 0, 4)
	if err := next.until(ctx, toSave); err != nil {
		return err
	}
	w.objects.apply(ctx, 0)
	if err := conflict(next.until(ctx, ended)); err != nil {
		return err
	}
	if err := w.deliver(w.warm[0], 0, 0, 4).until(ctx, ended); err != nil {
		return err
	}
	// A save that is applied after its successor has saved.
	old = w.deliver(w.warm[0], 0, w.progress[0], 20)
	if err := old.until(ctx, toSave); err != nil {
		return err
	}
	if err := old.step(ctx, delayed); !errors.Is(err, telemetry.ErrUnavailable) {
		return fmt.Errorf("got %w, want telemetry.ErrUnavailable", errOr(err))
	}
	if err := w.deliver(w.warm[1], 0, w.progress[0], 15).until(ctx, ended); err != nil {
		return err
	}
	w.objects.apply(ctx, 0)
	return nil
}

func splitsAndMerges(ctx context.Context, w *world) error {
	w.fill(30)
	w.stream.split(0) // 1, 2
	w.fill(30)
	if err := w.drain(ctx, w.warm[0], 5); err != nil {
		return err
	}
	w.stream.split(1) // 3, 4
	w.fill(30)
	if !w.stream.merge(4) { // with 2: 5
		return errors.New("no adjacent shard to merge with")
	}
	w.fill(30)
	if err := w.drain(ctx, w.warm[1], 4); err != nil {
		return err
	}
	w.stream.merge(3) // with 5: the whole again
	w.fill(30)
	return w.drain(ctx, w.warm[0], 11)
}
