// Package localstack starts the local stack for a load test, and other programs beside it.
package localstack

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/insighthub/insighthub/cdk/local/stackfile"
)

const (
	startTimeout = 2 * time.Minute
	stopTimeout  = time.Minute
	pollInterval = 50 * time.Millisecond
)

// Config says what to run: stage dev of a CDK app.
type Config struct {
	Program               string // of the local stack
	Assembly              string // folder of the synthesised CDK app
	Functions             string // folder of the functions' binaries
	Timescale, Prometheus string // folders of the unpacked servers
}

// Flags declares the flags of a Config.
func (c *Config) Flags(fs *flag.FlagSet) {
	fs.StringVar(&c.Program, "local", "build/local/insighthub-local", "program of the local stack")
	fs.StringVar(&c.Assembly, "assembly", "cdk.out", "folder of the synthesised CDK app")
	fs.StringVar(&c.Functions, "functions", "build/local/functions", "folder of the functions' binaries")
	fs.StringVar(&c.Timescale, "timescale", ".local/timescale", "folder of the unpacked PostgreSQL")
	fs.StringVar(&c.Prometheus, "prometheus", ".local/prometheus", "folder of the unpacked Prometheus")
}

// Start starts a stack on an empty folder, out/state, and waits until it is ready. Its
// output goes to out/local.log. The caller stops it; that ctx ends does not.
func (c Config) Start(ctx context.Context, out string, args ...string) (*Process, stackfile.Info, error) {
	state, log := State(out), filepath.Join(out, "local.log")
	if err := os.RemoveAll(state); err != nil {
		return nil, stackfile.Info{}, err
	}
	p, err := StartProgram(ctx, log, c.Program, append([]string{
		"-assembly", c.Assembly, "-stage", "dev", "-state", state, "-http", "127.0.0.1:0", "-functions", c.Functions,
		"-timescale", c.Timescale, "-prometheus", c.Prometheus, "-prometheus-http", "127.0.0.1:0",
	}, args...)...)
	if err != nil {
		return nil, stackfile.Info{}, err
	}
	deadline := time.After(startTimeout)
	for {
		if info, err := stackfile.Read(state); err == nil {
			return p, info, nil
		}
		select {
		case err := <-p.done:
			return nil, stackfile.Info{}, fmt.Errorf("the local stack ended while it started (%w); see %s", err, log)
		case <-ctx.Done():
			return nil, stackfile.Info{}, errors.Join(ctx.Err(), p.Stop())
		case <-deadline:
			err := fmt.Errorf("the local stack was not ready within %v; see %s", startTimeout, log)
			return nil, stackfile.Info{}, errors.Join(err, p.Stop())
		case <-time.After(pollInterval):
		}
	}
}

// State returns the state folder of the stack that Start starts.
func State(out string) string { return filepath.Join(out, "state") }

// Process is a running program.
type Process struct {
	cmd  *exec.Cmd
	done chan error
}

// StartProgram starts a program that writes to a log file. It is in a process group of
// its own: Ctrl-C reaches it by Stop alone, after its load has ended.
func StartProgram(ctx context.Context, log, name string, args ...string) (*Process, error) {
	out, err := os.Create(log) //nolint:gosec // in the folder that the user named
	if err != nil {
		return nil, err
	}
	defer out.Close()                                                     //nolint:errcheck // the process has its own
	cmd := exec.CommandContext(context.WithoutCancel(ctx), name, args...) //nolint:gosec // the project's own programs
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &Process{cmd: cmd, done: make(chan error, 1)}
	go func() { p.done <- cmd.Wait() }()
	return p, nil
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// ExitCode returns the exit code after Stop.
func (p *Process) ExitCode() int { return p.cmd.ProcessState.ExitCode() }

// Stop sends SIGTERM and waits for the process. Its exit code is not an error.
func (p *Process) Stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-p.done:
		if _, ok := errors.AsType[*exec.ExitError](err); ok {
			return nil
		}
		return err
	case <-time.After(stopTimeout):
		return errors.Join(fmt.Errorf("%s did not stop within %v", p.cmd.Path, stopTimeout), p.cmd.Process.Kill(), <-p.done)
	}
}
