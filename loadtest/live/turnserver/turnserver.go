// Package turnserver runs coturn for the bench of the live path, on loopback. The relayed
// addresses are those of this machine, which the deployed server rejects.
package turnserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/insighthub/insighthub/loadtest/localstack"
)

const readyTimeout = time.Minute

// Server is a running server. Stop ends it.
type Server struct {
	*localstack.Process

	// Secret is shared with those who make credentials.
	Secret string
	port   int
}

// Start starts the program, whose files go to a folder, and waits until it listens.
func Start(ctx context.Context, program, dir string) (*Server, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	s := &Server{Secret: rand.Text(), port: port}
	path := func(name string) string { return filepath.Join(dir, name) }
	// The secret is in a file: arguments are visible to everybody on the machine.
	settings := fmt.Sprintf(`listening-ip=127.0.0.1
listening-port=%d
relay-ip=127.0.0.1
use-auth-secret
static-auth-secret=%s
realm=insighthub
fingerprint
no-cli
no-tls
no-dtls
no-tcp-relay
allow-loopback-peers
simple-log
log-file=%s
userdb=%s
pidfile=%s
`, port, s.Secret, path("turnserver.log"), path("turnserver.db"), path("turnserver.pid"))
	if err := os.WriteFile(path("turnserver.conf"), []byte(settings), 0o600); err != nil {
		return nil, err
	}
	log := path("coturn.log")
	if s.Process, err = localstack.StartProgram(ctx, log, program, "-c", path("turnserver.conf")); err != nil {
		return nil, err
	}
	if err := s.ready(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("coturn, see %s: %w", log, err), s.Stop())
	}
	return s, nil
}

// URL returns the server's URI (RFC 7065).
func (s *Server) URL() string { return fmt.Sprintf("turn:127.0.0.1:%d?transport=udp", s.port) }

// ready waits until the server accepts connections; it listens on TCP too.
func (s *Server) ready(ctx context.Context) error {
	var d net.Dialer
	for deadline := time.Now().Add(readyTimeout); ; {
		c, err := d.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err == nil {
			return c.Close()
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// freePort returns a UDP port that was free a moment ago.
func freePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	c, err := lc.ListenPacket(ctx, "udp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	address, ok := c.LocalAddr().(*net.UDPAddr)
	if !ok {
		return 0, errors.Join(errors.New("not a UDP address"), c.Close())
	}
	return address.Port, c.Close()
}
