package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/cdk/local/stackfile"
)

// child is a program that the bench started.
type child struct {
	cmd  *exec.Cmd
	done chan error
}

func startChild(ctx context.Context, out *os.File, name string, args ...string) (*child, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // the project's own programs
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	c := &child{cmd: cmd, done: make(chan error, 1)}
	go func() { c.done <- cmd.Wait() }()
	return c, nil
}

// stop asks the program to end and waits for it.
func (c *child) stop() error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-c.done:
		if _, ok := errors.AsType[*exec.ExitError](err); ok { // it was told to end; how it says so is its own affair
			return nil
		}
		return err
	case <-time.After(40 * time.Second):
		return errors.Join(fmt.Errorf("%s did not stop within 40 s", c.cmd.Path), c.cmd.Process.Kill())
	}
}

// startStack starts the local stack on a fresh state folder and waits for it.
func startStack(ctx context.Context, cfg Config, state string) (*child, stackfile.Info, error) {
	log, err := os.Create(filepath.Join(cfg.Out, "local.log"))
	if err != nil {
		return nil, stackfile.Info{}, err
	}
	args := []string{
		"-assembly", cfg.Assembly, "-stage", "dev", "-state", state, "-http", "127.0.0.1:0",
		"-timescale", cfg.Timescale, "-prometheus", cfg.Prometheus, "-prometheus-http", "127.0.0.1:0",
	}
	// The detector has a lane and a benchmark of its own.
	args = append(args, "-without", "detect")
	if !cfg.KPIs {
		args = append(args, "-without", "bridge")
	}
	c, err := startChild(ctx, log, cfg.Local, args...)
	if err != nil {
		return nil, stackfile.Info{}, err
	}
	deadline := time.Now().Add(60 * time.Second)
	for time.Now().Before(deadline) {
		if s, err := stackfile.Read(state); err == nil {
			return c, s, nil
		}
		select {
		case err := <-c.done:
			return nil, stackfile.Info{}, fmt.Errorf("the local stack ended at its start: %w; see %s", err, log.Name())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil, stackfile.Info{}, errors.Join(fmt.Errorf("the local stack was not ready within 60 s; see %s", log.Name()), c.stop())
}

// startYardstick starts the plain server on a database of its own beside the stack's.
func startYardstick(ctx context.Context, cfg Config, stack stackfile.Info) (c *child, url, dsn string, err error) {
	conn, err := pgx.Connect(ctx, stack.Database)
	if err != nil {
		return nil, "", "", err
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing to lose
	if _, err := conn.Exec(ctx, "CREATE DATABASE yardstick"); err != nil {
		return nil, "", "", err
	}
	pc := conn.Config()
	dsn = fmt.Sprintf("postgres://%s:%s@%s:%d/yardstick?sslmode=disable", pc.User, pc.Password, pc.Host, pc.Port)
	out, err := os.Create(filepath.Join(cfg.Out, "yardstick.log"))
	if err != nil {
		return nil, "", "", err
	}
	if c, err = startChild(ctx, out, cfg.Yardstick, "-database", dsn); err != nil {
		return nil, "", "", err
	}
	for range 200 {
		if url = firstLine(out.Name()); strings.HasPrefix(url, "http://") {
			return c, url, dsn, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, "", "", errors.Join(fmt.Errorf("the yardstick was not ready within 10 s; see %s", out.Name()), c.stop())
}

func firstLine(path string) string {
	f, err := os.Open(path) //nolint:gosec // the bench's own folder
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // read only
	line, err := bufio.NewReader(f).ReadString('\n')
	if err != nil {
		return ""
	}
	return strings.TrimSpace(line)
}
