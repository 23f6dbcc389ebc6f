// Package postgres runs a PostgreSQL server with TimescaleDB as a child of the local
// stack, from the tree that install.sh unpacked. It starts, watches and stops the process;
// lib/timescale is the client.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/insighthub/insighthub/cdk/local/process"
)

// Superuser is the only role of a new data directory.
const Superuser = "postgres"

// Config of a Server.
type Config struct {
	// Tree is the folder that install.sh created.
	Tree string
	// DataDir holds the database's files; it is initialised on first use. If the caller is
	// root, the server runs as user nobody, who must be able to enter it.
	DataDir string
	// Port is the TCP port on 127.0.0.1; 0 selects a free one.
	Port int
	// Database is that of DSN, and is created if it is missing; default postgres.
	Database string
	// TLS makes the server prove who it is by a certificate, which is made for localhost and
	// 127.0.0.1 and stays in DataDir; DSN then verifies it.
	TLS bool
	// SharedBuffersMB is the page cache of the server; default 1024.
	SharedBuffersMB int
	// PreallocateWAL is the number of 16 MB files of the write-ahead log that a new data
	// directory has in advance. A server without files to recycle first fills the next one
	// with zeros, while a commit waits.
	PreallocateWAL int
	// Settings overrides or adds to the server's settings.
	Settings map[string]string
	// Logs receives the server's log; nil discards it.
	Logs io.Writer
}

// Server is a running server. Its methods may be called concurrently.
type Server struct {
	config   Config
	password string
	process  *process.Child
	stop     sync.Mutex
}

// Start runs the server and returns when it accepts connections. After a crash the server
// first recovers the data directory. When this process ends, however it ends, the kernel
// signals the server to shut down.
func Start(ctx context.Context, config Config) (_ *Server, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("start postgres on %s: %w", config.DataDir, err)
		}
	}()
	config, err = config.withDefaults()
	if err != nil {
		return nil, err
	}
	account, err := serverAccount()
	if err != nil {
		return nil, err
	}
	if err := account.reaches(config.Tree, filepath.Dir(config.DataDir)); err != nil {
		return nil, err
	}
	if err := process.WaitForPredecessor(ctx, func() int { return predecessor(config.DataDir) }); err != nil {
		return nil, err
	}
	password, err := initialise(ctx, config, account)
	if err != nil {
		return nil, err
	}
	if config.TLS {
		if err := ensureTLS(config.DataDir, account, time.Now()); err != nil {
			return nil, fmt.Errorf("make certificates: %w", err)
		}
	}
	s := &Server{config: config, password: password}
	if err := s.launch(ctx, account); err != nil {
		return nil, err
	}
	if err := s.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, s.Stop(ctx))
	}
	if err := s.ensureDatabase(ctx); err != nil {
		return nil, errors.Join(err, s.Stop(ctx))
	}
	return s, nil
}

// DSN returns that of Config.Database for the superuser.
func (s *Server) DSN() string {
	return s.dsn(s.config.Database)
}

// PID returns the id of the server's main process.
func (s *Server) PID() int { return s.process.PID() }

// Exited returns a channel that is closed when the server has ended.
func (s *Server) Exited() <-chan struct{} { return s.process.Exited() }

// Stop ends the server: open transactions are rolled back, and a checkpoint is written. If
// ctx ends first, the server ends at once, and recovers from its log at the next start.
// Nothing committed is lost either way.
func (s *Server) Stop(ctx context.Context) error {
	s.stop.Lock()
	defer s.stop.Unlock()
	if !s.process.End(ctx, syscall.SIGINT) {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if !s.process.End(grace, syscall.SIGQUIT) {
			s.process.Kill()
		}
	}
	if err := s.process.Err(); err != nil {
		return fmt.Errorf("postgres ended: %w", err)
	}
	return nil
}

func (c Config) withDefaults() (Config, error) {
	var err error
	if c.Tree, err = filepath.Abs(c.Tree); err != nil {
		return c, err
	}
	if _, err := os.Stat(filepath.Join(c.Tree, "bin", "postgres")); err != nil {
		return c, fmt.Errorf("postgresql is not installed in %s; run cdk/local/postgres/install.sh %s: %w", c.Tree, c.Tree, err)
	}
	if c.DataDir, err = filepath.Abs(c.DataDir); err != nil {
		return c, err
	}
	c.Database = cmp.Or(c.Database, "postgres")
	c.SharedBuffersMB = cmp.Or(c.SharedBuffersMB, 1024)
	c.Logs = cmp.Or(c.Logs, io.Discard)
	if c.Port == 0 {
		if c.Port, err = freePort(); err != nil {
			return c, err
		}
	}
	return c, nil
}

func freePort() (int, error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

func (s *Server) launch(ctx context.Context, account account) (err error) {
	// The server outlives ctx; only Stop ends it.
	program := filepath.Join(s.config.Tree, "bin", "postgres")
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, s.arguments()...) //nolint:gosec // the project's own tree
	cmd.Dir = s.config.DataDir
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC"}
	cmd.Stdout, cmd.Stderr = s.config.Logs, s.config.Logs
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: account.credential()}
	s.process, err = process.Start(cmd, syscall.SIGINT)
	return err
}

// awaitReady polls the state in the server's lock file, as pg_ctl does.
func (s *Server) awaitReady(ctx context.Context) error {
	for {
		lock, err := readLockFile(s.config.DataDir)
		if err == nil && lock.pid == s.process.PID() && lock.status == "ready" {
			return nil
		}
		select {
		case <-s.process.Exited():
			return fmt.Errorf("the server ended while starting (%w); its log says why", s.process.Err())
		case <-ctx.Done():
			return fmt.Errorf("the server did not become ready: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (s *Server) ensureDatabase(ctx context.Context) error {
	name := s.config.Database
	if name == "postgres" {
		return nil
	}
	found, err := s.psql(ctx, "SELECT 1 FROM pg_database WHERE datname = '"+strings.ReplaceAll(name, "'", "''")+"'")
	if err != nil || found != "" {
		return err
	}
	_, err = s.psql(ctx, `CREATE DATABASE "`+strings.ReplaceAll(name, `"`, `""`)+`"`)
	return err
}

func (s *Server) psql(ctx context.Context, statement string) (string, error) {
	program := filepath.Join(s.config.Tree, "bin", "psql")
	cmd := exec.CommandContext(ctx, program, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement) //nolint:gosec // the project's own tree
	cmd.Env = []string{
		"PATH=/usr/bin:/bin", "PGHOST=127.0.0.1", "PGPORT=" + strconv.Itoa(s.config.Port),
		"PGUSER=" + Superuser, "PGPASSWORD=" + s.password, "PGDATABASE=postgres",
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("psql: %w: %s", err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

func (s *Server) dsn(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(Superuser, s.password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(s.config.Port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	if s.config.TLS {
		u.RawQuery = url.Values{"sslmode": {"verify-full"}, "sslrootcert": {filepath.Join(s.config.DataDir, authorityFile)}}.Encode()
	}
	return u.String()
}
