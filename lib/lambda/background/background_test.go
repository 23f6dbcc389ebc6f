package background

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var w Work
		if w.Busy() || w.Last() != nil || !w.Last().Wait(t.Context()) {
			t.Error("busy before the first task")
		}
		begun := time.Now()
		var elapsed time.Duration
		task := w.Begin(t.Context(), time.Second, func(ctx context.Context) {
			<-ctx.Done()
			elapsed = time.Since(begun)
		})
		if !w.Busy() || w.Last() != task {
			t.Error("not busy with the first task")
		}
		short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if task.Wait(short) {
			t.Error("the task ended before its timeout")
		}
		if !task.Wait(t.Context()) || w.Busy() || elapsed != time.Second {
			t.Errorf("got busy %t after %v, want a task of 1s that ended", w.Busy(), elapsed)
		}
		if w.Begin(t.Context(), time.Second, func(context.Context) {}) == task || !w.Last().Wait(t.Context()) {
			t.Error("the second task is the first")
		}
	})
}
