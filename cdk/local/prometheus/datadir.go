package prometheus

import (
	"bytes"
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

// pidFile holds the id of the process that uses the data directory.
const pidFile = "prometheus.pid"

func (c Config) configFile() string { return filepath.Join(c.DataDir, "prometheus.yaml") }

// prepare creates the data directory, and writes the server's configuration at each start
// so that it is that of this version.
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
		fmt.Fprintf(&b, "scrape_configs:\n  - job_name: prometheus\n    scrape_interval: %s\n    static_configs:\n      - targets: [%q]\n",
			duration(c.EvaluationInterval), listen)
	}
	return b.Bytes()
}

// duration formats d for Prometheus, which accepts no fractions.
func duration(d time.Duration) string {
	return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
}

func (s *Server) writePID() error {
	return os.WriteFile(filepath.Join(s.config.DataDir, pidFile), []byte(strconv.Itoa(s.PID())+"\n"), 0o600)
}

// predecessor returns the id of the process that uses the folder, or 0. The file may be
// stale, and its id that of another program.
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

// errPortInUse says that another process opened the port after it was selected.
var errPortInUse = errors.New("the port is in use")

// tail copies the log and stores its last errors, which say why a start failed.
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
	last := strings.Join(t.lines, "; ")
	if last == "" {
		last = "see its log"
	}
	if strings.Contains(last, "address already in use") {
		return fmt.Errorf("%w: %w: %s", errPortInUse, err, last)
	}
	return fmt.Errorf("%w: %s", err, last)
}
