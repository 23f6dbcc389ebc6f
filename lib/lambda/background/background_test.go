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
			t.Error("busy before the first piece")
		}
		begun := time.Now()
		var took time.Duration
		piece := w.Begin(t.Context(), time.Second, func(ctx context.Context) {
			<-ctx.Done()
			took = time.Since(begun)
		})
		if !w.Busy() || w.Last() != piece {
			t.Error("not busy with the first piece")
		}
		short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if piece.Wait(short) {
			t.Error("the piece ended before its time")
		}
		if !piece.Wait(t.Context()) || w.Busy() || took != time.Second {
			t.Errorf("busy %t, took %v", w.Busy(), took)
		}
		if w.Begin(t.Context(), time.Second, func(context.Context) {}) == piece || !w.Last().Wait(t.Context()) {
			t.Error("the second piece is the first")
		}
	})
}
