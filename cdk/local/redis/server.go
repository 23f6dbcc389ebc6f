// Package redis runs a redis-server as a child of the local stack, from the tree that
// install.sh unpacked or from any other binary. It takes the place of the Valkey over
// which signaling's tasks relay, and stores nothing on disk.
package redis

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/insighthub/insighthub/cdk/local/process"
)

// Config of a Server.
type Config struct {
	// Binary is the server's program, Redis or Valkey, at least version 7.0.
	Binary string
	// Listen is the server's address; "" and port 0 select a free port of 127.0.0.1.
	Listen string
	// Arguments are added to the server's, for example "--cluster-enabled", "yes".
	Arguments []string
	// Dir is the server's working directory; "" is the present one. Nothing is written to
	// it unless an argument says so.
	Dir string
	// Logs receives the server's log; nil discards it.
	Logs io.Writer
}

// Server is a running server. Its methods may be called concurrently.
type Server struct {
	listen  string
	process *process.Child
	stop    sync.Mutex
}

// attempts limits how often Start selects a free port: another process may open it before
// the server does.
const attempts = 5

// Start runs the server and returns when it answers. When this process ends, however it
// ends, the kernel kills the server.
func Start(ctx context.Context, config Config) (_ *Server, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("start redis-server: %w", err)
		}
	}()
	// Without links: the program finds its libraries from its own path.
	binary, err := filepath.EvalSymlinks(config.Binary)
	if err != nil {
		tree := filepath.Dir(filepath.Dir(config.Binary))
		return nil, fmt.Errorf("it is not installed; run cdk/local/redis/install.sh %s: %w", tree, err)
	}
	if config.Binary, err = filepath.Abs(binary); err != nil {
		return nil, err
	}
	config.Listen = cmp.Or(config.Listen, "127.0.0.1:0")
	config.Logs = cmp.Or(config.Logs, io.Discard)
	for attempt := 1; ; attempt++ {
		s, err := start(ctx, config)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, errPortInUse) || attempt == attempts || !strings.HasSuffix(config.Listen, ":0") {
			return nil, err
		}
	}
}

func start(ctx context.Context, config Config) (*Server, error) {
	listen, err := resolve(ctx, config.Listen)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, err
	}
	arguments := append([]string{
		"--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--daemonize", "no",
		// Messages that nobody fetches must not fill the machine; the relay limits them too.
		"--maxmemory", "256mb", "--maxmemory-policy", "noeviction",
	}, config.Arguments...)
	log := &tail{to: config.Logs}
	// The server outlives ctx; only Stop ends it.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), config.Binary, arguments...) //nolint:gosec // the caller names it
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC"}
	cmd.Dir = config.Dir
	cmd.Stdout, cmd.Stderr = log, log
	s := &Server{listen: listen}
	if s.process, err = process.Start(cmd, syscall.SIGKILL); err != nil {
		return nil, err
	}
	if err := s.awaitReady(ctx); err != nil {
		s.process.Kill()
		return nil, log.explain(err)
	}
	return s, nil
}

// Address is the server's, as host:port.
func (s *Server) Address() string { return s.listen }

// URL is that of the server's database 0, as REDIS_URL of signaling has it.
func (s *Server) URL() string { return "redis://" + s.listen + "/0" }

// PID returns the server's process id.
func (s *Server) PID() int { return s.process.PID() }

// Exited returns a channel that is closed when the server has ended.
func (s *Server) Exited() <-chan struct{} { return s.process.Exited() }

// Signal sends a signal to the server. It fails if the server has ended.
func (s *Server) Signal(signal syscall.Signal) error { return s.process.Signal(signal) }

// Stop ends the server. If ctx ends first, it is killed.
func (s *Server) Stop(ctx context.Context) error {
	s.stop.Lock()
	defer s.stop.Unlock()
	if !s.process.End(ctx, syscall.SIGTERM) {
		s.process.Kill()
		return fmt.Errorf("redis-server did not end in time: %w", ctx.Err())
	}
	if err := s.process.Err(); err != nil {
		return fmt.Errorf("redis-server ended: %w", err)
	}
	return nil
}

// Ready reports whether the server answers, and is this one: another may have opened the
// port first. One that demands a password only shows that it answers.
func (s *Server) Ready(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", s.listen)
	if err != nil {
		return false
	}
	defer conn.Close() //nolint:errcheck // nothing to lose
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if _, err := io.WriteString(conn, "INFO server\r\n"); err != nil {
		return false
	}
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		switch line := lines.Text(); {
		case strings.HasPrefix(line, "-NOAUTH"):
			return true
		case strings.HasPrefix(line, "process_id:"):
			return line == "process_id:"+strconv.Itoa(s.PID())
		}
	}
	return false
}

func (s *Server) awaitReady(ctx context.Context) error {
	for {
		select {
		case <-s.process.Exited():
			return fmt.Errorf("the server ended while starting (%w)", s.process.Err())
		default:
		}
		if s.Ready(ctx) {
			return nil
		}
		select {
		case <-s.process.Exited():
			return fmt.Errorf("the server ended while starting (%w)", s.process.Err())
		case <-ctx.Done():
			return fmt.Errorf("the server did not become ready: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// resolve replaces port 0, which to the server means none.
func resolve(ctx context.Context, listen string) (string, error) {
	if !strings.HasSuffix(listen, ":0") {
		return listen, nil
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", listen)
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

var errPortInUse = errors.New("the port is in use")

// tail passes the log on, and remembers its end for the error of a failed start.
type tail struct {
	to   io.Writer
	mu   sync.Mutex
	last []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, p...)
	t.last = t.last[max(0, len(t.last)-4096):]
	return t.to.Write(p)
}

func (t *tail) explain(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if bytes.Contains(t.last, []byte("Address already in use")) {
		err = errors.Join(errPortInUse, err)
	}
	return fmt.Errorf("%w; its log ends:\n%s", err, t.last)
}
