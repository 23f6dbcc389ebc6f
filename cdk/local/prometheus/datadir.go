package prometheus

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/insighthub/insighthub/cdk/local/process"
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

// explain adds the last errors of the server's log, which say why a start failed.
func explain(err error, log string) error {
	var lines []string
	for line := range strings.Lines(log) {
		if strings.Contains(line, "level=error") || strings.Contains(line, "level=ERROR") || strings.Contains(line, "error: ") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	last := cmp.Or(strings.Join(lines[max(0, len(lines)-5):], "; "), "see its log")
	if strings.Contains(last, "address already in use") {
		return fmt.Errorf("%w: %w: %s", process.ErrPortInUse, err, last)
	}
	return fmt.Errorf("%w: %s", err, last)
}
