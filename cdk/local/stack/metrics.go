package stack

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/insighthub/insighthub/cdk/local/prometheus"
	"github.com/insighthub/insighthub/cdk/local/template"
)

const (
	prometheusPort  = "127.0.0.1:9090"
	prometheusStart = time.Minute
	prometheusStop  = 20 * time.Second
)

// prometheusEnvironment is that of a server that in AWS has its own machine and here
// shares the processors. It has a low priority already, so it may use all of them, with a
// thread for queries besides those for rules; and it uses memory, half a gigabyte, rather
// than processor time for garbage collection.
func prometheusEnvironment() []string { return []string{"GOMAXPROCS=4", "GOGC=400"} }

// metrics is the Prometheus server that emulates the plan's workspace. Like the database
// it is restarted at its address; until then the functions retry their writes.
type metrics struct {
	supervisor[*prometheus.Server]
	workspace template.Workspace
}

func (s *Stack) startPrometheus(ctx context.Context) error {
	if len(s.plan.Workspaces) == 0 {
		return nil
	}
	rules, err := s.writeRules()
	if err != nil {
		return err
	}
	logs, err := s.openLog("prometheus")
	if err != nil {
		return err
	}
	if s.prometheus, err = startMetrics(ctx, s.cfg, s.plan.Workspaces[0], rules, logs, s.printf); err != nil {
		return err
	}
	s.onClose("prometheus", s.prometheus.close)
	s.info.Prometheus = s.prometheus.url()
	s.printf("prometheus %s, process %d, %d rule files, samples in %s",
		s.info.Prometheus, s.prometheus.pid(), len(rules), s.cfg.path("metrics"))
	return nil
}

// writeRules writes the rules of the template to files, and removes those of the
// previous run.
func (s *Stack) writeRules() ([]string, error) {
	dir := s.cfg.path("metrics", "rules")
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("write the rules: %w", err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("write the rules: %w", err)
	}
	var files []string
	for _, g := range s.plan.RuleGroups {
		path := s.cfg.path("metrics", "rules", g.Name+".yaml")
		if err := os.WriteFile(path, []byte(g.Data), 0o600); err != nil {
			return nil, fmt.Errorf("write the rules: %s: %w", g, err)
		}
		files = append(files, path)
	}
	return files, nil
}

func startMetrics(ctx context.Context, cfg Config, w template.Workspace, rules []string, logs io.Writer,
	printf func(string, ...any),
) (*metrics, error) {
	config := prometheus.Config{
		Binary: cfg.prometheus(), DataDir: cfg.path("metrics"), Rules: rules, Logs: logs,
		Listen: listenFor(ctx, cfg.PrometheusHTTP), Environment: prometheusEnvironment(),
	}
	start, stop := context.WithTimeout(ctx, prometheusStart)
	defer stop()
	running, err := prometheus.Start(start, config)
	if err != nil {
		return nil, err
	}
	// The address stays the same after a restart: the functions read it once.
	config.Listen = strings.TrimPrefix(running.URL(), "http://")
	m := &metrics{workspace: w}
	m.name, m.log, m.printf = "prometheus", "prometheus", printf
	m.startTimeout, m.stopTimeout = prometheusStart, prometheusStop
	m.start = func(ctx context.Context) (*prometheus.Server, error) { return prometheus.Start(ctx, config) }
	m.supervise(ctx, running)
	return m, nil
}

// listenFor returns the configured address, or else Prometheus's default port if it is free.
func listenFor(ctx context.Context, configured string) string {
	if configured != "" {
		return configured
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", prometheusPort)
	if err != nil {
		return "127.0.0.1:0"
	}
	_ = l.Close() // it was opened only to see whether the port is free
	return prometheusPort
}

func (m *metrics) url() string { return m.current().URL() }

// localise replaces the workspace's address in the value of a function's variable by the
// server's. The managed service has another path for remote write.
func (m *metrics) localise(value string) string {
	value = strings.ReplaceAll(value, m.workspace.RemoteWrite(), m.url()+"/api/v1/write")
	return strings.ReplaceAll(value, m.workspace.Endpoint, m.url()+"/")
}
