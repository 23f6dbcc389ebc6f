// Package coturn runs a TURN server as a child of the local stack, as the task definition
// of the stack Signaling runs it: by the entry point of its image, with its options.
package coturn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/insighthub/insighthub/cdk/local/process"
)

// Config of a Server.
type Config struct {
	// Tree is the folder that install.sh created.
	Tree string
	// EntryPoint is the image's script, which is started with Options.
	EntryPoint string
	Options    []string
	// Secret is shared with those who make credentials.
	Secret string
	// Address is the server's own, of IPv4: it listens and relays there. Default 127.0.0.1.
	Address string
	// Public is the address that clients and peers see; default Address.
	Public string
	// Port listens on TCP and UDP; 0 selects a free one.
	Port int
	// Folder holds the server's files; default a temporary one that Stop removes.
	Folder string
	// Logs receives the server's log; nil discards it.
	Logs io.Writer
}

// Server is a running server. Its methods may be called concurrently.
type Server struct {
	*process.Child
	config    Config
	temporary string
	stop      sync.Mutex
}

// attempts limits how often Start selects a free port: another process may open it before
// the server does.
const attempts = 5

// Start runs the server and returns when it accepts connections. When this process ends,
// however it ends, the kernel ends the server.
func Start(ctx context.Context, config Config) (_ *Server, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("start coturn: %w", err)
		}
	}()
	if config.Tree, err = filepath.Abs(config.Tree); err != nil {
		return nil, err
	}
	if _, err := process.Installed(filepath.Join(config.Tree, "bin", "turnserver"), "cdk/local/coturn/install.sh"); err != nil {
		return nil, err
	}
	config.Address = cmp.Or(config.Address, "127.0.0.1")
	config.Public = cmp.Or(config.Public, config.Address)
	config.Logs = cmp.Or(config.Logs, io.Discard)
	s := &Server{config: config}
	if config.Folder == "" {
		if s.temporary, err = os.MkdirTemp("", "insighthub-coturn-"); err != nil {
			return nil, err
		}
		s.config.Folder = s.temporary
	}
	for attempt := 1; ; attempt++ {
		err = s.start(ctx, config.Port)
		if err == nil {
			return s, nil
		}
		if config.Port != 0 || attempt == attempts || ctx.Err() != nil {
			return nil, errors.Join(err, s.removeTemporary())
		}
	}
}

func (s *Server) start(ctx context.Context, port int) (err error) {
	if port == 0 {
		if port, err = process.FreePort(ctx, s.config.Address); err != nil {
			return err
		}
	}
	s.config.Port = port
	entry, err := filepath.Abs(s.config.EntryPoint)
	if err != nil {
		return err
	}
	options := slices.Concat([]string{entry}, s.config.Options, s.local())
	cmd := process.ServerCommand(ctx, s.config.Logs, "/bin/sh", options...)
	cmd.Dir = s.config.Folder
	cmd.Env = []string{
		"PATH=" + filepath.Join(s.config.Tree, "bin") + ":/usr/bin:/bin", "TMPDIR=" + s.config.Folder, "TURN_SECRET=" + s.config.Secret,
		"TURN_PRIVATE_ADDRESS=" + s.config.Address, "TURN_PUBLIC_ADDRESS=" + s.config.Public,
	}
	if s.Child, err = process.Start(cmd, syscall.SIGKILL); err != nil {
		return err
	}
	if err := s.AwaitReady(ctx, func() bool { return s.responds(ctx) }); err != nil {
		s.Kill()
		return fmt.Errorf("%w; see its log", err)
	}
	return nil
}

// local returns the options that differ on this machine. Of an option that is repeated the
// server takes the last.
func (s *Server) local() []string {
	return []string{
		"--listening-port=" + strconv.Itoa(s.config.Port),
		"--userdb=" + filepath.Join(s.config.Folder, "turndb"), "--pidfile=" + filepath.Join(s.config.Folder, "turnserver.pid"),
	}
}

// responds reports whether the server responds over UDP and accepts connections of TCP.
func (s *Server) responds(ctx context.Context) bool {
	var d net.Dialer
	tcp, err := d.DialContext(ctx, "tcp", s.Addr())
	if err != nil {
		return false
	}
	_ = tcp.Close()
	udp, err := d.DialContext(ctx, "udp", s.Addr())
	if err != nil {
		return false
	}
	defer udp.Close() //nolint:errcheck // nothing was written that could be lost
	// A binding request (RFC 8489).
	request := []byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 'i', 'n', 's', 'i', 'g', 'h', 't', 'h', 'u', 'b', '0', '0'}
	_ = udp.SetDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := udp.Write(request); err != nil {
		return false
	}
	n, err := udp.Read(make([]byte, 1500))
	return err == nil && n > 0
}

// Addr returns the host and port at which it listens.
func (s *Server) Addr() string {
	return net.JoinHostPort(s.config.Address, strconv.Itoa(s.config.Port))
}

// Port returns the port at which it listens.
func (s *Server) Port() int { return s.config.Port }

// Stop ends the server, and with it what it relays.
func (s *Server) Stop(ctx context.Context) error {
	s.stop.Lock()
	defer s.stop.Unlock()
	if !s.End(ctx, syscall.SIGTERM) {
		s.Kill()
	}
	return s.removeTemporary()
}

func (s *Server) removeTemporary() error {
	if s.temporary == "" {
		return nil
	}
	return os.RemoveAll(s.temporary)
}
