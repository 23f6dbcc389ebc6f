// Package prometheus runs a Prometheus server as a child of the local stack, from the tree
// that install.sh unpacked or from any other binary. The server receives remote write,
// evaluates the repository's rules and serves queries; it scrapes only itself, if
// configured.
package prometheus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/insighthub/insighthub/cdk/local/process"
)

// Config of a Server.
type Config struct {
	// Binary is the server's program, at least version 2.42.
	Binary string
	// DataDir holds the configuration that Start writes and, below tsdb, the samples.
	DataDir string
	// Listen is the server's address; "" and port 0 select a free port of 127.0.0.1.
	Listen string
	// Rules are the files of recording and alerting rules, or patterns of [filepath.Glob].
	// Each must match a file.
	Rules []string
	// ScrapeItself stores the server's own metrics as job "prometheus".
	ScrapeItself bool
	// EvaluationInterval is that of rule groups without one, and the scrape interval;
	// default 15 s.
	EvaluationInterval time.Duration
	// OutOfOrder is the largest age of a sample that is older than the newest of its
	// series, or more than an hour older than the newest of all; default a day, negative
	// none. It makes a replay after a crash harmless: without it the server rejects any
	// sample that is older than the newest of its series, even a duplicate. And it accepts
	// the backlog of an outage: a day is more than the retention of the dev stage's stream.
	OutOfOrder time.Duration
	// Features are enabled in addition to exemplars and native histograms, which the
	// platform needs.
	Features []string
	// Retention of samples; default 15 days.
	Retention time.Duration
	// Environment is added to the server's, for example GOGC=400.
	Environment []string
	// Logs receives the server's log; nil discards it.
	Logs io.Writer
}

// Server is a running server. Its methods may be called concurrently.
type Server struct {
	*process.Child
	config Config
	listen string
}

// Start runs the server and returns when it is ready for writes and queries. It has the
// samples of earlier servers on the folder, also after a crash. When this process ends,
// however it ends, the kernel signals the server to shut down.
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
	return process.OnPort(ctx, config.Listen, func(listen string) (*Server, error) { return start(ctx, config, listen) })
}

func start(ctx context.Context, config Config, listen string) (*Server, error) {
	if err := process.WaitForPredecessor(ctx, func() int { return predecessor(config.DataDir) }); err != nil {
		return nil, err
	}
	if err := config.prepare(listen); err != nil {
		return nil, err
	}
	s := &Server{config: config, listen: listen}
	log := process.NewLog(config.Logs)
	if err := s.launch(ctx, log); err != nil {
		return nil, err
	}
	if err := s.writePID(); err != nil {
		return nil, errors.Join(err, s.Stop(ctx))
	}
	if err := s.AwaitReady(ctx, func() bool { return s.Ready(ctx) }); err != nil {
		_ = s.Stop(ctx)
		return nil, explain(err, log.Tail())
	}
	return s, nil
}

// URL returns that of the server's API and pages, without a slash at the end. Remote
// write is at URL()+"/api/v1/write".
func (s *Server) URL() string { return "http://" + s.listen }

// Stop ends the server after the requests in flight. If ctx ends first, it is killed; the
// next start reads its write-ahead log either way.
func (s *Server) Stop(ctx context.Context) error {
	if err := s.Child.Stop(ctx, syscall.SIGTERM); err != nil {
		return fmt.Errorf("prometheus %w", err)
	}
	return nil
}

// Reload makes the server reload its rule files.
func (s *Server) Reload() error { return s.Signal(syscall.SIGHUP) }

// Ready reports whether the server is ready for writes and queries.
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
	// Without links, the path leads to the tree with the server's web pages.
	if c.Binary, err = process.Installed(c.Binary, "cdk/local/prometheus/install.sh"); err != nil {
		return c, err
	}
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
			return c, errors.Join(fmt.Errorf("no rule file matches %s", c.Rules[i]), err)
		}
	}
	c.Listen = cmp.Or(c.Listen, "127.0.0.1:0")
	c.EvaluationInterval = cmp.Or(c.EvaluationInterval, 15*time.Second)
	c.OutOfOrder = cmp.Or(c.OutOfOrder, 24*time.Hour)
	c.Retention = cmp.Or(c.Retention, 15*24*time.Hour)
	c.Logs = cmp.Or(c.Logs, io.Discard)
	return c, nil
}

func (s *Server) launch(ctx context.Context, log io.Writer) error {
	features, err := s.features(ctx)
	if err != nil {
		return err
	}
	cmd := process.ServerCommand(ctx, log, s.config.Binary, s.arguments(features)...)
	// The tree of install.sh has the web pages there; all other paths are absolute.
	cmd.Dir = filepath.Join(filepath.Dir(s.config.Binary), "..", "..")
	cmd.Env = append(cmd.Env, s.config.Environment...)
	// Users wait for the functions and the database, not for the rules, which are evaluated
	// every 15 s.
	s.Child, err = process.StartLowPriority(cmd, syscall.SIGTERM)
	return err
}

// features returns the features to enable. Exemplars and native histograms need a flag in
// some versions only.
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
