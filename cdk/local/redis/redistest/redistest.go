// Package redistest starts the Redis servers that tests run against.
package redistest

import (
	"context"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/local/process/processtest"
	"github.com/insighthub/insighthub/cdk/local/redis"
	"github.com/insighthub/insighthub/lib/eventually"
)

// Binary returns the path of the server that the local stack runs too:
// INSIGHTHUB_TEST_REDIS, else the unpacked one, else that of the PATH. Without any the
// test is skipped, and fails if INSIGHTHUB_TEST_REQUIRED is 1 or CI is true.
func Binary(tb testing.TB) string {
	tb.Helper()
	return processtest.Program(tb, "INSIGHTHUB_TEST_REDIS", "redis", "redis-server", "cdk/local/redis/install.sh")
}

// Server is a server with faults. Its methods are called from the test's goroutine.
type Server struct {
	tb        testing.TB
	server    *redis.Server
	arguments []string
	stopped   bool
}

// Start starts a server on a free port, and ends it with the test.
func Start(tb testing.TB, arguments ...string) *Server {
	tb.Helper()
	s := &Server{tb: tb, arguments: arguments}
	s.start("")
	tb.Cleanup(s.Kill)
	return s
}

func (s *Server) start(listen string) {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), eventually.Timeout)
	defer cancel()
	server, err := redis.Start(ctx, redis.Config{
		Binary: Binary(s.tb), Listen: listen, Arguments: s.arguments, Dir: s.tb.TempDir(),
	})
	if err != nil {
		s.tb.Fatal(err)
	}
	s.server, s.stopped = server, false
}

// URL is that of the server's database 0, also after Restart.
func (s *Server) URL() string { return s.server.URL() }

// Address is host:port, also after Restart.
func (s *Server) Address() string { return s.server.Address() }

// Kill ends the server as kill -9 does: clients see reset connections. Its data are gone.
func (s *Server) Kill() {
	if s.stopped {
		return
	}
	s.stopped = true
	_ = s.server.Signal(syscall.SIGKILL)
	<-s.server.Exited()
}

// Restart starts an empty server on the address of the one that Kill ended.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Kill()
	s.start(s.server.Address())
}

// Freeze stops the server's process: connections stay, and nobody answers.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw lets it run again.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal syscall.Signal) {
	s.tb.Helper()
	if err := s.server.Signal(signal); err != nil {
		s.tb.Fatal(err)
	}
}

// Command sends one command over a connection of its own and returns the response as it
// is on the wire, without the last line's end. The arguments must hold no blanks.
func (s *Server) Command(arguments ...string) string {
	s.tb.Helper()
	answer, err := command(s.Address(), arguments...)
	if err != nil {
		s.tb.Fatalf("%s: %v", strings.Join(arguments, " "), err)
	}
	return answer
}

func command(address string, arguments ...string) (string, error) {
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close() //nolint:errcheck // nothing to lose
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := fmt.Fprintf(conn, "%s\r\n", strings.Join(arguments, " ")); err != nil {
		return "", err
	}
	answer := make([]byte, 4096)
	n, err := conn.Read(answer)
	return strings.TrimSuffix(string(answer[:n]), "\r\n"), err
}

// Cluster starts a cluster of two servers, which share the slots, and returns its URL and
// what empties it.
func Cluster(tb testing.TB) (url string, flush func()) {
	tb.Helper()
	arguments := []string{"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", "0"}
	first, second := Start(tb, arguments...), Start(tb, arguments...)
	for server, slots := range map[*Server][2]string{first: {"0", "8191"}, second: {"8192", "16383"}} {
		if got := server.Command("CLUSTER", "ADDSLOTSRANGE", slots[0], slots[1]); got != "+OK" {
			tb.Fatalf("assign slots: %s", got)
		}
	}
	host, port, err := net.SplitHostPort(second.Address())
	if err != nil {
		tb.Fatal(err)
	}
	if got := first.Command("CLUSTER", "MEET", host, port); got != "+OK" {
		tb.Fatalf("CLUSTER MEET: %s", got)
	}
	for _, server := range []*Server{first, second} {
		eventually.NoError(tb, "the cluster is complete", func() error {
			text, err := command(server.Address(), "CLUSTER", "INFO")
			if err != nil {
				return err
			}
			if !strings.Contains(text, "cluster_state:ok") || !strings.Contains(text, "cluster_slots_ok:16384") {
				return fmt.Errorf("CLUSTER INFO: %q", text)
			}
			return nil
		})
	}
	return first.URL() + "?cluster=true", func() {
		tb.Helper()
		for _, server := range []*Server{first, second} {
			if got := server.Command("FLUSHALL"); got != "+OK" {
				tb.Fatalf("FLUSHALL: %s", got)
			}
		}
	}
}
