// Package process runs child processes of the local stack: they end with the stack,
// however that ends, and are stopped by it, not by the terminal.
package process

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// Child is a started process. Its methods may be called concurrently.
type Child struct {
	process *os.Process
	exited  chan struct{}
	err     error // valid once exited is closed
}

// Start starts cmd, whose context must outlive the child: only its owner ends it. The
// kernel sends the signal orphaned to the child when this process ends. The child leads
// its own process group, because Ctrl-C in the terminal is for the stack, which ends its
// children one after another. Other members of cmd.SysProcAttr, such as the credential,
// are not changed.
func Start(cmd *exec.Cmd, orphaned syscall.Signal) (*Child, error) {
	return start(cmd, orphaned, func() error {
		cmd.SysProcAttr.Setpgid = true
		return cmd.Start()
	})
}

// StartLowPriority is Start for a child of low priority; see [StartNice].
func StartLowPriority(cmd *exec.Cmd, orphaned syscall.Signal) (*Child, error) {
	return start(cmd, orphaned, func() error { return StartNice(cmd) })
}

func start(cmd *exec.Cmd, orphaned syscall.Signal, begin func() error) (*Child, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = orphaned
	c := &Child{exited: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// Linux sends the parent-death signal when the thread that forked ends, not
		// the process, so the thread waits until the child has ended. It ends with the
		// goroutine, since begin may have changed its priority.
		runtime.LockOSThread()
		err := begin()
		started <- err
		if err != nil {
			return
		}
		c.err = cmd.Wait()
		close(c.exited)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	c.process = cmd.Process
	return c, nil
}

// PID is the child's process id and that of its group.
func (c *Child) PID() int { return c.process.Pid }

// Exited returns a channel that is closed when the child has ended.
func (c *Child) Exited() <-chan struct{} { return c.exited }

// Err waits for the child's end and returns the result of [exec.Cmd.Wait]: nil after
// status 0.
func (c *Child) Err() error {
	<-c.exited
	return c.err
}

// Signal sends a signal to the child, not to its group. It fails if the child has ended.
func (c *Child) Signal(signal syscall.Signal) error { return c.process.Signal(signal) }

// End sends a signal to the child and reports whether it ended before ctx did.
func (c *Child) End(ctx context.Context, signal syscall.Signal) bool {
	_ = c.Signal(signal) // fails only if the child has ended
	return c.await(ctx)
}

// Kill ends the child at once and waits for its end.
func (c *Child) Kill() {
	_ = c.process.Kill()
	<-c.exited
}

// EndGroup is End for all processes of the child's group. It reports on the child; others
// of the group may still run.
func (c *Child) EndGroup(ctx context.Context, signal syscall.Signal) bool {
	_ = syscall.Kill(-c.PID(), signal)
	return c.await(ctx)
}

// KillGroup is Kill for all processes of the child's group.
func (c *Child) KillGroup() {
	_ = syscall.Kill(-c.PID(), syscall.SIGKILL)
	<-c.exited
}

func (c *Child) await(ctx context.Context) bool {
	select {
	case <-c.exited:
		return true
	default:
	}
	select {
	case <-c.exited:
		return true
	case <-ctx.Done():
		return false
	}
}
