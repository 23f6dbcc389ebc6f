package outage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/insighthub/insighthub/cdk/local/stackfile"
)

// local is the running stack's own process.
type local struct {
	cmd  *exec.Cmd
	done chan error
}

// startStack starts the stack on an empty state folder and waits until it answers.
func startStack(ctx context.Context, cfg Config, state, prometheus string) (*local, error) {
	log, err := os.Create(filepath.Join(cfg.Out, "local.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()                                                                                                               //nolint:errcheck // the process has its own
	cmd := exec.CommandContext(ctx, cfg.Local, "-assembly", cfg.Assembly, "-stage", "dev", "-state", state, "-http", "127.0.0.1:0", //nolint:gosec // the project's own program
		"-timescale", cfg.Timescale, "-prometheus", prometheus, "-prometheus-http", "127.0.0.1:0")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the local stack: %w", err)
	}
	l := &local{cmd: cmd, done: make(chan error, 1)}
	go func() { l.done <- cmd.Wait() }()
	for range 1200 {
		if _, err := stackfile.Read(state); err == nil {
			return l, nil
		}
		select {
		case err := <-l.done:
			return nil, fmt.Errorf("the local stack ended at its start, see %s: %w", log.Name(), err)
		case <-time.After(pollEvery):
		}
	}
	return nil, errors.Join(fmt.Errorf("the local stack does not answer, see %s", log.Name()), l.stop())
}

// stop asks the stack to end and waits for it.
func (l *local) stop() error {
	if err := l.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-l.done:
		return err
	case <-time.After(time.Minute):
		return errors.Join(errors.New("the local stack does not stop"), l.cmd.Process.Kill())
	}
}
