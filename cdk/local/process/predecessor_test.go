package process_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/insighthub/insighthub/cdk/local/process"
)

func TestWaitForPredecessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		err := process.WaitForPredecessor(t.Context(), func() int {
			calls++
			return max(0, 3-calls)
		})
		if err != nil || calls != 3 {
			t.Errorf("a server that ends: got %v after %d calls, want no error after 3", err, calls)
		}
		err = process.WaitForPredecessor(t.Context(), func() int { return 7 })
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "pid 7") {
			t.Errorf("a server that does not end: got %v, want %v and its pid", err, context.DeadlineExceeded)
		}
	})
}
