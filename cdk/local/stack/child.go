package stack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// childGrace is how long the command has to end after SIGTERM.
const childGrace = 10 * time.Second

// child is the command of -and.
type child struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // valid once done is closed
}

// startChild runs a command line with a shell and passes its output on with its name
// before each line. It dies with this process.
func startChild(ctx context.Context, command string, say func(string, ...any)) (*child, error) {
	name := command
	if fields := strings.Fields(command); len(fields) > 0 {
		name = filepath.Base(fields[0])
	}
	c := &child{name: name, done: make(chan struct{})}
	// Stopped by stop, in its turn, not with ctx.
	c.cmd = exec.CommandContext(context.WithoutCancel(ctx), "/bin/sh", "-c", "exec "+command) //nolint:gosec // the user's own command
	// A group of its own: Ctrl-C in the terminal is for the stack, which stops it first.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	c.cmd.Stdout, c.cmd.Stderr = w, w
	started := make(chan error, 1)
	go func() {
		// The parent-death signal comes when the thread that forked ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		_ = w.Close() // the child has its own
		started <- err
		if err == nil {
			c.err = c.cmd.Wait()
			close(c.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), r.Close())
	}
	go copyLines(r, name, say)
	return c, nil
}

func copyLines(r io.ReadCloser, name string, say func(string, ...any)) {
	defer r.Close() //nolint:errcheck // read only
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		say("%-10s %s", name, lines.Text())
	}
	_, _ = io.Copy(io.Discard, r) // a line that is too long must not block the child
}

// stop ends the command and what it started in its group.
func (c *child) stop(ctx context.Context) error {
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGTERM)
	grace := time.NewTimer(childGrace)
	defer grace.Stop()
	select {
	case <-c.done:
		return nil
	case <-grace.C:
	case <-ctx.Done():
	}
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	<-c.done
	return nil
}
