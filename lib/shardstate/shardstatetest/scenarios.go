package shardstatetest

import (
	"context"
	"errors"
	"fmt"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// scenario is something that goes wrong; the world is checked after it.
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

// conflict requires that an invocation fails since another has saved.
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
		{"nothing goes wrong", func(ctx context.Context, w *world) error {
			w.fill(60)
			return w.drain(ctx, w.warm[0], 7)
		}},
		{"killed at each stage", killedAtEachStage},
		{"killed among the effects", func(ctx context.Context, w *world) error {
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
		{"delivered again from further back", func(ctx context.Context, w *world) error {
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
		{"the zombie saves first in the same process", func(ctx context.Context, w *world) error { return zombie(ctx, w, w.warm[0], w.warm[0], true) }},
		{"the zombie saves last in the same process", func(ctx context.Context, w *world) error { return zombie(ctx, w, w.warm[0], w.warm[0], false) }},
		{"the zombie was the first ever", func(ctx context.Context, w *world) error {
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
		{"the zombie's effects come last", func(ctx context.Context, w *world) error {
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
		{"answers of saves are lost", func(ctx context.Context, w *world) error { return lost(ctx, w, answerLost, nil) }},
		{"the client's own repetition is refused", func(ctx context.Context, w *world) error { return lost(ctx, w, retryRefused, nil) }},
		{"saves fail", func(ctx context.Context, w *world) error { return lost(ctx, w, refused, telemetry.ErrUnavailable) }},
		{"nobody knows whether it was saved", func(ctx context.Context, w *world) error { return lost(ctx, w, blind, telemetry.ErrUnavailable) }},
		{"saves come late", savesComeLate},
		{"a lost answer, and another has saved on top", func(ctx context.Context, w *world) error {
			w.fill(30)
			old := w.deliver(w.warm[0], 0, 0, 10)
			if err := old.until(ctx, toSave); err != nil {
				return err
			}
			if err := old.step(ctx, blind); !errors.Is(err, telemetry.ErrUnavailable) {
				return fmt.Errorf("got %w", errOr(err))
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
			w.stream.merge(4) // across the border of the first split
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
		{"two begin a child", func(ctx context.Context, w *world) error {
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
		// It is dropped there; what comes next is cut otherwise.
		if err := w.deliver(w.warm[0], 0, at, size-5).until(ctx, ended); err != nil {
			return err
		}
		at += size - 5
	}
	return nil
}

// zombie has one invocation wait before its save while its successor runs.
func zombie(ctx context.Context, w *world, its, others *process, first bool) error {
	w.fill(60)
	if err := w.deliver(its, 0, 0, 10).until(ctx, ended); err != nil {
		return err
	}
	old := w.deliver(its, 0, 10, 20)
	if err := old.until(ctx, toSave); err != nil {
		return err
	}
	next := w.deliver(others, 0, 10, 9)
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

// lost has every second save go wrong; want is what the invocation then fails with.
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

func savesComeLate(ctx context.Context, w *world) error {
	w.fill(60)
	old := w.deliver(w.warm[0], 0, 0, 10)
	if err := old.until(ctx, toSave); err != nil {
		return err
	}
	if err := old.step(ctx, delayed); !errors.Is(err, telemetry.ErrUnavailable) {
		return fmt.Errorf("got %w", errOr(err))
	}
	next := w.deliver(w.warm[0], 0, 0, 4)
	if err := next.until(ctx, toSave); err != nil {
		return err
	}
	w.objects.land(ctx, 0)
	if err := conflict(next.until(ctx, ended)); err != nil {
		return err
	}
	if err := w.deliver(w.warm[0], 0, 0, 4).until(ctx, ended); err != nil {
		return err
	}
	// And one that comes too late.
	old = w.deliver(w.warm[0], 0, w.progress[0], 20)
	if err := old.until(ctx, toSave); err != nil {
		return err
	}
	if err := old.step(ctx, delayed); !errors.Is(err, telemetry.ErrUnavailable) {
		return fmt.Errorf("got %w", errOr(err))
	}
	if err := w.deliver(w.warm[1], 0, w.progress[0], 15).until(ctx, ended); err != nil {
		return err
	}
	w.objects.land(ctx, 0)
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
		return errors.New("nothing to merge with")
	}
	w.fill(30)
	if err := w.drain(ctx, w.warm[1], 4); err != nil {
		return err
	}
	w.stream.merge(3) // with 5: the whole again
	w.fill(30)
	return w.drain(ctx, w.warm[0], 11)
}
