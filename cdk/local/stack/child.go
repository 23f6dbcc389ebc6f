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
	"strings"
	"syscall"
	"time"

	"github.com/insighthub/insighthub/cdk/local/process"
)

// childGrace is the time that the command has to end after SIGTERM.
const childGrace = 10 * time.Second

// child is the command of -and.
type child struct {
	name    string
	process *process.Child
}

// startChild runs a command line in a shell, and prints each line of its output after its
// name. It ends with this process.
func startChild(ctx context.Context, command string, printf func(string, ...any)) (*child, error) {
	name := command
	if fields := strings.Fields(command); len(fields) > 0 {
		name = filepath.Base(fields[0])
	}
	c := &child{name: name}
	// Not with ctx: it is ended by stop, in its turn.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "/bin/sh", "-c", "exec "+command) //nolint:gosec // the user's own command
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	c.process, err = process.Start(cmd, syscall.SIGKILL)
	_ = w.Close() // the child has its own
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), r.Close())
	}
	go copyLines(r, name, printf)
	return c, nil
}

func copyLines(r io.ReadCloser, name string, printf func(string, ...any)) {
	defer r.Close() //nolint:errcheck // read only
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		printf("%-10s %s", name, lines.Text())
	}
	_, _ = io.Copy(io.Discard, r) // a line that is too long must not block the child
}

// stop ends the command and the processes of its group.
func (c *child) stop(ctx context.Context) error {
	grace, cancel := context.WithTimeout(ctx, childGrace)
	defer cancel()
	if !c.process.EndGroup(grace, syscall.SIGTERM) {
		c.process.KillGroup()
	}
	return nil
}
