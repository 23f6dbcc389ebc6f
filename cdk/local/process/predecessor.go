package process

import (
	"context"
	"fmt"
	"time"
)

// predecessorTimeout is the longest wait for a server whose parent has ended.
const predecessorTimeout = 20 * time.Second

// WaitForPredecessor waits until find returns 0, not the id of a process. find looks for
// the server of a previous run, which shuts down since its parent has ended. A server
// that does not end is an error: two must never share a folder.
func WaitForPredecessor(ctx context.Context, find func() (pid int)) error {
	ctx, cancel := context.WithTimeout(ctx, predecessorTimeout)
	defer cancel()
	for {
		pid := find()
		if pid == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("another server (pid %d) uses the folder: %w", pid, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
