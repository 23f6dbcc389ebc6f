// Package redis runs a redis-server as a child of the local stack, from the tree that
// install.sh unpacked or from any other binary. It takes the place of the Valkey over
// which signaling's tasks relay, and stores nothing on disk.
package redis

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
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
	*process.Child
	listen string
}

// Start runs the server and returns when it answers. When this process ends, however it
// ends, the kernel kills the server.
func Start(ctx context.Context, config Config) (_ *Server, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("start redis-server: %w", err)
		}
	}()
	if config.Binary, err = process.Installed(config.Binary, "cdk/local/redis/install.sh"); err != nil {
		return nil, err
	}
	config.Listen = cmp.Or(config.Listen, "127.0.0.1:0")
	config.Logs = cmp.Or(config.Logs, io.Discard)
	return process.OnPort(ctx, config.Listen, func(listen string) (*Server, error) { return start(ctx, config, listen) })
}

func start(ctx context.Context, config Config, listen string) (*Server, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, err
	}
	arguments := append([]string{
		"--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--daemonize", "no",
		// Messages that nobody fetches must not fill the machine; the relay limits them too.
		"--maxmemory", "256mb", "--maxmemory-policy", "noeviction",
	}, config.Arguments...)
	log := process.NewLog(config.Logs)
	cmd := process.ServerCommand(ctx, log, config.Binary, arguments...)
	cmd.Dir = config.Dir
	child, err := process.Start(cmd, syscall.SIGKILL)
	if err != nil {
		return nil, err
	}
	s := &Server{Child: child, listen: listen}
	if err := s.AwaitReady(ctx, func() bool { return s.Ready(ctx) }); err != nil {
		s.Kill()
		return nil, explain(err, log.Tail())
	}
	return s, nil
}

// Address is the server's, as host:port.
func (s *Server) Address() string { return s.listen }

// URL is that of the server's database 0, as REDIS_URL of signaling has it.
func (s *Server) URL() string { return "redis://" + s.listen + "/0" }

// Stop ends the server. If ctx ends first, it is killed.
func (s *Server) Stop(ctx context.Context) error {
	if err := s.Child.Stop(ctx, syscall.SIGTERM); err != nil {
		return fmt.Errorf("redis-server %w", err)
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

func explain(err error, log string) error {
	if strings.Contains(log, "Address already in use") {
		err = errors.Join(process.ErrPortInUse, err)
	}
	return fmt.Errorf("%w; its log ends:\n%s", err, log)
}
