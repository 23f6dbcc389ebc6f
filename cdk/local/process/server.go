package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Installed returns the path of a server's program without links, since some find their
// tree from it. If the program is missing, the error names the script that installs it.
func Installed(program, script string) (string, error) {
	program, err := filepath.Abs(program)
	if err != nil {
		return "", err
	}
	path, err := filepath.EvalSymlinks(program)
	if err != nil {
		tree := filepath.Dir(filepath.Dir(program))
		return "", fmt.Errorf("%s is not installed; run %s %s: %w", filepath.Base(program), script, tree, err)
	}
	return path, nil
}

// ServerCommand returns a server's command, for Start: with an environment of its own, and
// all that it writes in logs. The server outlives ctx; only its owner ends it.
func ServerCommand(ctx context.Context, logs io.Writer, program string, arguments ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, arguments...) //nolint:gosec // the caller names it
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC"}
	cmd.Stdout, cmd.Stderr = logs, logs
	return cmd
}

// AwaitReady returns when ready returns true. It fails if the child or ctx ends first, and
// ends neither.
func (c *Child) AwaitReady(ctx context.Context, ready func() bool) error {
	for {
		select {
		case <-c.exited: // whoever responds now is another
		default:
			if ready() {
				return nil
			}
		}
		select {
		case <-c.exited:
			return fmt.Errorf("the server ended while starting (%w)", c.err)
		case <-ctx.Done():
			return fmt.Errorf("the server did not become ready: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Stop ends the child by a signal. If ctx ends first, the child is killed. The error says
// so, or that the child's status was not 0, and lacks only the child's name in front.
func (c *Child) Stop(ctx context.Context, signal syscall.Signal) error {
	if !c.End(ctx, signal) {
		c.Kill()
		return fmt.Errorf("did not end in time: %w", ctx.Err())
	}
	if err := c.Err(); err != nil {
		return fmt.Errorf("ended: %w", err)
	}
	return nil
}

// attempts limits how often a free port is selected.
const attempts = 5

// ErrPortInUse says that another process has opened the port, perhaps after it was selected.
var ErrPortInUse = errors.New("the port is in use")

// OnPort starts a server at an address, with a free port instead of port 0: a server that
// selects one does not report it. Another process may open the port before the server does;
// after an ErrPortInUse another port is selected.
func OnPort[S any](ctx context.Context, address string, start func(address string) (S, error)) (S, error) {
	var none S
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return none, err
	}
	if port != "0" {
		return start(address)
	}
	for attempt := 1; ; attempt++ {
		free, err := FreePort(ctx, host)
		if err != nil {
			return none, err
		}
		server, err := start(net.JoinHostPort(host, strconv.Itoa(free)))
		if err == nil || !errors.Is(err, ErrPortInUse) || attempt == attempts {
			return server, err
		}
	}
}

// FreePort returns a port that is free for TCP and for UDP.
func FreePort(ctx context.Context, host string) (int, error) {
	var lc net.ListenConfig
	for range attempts {
		tcp, err := lc.Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			return 0, fmt.Errorf("find a free port: %w", err)
		}
		udp, err := lc.ListenPacket(ctx, "udp", tcp.Addr().String())
		if err == nil {
			err = udp.Close()
		}
		if err := errors.Join(err, tcp.Close()); err == nil {
			return tcp.Addr().(*net.TCPAddr).Port, nil
		}
	}
	return 0, errors.New("find a free port: none is free for TCP and UDP")
}

// tailSize is that of a server's log from an error to its end.
const tailSize = 16 << 10

// Log passes a server's log on and remembers its end, for the error of a failed start. Its
// methods may be called concurrently.
type Log struct {
	to   io.Writer
	mu   sync.Mutex
	last []byte
}

// NewLog returns a log that is passed on to a writer.
func NewLog(to io.Writer) *Log { return &Log{to: to} }

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = append(l.last, p...)
	l.last = l.last[max(0, len(l.last)-tailSize):]
	return l.to.Write(p)
}

// Tail returns the log's last 16 KiB.
func (l *Log) Tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.last)
}
