// Package prometheus runs a Prometheus server as a child of the local stack, from
// the tree that install.sh unpacked or from any other binary. The server takes
// what remote write sends it, evaluates the repository's rules and answers
// queries; it scrapes nobody but, if asked, itself.
package prometheus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/insighthub/insighthub/cdk/local/process"
)

// Config says which server to run on which files.
type Config struct {
	// Binary is the server's program, at least version 2.42.
	Binary string
	// DataDir holds the configuration that Start writes and, below tsdb, the samples.
	DataDir string
	// Listen is the address to serve on; "" and port 0 take a free port of 127.0.0.1.
	Listen string
	// Rules are the files of recording and alerting rules; none of them may be
	// missing. They may be patterns as [filepath.Glob] reads them.
	Rules []string
	// ScrapeItself stores the server's own metrics as job "prometheus".
	ScrapeItself bool
	// EvaluationInterval is that of rule groups that name none, and of scraping
	// itself; 0 means 15 s.
	EvaluationInterval time.Duration
	// OutOfOrder is how old a sample may be that is older than the newest of its
	// series, or more than an hour older than the newest of all; 0 means a day, negative
	// none. It makes a replay after a crash harmless: without it the server refuses any
	// sample that is older than its series' newest, even one that it has. And it takes
	// what an outage has held back: a day is more than the dev stage's stream keeps.
	OutOfOrder time.Duration
	// Features are switched on beside those that the server has behind a flag and that
	// the platform wants: exemplars and native histograms.
	Features []string
	// Retention is how long samples are kept; 0 means 15 days.
	Retention time.Duration
	// Environment is added to the server's, for example GOGC=400.
	Environment []string
	// Logs receives the server's log; nil discards it.
	Logs io.Writer
}

// Server is a running server. Its methods may be called concurrently.
type Server struct {
	config  Config
	listen  string
	process *process.Child
	stop    sync.Mutex
}

// attempts bounds how often Start looks for a free port: another process may take
// the one found before the server does.
const attempts = 5

// Start runs the server and returns when it is ready for writes and queries. What
// an earlier server stored in the folder is still there, also after a crash. The
// server is told to shut down when this process dies, however it dies.
func Start(ctx context.Context, config Config) (_ *Server, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("start prometheus on %s: %w", config.DataDir, err)
		}
	}()
	config, err = config.withDefaults()
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		s, err := start(ctx, config)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, errPortTaken) || attempt == attempts || !freeChoice(config.Listen) {
			return nil, err
		}
	}
}

func start(ctx context.Context, config Config) (*Server, error) {
	listen, err := resolve(ctx, config.Listen)
	if err != nil {
		return nil, err
	}
	if err := awaitPredecessor(ctx, config.DataDir); err != nil {
		return nil, err
	}
	if err := config.prepare(listen); err != nil {
		return nil, err
	}
	s := &Server{config: config, listen: listen}
	log := &tail{to: config.Logs}
	if err := s.launch(ctx, log); err != nil {
		return nil, err
	}
	if err := s.note(); err != nil {
		return nil, errors.Join(err, s.Stop(ctx))
	}
	if err := s.awaitReady(ctx); err != nil {
		_ = s.Stop(ctx)
		return nil, log.explain(err)
	}
	return s, nil
}

// URL is where the server's API and pages are, without a slash at the end. Remote
// write goes to URL()+"/api/v1/write".
func (s *Server) URL() string { return "http://" + s.listen }

// PID is the server's process.
func (s *Server) PID() int { return s.process.PID() }

// Exited is closed when the server has ended, asked or not.
func (s *Server) Exited() <-chan struct{} { return s.process.Exited() }

// Stop ends the server after it has answered what it is at. If ctx ends first it
// is killed; the next start reads its write-ahead log either way.
func (s *Server) Stop(ctx context.Context) error {
	s.stop.Lock()
	defer s.stop.Unlock()
	if !s.process.End(ctx, syscall.SIGTERM) {
		s.process.Kill()
		return fmt.Errorf("prometheus did not end in time: %w", ctx.Err())
	}
	if err := s.process.Err(); err != nil {
		return fmt.Errorf("prometheus ended: %w", err)
	}
	return nil
}

// Reload makes the server read its rule files again.
func (s *Server) Reload() error { return s.process.Signal(syscall.SIGHUP) }

