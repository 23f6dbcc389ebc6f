// Package process owns a child process of the local stack: one that dies with the
// stack, however that ends, and that is stopped in its turn, not by the terminal.
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

// Start starts cmd, whose context must outlive the child: only its owner ends it.
// The kernel sends orphaned to the child when this process dies. The child leads
// a process group of its own, because Ctrl-C in the terminal is for the stack,
// which ends its children one after another. Other members of cmd.SysProcAttr,
// such as the credential, are kept.
func Start(cmd *exec.Cmd, orphaned syscall.Signal) (*Child, error) {
	return start(cmd, orphaned, func() error {
		cmd.SysProcAttr.Setpgid = true
		return cmd.Start()
	})
}

// StartBehind is Start for a child that gives way to others; see [Behind].
func StartBehind(cmd *exec.Cmd, orphaned syscall.Signal) (*Child, error) {
	return start(cmd, orphaned, func() error { return Behind(cmd) })
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
		// the process, so the thread is kept until the child has ended.
		// It ends with the goroutine, since begin may have made it give way as well.
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

// Exited is closed when the child has ended, asked or not.
func (c *Child) Exited() <-chan struct{} { return c.exited }

// Err waits for the child's end and returns what [exec.Cmd.Wait] said about it:
// nil after status 0.
func (c *Child) Err() error {
	<-c.exited
	return c.err
}

// Signal sends a signal to the child alone, not to its group. A child that has
// ended is an error.
func (c *Child) Signal(signal syscall.Signal) error { return c.process.Signal(signal) }

// Ask sends a signal to the child and reports whether it ended before ctx did.
func (c *Child) Ask(ctx context.Context, signal syscall.Signal) bool {
	_ = c.Signal(signal) // fails only where there is nobody to wait for
	return c.await(ctx)
}

// Kill ends the child at once and waits for its end.
func (c *Child) Kill() {
	_ = c.process.Kill()
	<-c.exited
}

// AskGroup is Ask for the child and all that it started in its group. It reports
// on the child; others of the group may live on.
func (c *Child) AskGroup(ctx context.Context, signal syscall.Signal) bool {
	_ = syscall.Kill(-c.PID(), signal)
	return c.await(ctx)
}

// KillGroup is Kill for the child and all that it started in its group.
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
