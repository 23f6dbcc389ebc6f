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
	*process.Child
	config   Config
	password string
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
	config, err = config.withDefaults(ctx)
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
	if err := s.AwaitReady(ctx, s.ready); err != nil {
		return nil, errors.Join(fmt.Errorf("%w; see its log", err), s.Stop(ctx))
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

// Stop ends the server: open transactions are rolled back, and a checkpoint is written. If
// ctx ends first, the server ends at once, and recovers from its log at the next start.
// Nothing committed is lost either way.
func (s *Server) Stop(ctx context.Context) error {
	s.stop.Lock()
	defer s.stop.Unlock()
	if !s.End(ctx, syscall.SIGINT) {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if !s.End(grace, syscall.SIGQUIT) {
			s.Kill()
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("postgres ended: %w", err)
	}
	return nil
}

func (c Config) withDefaults(ctx context.Context) (Config, error) {
	var err error
	if c.Tree, err = filepath.Abs(c.Tree); err != nil {
		return c, err
	}
	if _, err := process.Installed(filepath.Join(c.Tree, "bin", "postgres"), "cdk/local/postgres/install.sh"); err != nil {
		return c, err
	}
	if c.DataDir, err = filepath.Abs(c.DataDir); err != nil {
		return c, err
	}
	c.Database = cmp.Or(c.Database, "postgres")
	c.SharedBuffersMB = cmp.Or(c.SharedBuffersMB, 1024)
	c.Logs = cmp.Or(c.Logs, io.Discard)
	if c.Port == 0 {
		if c.Port, err = process.FreePort(ctx, "127.0.0.1"); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (s *Server) launch(ctx context.Context, account account) (err error) {
	cmd := process.ServerCommand(ctx, s.config.Logs, filepath.Join(s.config.Tree, "bin", "postgres"), s.arguments()...)
	cmd.Dir = s.config.DataDir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: account.credential()}
	s.Child, err = process.Start(cmd, syscall.SIGINT)
	return err
}

// ready reads the state in the server's lock file, as pg_ctl does.
func (s *Server) ready() bool {
	lock, err := readLockFile(s.config.DataDir)
	return err == nil && lock.pid == s.PID() && lock.status == "ready"
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