// Ready reports whether the server takes writes and answers queries.
func (s *Server) Ready(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/-/ready", http.NoBody)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	return res.Body.Close() == nil && res.StatusCode == http.StatusOK
}

func (c Config) withDefaults() (Config, error) {
	var err error
	if c.Binary, err = filepath.Abs(c.Binary); err != nil {
		return c, err
	}
	// The path without links leads to the tree whose pages the server serves.
	binary, err := filepath.EvalSymlinks(c.Binary)
	if err != nil {
		tree := filepath.Dir(filepath.Dir(c.Binary))
		return c, fmt.Errorf("no server; run cdk/local/prometheus/install.sh %s: %w", tree, err)
	}
	c.Binary = binary
	if c.DataDir, err = filepath.Abs(c.DataDir); err != nil {
		return c, err
	}
	c.Rules = slices.Clone(c.Rules)
	for i, rule := range c.Rules {
		if c.Rules[i], err = filepath.Abs(rule); err != nil {
			return c, err
		}
		found, err := filepath.Glob(c.Rules[i])
		if err != nil || len(found) == 0 {
			return c, errors.Join(fmt.Errorf("no rules at %s", c.Rules[i]), err)
		}
	}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	if c.EvaluationInterval == 0 {
		c.EvaluationInterval = 15 * time.Second
	}
	if c.OutOfOrder == 0 {
		c.OutOfOrder = 24 * time.Hour
	}
	if c.Retention == 0 {
		c.Retention = 15 * 24 * time.Hour
	}
	if c.Logs == nil {
		c.Logs = io.Discard
	}
	return c, nil
}

func freeChoice(listen string) bool { return strings.HasSuffix(listen, ":0") }

// resolve replaces port 0. The server itself could choose, and would not say what.
func resolve(ctx context.Context, listen string) (string, error) {
	if !freeChoice(listen) {
		return listen, nil
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", listen)
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

func (s *Server) launch(ctx context.Context, log io.Writer) error {
	features, err := s.features(ctx)
	if err != nil {
		return err
	}
	// The server outlives the call; only Stop ends it.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), s.config.Binary, s.arguments(features)...) //nolint:gosec // the caller names it
	// Where install.sh's copy finds its pages; all other paths are absolute.
	cmd.Dir = filepath.Join(filepath.Dir(s.config.Binary), "..", "..")
	cmd.Env = append([]string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC"}, s.config.Environment...)
	cmd.Stdout, cmd.Stderr = log, log
	// People wait for the functions, and for the database behind them; that the rules are
	// evaluated at once, each quarter of a minute, nobody needs.
	s.process, err = process.StartLowPriority(cmd, syscall.SIGTERM)
	return err
}

// features lists what to switch on. Exemplars and native histograms are behind a
// flag in some versions; in others they need none.
func (s *Server) features(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	help, err := exec.CommandContext(ctx, s.config.Binary, "--help").CombinedOutput() //nolint:gosec // the caller names it
	if err != nil {
		return nil, fmt.Errorf("%s --help: %w: %s", s.config.Binary, err, help)
	}
	out := slices.Clone(s.config.Features)
	for _, feature := range []string{"exemplar-storage", "native-histograms"} {
		if regexp.MustCompile(`\b` + feature + `\b`).Match(help) {
			out = append(out, feature)
		}
	}
	return out, nil
}

func (s *Server) arguments(features []string) []string {
	arguments := []string{
		"--config.file=" + s.config.configFile(),
		"--storage.tsdb.path=" + filepath.Join(s.config.DataDir, "tsdb"),
		"--storage.tsdb.retention.time=" + duration(s.config.Retention),
		"--web.listen-address=" + s.listen,
		"--web.enable-remote-write-receiver",
		"--log.level=info",
	}
	if len(features) > 0 {
		arguments = append(arguments, "--enable-feature="+strings.Join(features, ","))
	}
	return arguments
}

func (s *Server) awaitReady(ctx context.Context) error {
	for {
		if s.Ready(ctx) {
			return nil
		}
		select {
		case <-s.process.Exited():
			return fmt.Errorf("the server ended while starting (%w)", s.process.Err())
		case <-ctx.Done():
			return fmt.Errorf("the server did not become ready: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
