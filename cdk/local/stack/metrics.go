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

// besides is the environment of a server that in AWS is a machine of its own and
// here shares this one's processors. It gives way to the others already, so it may run
// on all of them, with a thread for a question beside those of the rules; and it
// spends memory, half a gigabyte, rather than time on collecting it.
func besides() []string { return []string{"GOMAXPROCS=4", "GOGC=400"} }

// metrics is the Prometheus that stands for the plan's workspace. Like the database it
// is kept at its address; the functions repeat meanwhile what they write.
type metrics struct {
	keeper[*prometheus.Server]
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
	if s.prometheus, err = startMetrics(ctx, s.cfg, s.plan.Workspaces[0], rules, logs, s.say); err != nil {
		return err
	}
	s.onClose("prometheus", s.prometheus.close)
	s.info.Prometheus = s.prometheus.url()
	s.say("prometheus %s, process %d, %d files of rules, samples in %s",
		s.info.Prometheus, s.prometheus.pid(), len(rules), s.cfg.path("metrics"))
	return nil
}

// writeRules writes the rules of the template to files, and takes away those of the
// run before.
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

func startMetrics(ctx context.Context, cfg Config, w template.Workspace, rules []string, logs io.Writer, say func(string, ...any)) (*metrics, error) {
	config := prometheus.Config{
		Binary: cfg.prometheus(), DataDir: cfg.path("metrics"), Rules: rules, Logs: logs,
		Listen: listenFor(ctx, cfg.PrometheusHTTP), Environment: besides(),
	}
	start, stop := context.WithTimeout(ctx, prometheusStart)
	defer stop()
	running, err := prometheus.Start(start, config)
	if err != nil {
		return nil, err
	}
	// The functions are told the address once.
	config.Listen = strings.TrimPrefix(running.URL(), "http://")
	m := &metrics{workspace: w}
	m.name, m.log, m.say = "prometheus", "prometheus", say
	m.startTime, m.stopTime = prometheusStart, prometheusStop
	m.start = func(ctx context.Context) (*prometheus.Server, error) { return prometheus.Start(ctx, config) }
	m.keep(ctx, running)
	return m, nil
}

// listenFor returns the address asked for, or else Prometheus's own port if it is free.
func listenFor(ctx context.Context, asked string) string {
	if asked != "" {
		return asked
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", prometheusPort)
	if err != nil {
		return "127.0.0.1:0"
	}
	_ = l.Close() // nothing was served there
	return prometheusPort
}

func (m *metrics) url() string { return m.current().URL() }

// localise replaces the workspace's address, in the value of a function's variable,
// by the server's. The managed service takes remote write at another path.
func (m *metrics) localise(value string) string {
	value = strings.ReplaceAll(value, m.workspace.RemoteWrite(), m.url()+"/api/v1/write")
	return strings.ReplaceAll(value, m.workspace.Endpoint, m.url()+"/")
}
