package prometheus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// pidFile names the process that serves a data directory.
const pidFile = "prometheus.pid"

func (c Config) configFile() string { return filepath.Join(c.DataDir, "prometheus.yaml") }

// prepare makes the data directory and writes the server's configuration, anew at
// each start so that this version's own holds.
func (c Config) prepare(listen string) error {
	if err := os.MkdirAll(filepath.Join(c.DataDir, "tsdb"), 0o750); err != nil {
		return err
	}
	return os.WriteFile(c.configFile(), c.yaml(listen), 0o600)
}

func (c Config) yaml(listen string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Written at each start of the local stack.\nglobal:\n  evaluation_interval: %s\n", duration(c.EvaluationInterval))
	if c.OutOfOrder > 0 {
		fmt.Fprintf(&b, "storage:\n  tsdb:\n    out_of_order_time_window: %s\n", duration(c.OutOfOrder))
	}
	if len(c.Rules) > 0 {
		fmt.Fprintln(&b, "rule_files:")
		for _, rule := range c.Rules {
			fmt.Fprintf(&b, "  - %s\n", strconv.Quote(rule))
		}
	}
	if c.ScrapeItself {
		fmt.Fprintln(&b, "scrape_configs:\n  - job_name: prometheus\n    scrape_interval: "+duration(c.EvaluationInterval)+"\n    static_configs:\n      - targets: ["+strconv.Quote(listen)+"]")
	}
	return b.Bytes()
}

// duration is d as Prometheus reads it, which knows no fractions and no mixture.
func duration(d time.Duration) string {
	return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
}

func (s *Server) note() error {
	return os.WriteFile(filepath.Join(s.config.DataDir, pidFile), []byte(strconv.Itoa(s.PID())+"\n"), 0o600)
}

// awaitPredecessor waits for a server that still shuts down after its parent
// died. One that stays is an error: two servers never share a folder.
func awaitPredecessor(ctx context.Context, dataDir string) error {
	deadline := time.After(20 * time.Second)
	for {
		pid := predecessor(dataDir)
		if pid == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("another server (pid %d) runs on it: %w", pid, ctx.Err())
		case <-deadline:
			return fmt.Errorf("another server (pid %d) runs on it", pid)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// predecessor returns the process that serves the folder, or 0. A file that
// outlived its process, whose number another may have by now, names none.
func predecessor(dataDir string) int {
	content, err := os.ReadFile(filepath.Join(dataDir, pidFile)) //nolint:gosec // the folder is ours
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return 0
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !strings.Contains(string(cmdline), "--storage.tsdb.path="+filepath.Join(dataDir, "tsdb")) {
		return 0
	}
	return pid
}

// errPortTaken is a port that somebody took between its choice and its use.
var errPortTaken = errors.New("the port is taken")

// tail passes the log on and keeps its errors, which say why a start failed.
type tail struct {
	to    io.Writer
	mu    sync.Mutex
	lines []string
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	for line := range strings.Lines(string(p)) {
		if strings.Contains(line, "level=error") || strings.Contains(line, "level=ERROR") || strings.Contains(line, "error: ") {
			t.lines = append(t.lines, strings.TrimSpace(line))
			t.lines = t.lines[max(0, len(t.lines)-5):]
		}
	}
	t.mu.Unlock()
	return t.to.Write(p)
}

func (t *tail) explain(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	said := strings.Join(t.lines, "; ")
	if said == "" {
		said = "its log says why"
	}
	if strings.Contains(said, "address already in use") {
		return fmt.Errorf("%w: %w: %s", errPortTaken, err, said)
	}
	return fmt.Errorf("%w: %s", err, said)
}
