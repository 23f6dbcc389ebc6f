package prometheus_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/insighthub/insighthub/cdk/local/process/processtest"
	"github.com/insighthub/insighthub/cdk/local/prometheus"
	"github.com/insighthub/insighthub/cdk/local/prometheus/prometheustest"
	"github.com/insighthub/insighthub/lib/eventually"
)

const binary = "../../../.local/prometheus/bin/prometheus"

// onEach runs a test on the stack's server and on a Prometheus 3.
func onEach(t *testing.T, test func(t *testing.T, binary string)) {
	t.Helper()
	t.Run("stack", func(t *testing.T) { needBinary(t); test(t, binary) })
	t.Run("3", func(t *testing.T) { test(t, prometheustest.Server3(t)) })
}

// TestMain lets the test binary play a host that is killed before it stops its server.
func TestMain(m *testing.M) {
	if dir := os.Getenv(processtest.Folder); dir != "" {
		processtest.Host(func() (int, error) {
			server, err := prometheus.Start(context.Background(), prometheus.Config{Binary: binary, DataDir: dir})
			if err != nil {
				return 0, err
			}
			return server.PID(), nil
		})
	}
	os.Exit(m.Run())
}

func needBinary(t *testing.T) {
	t.Helper()
	processtest.NeedFile(t, binary, "run cdk/local/prometheus/install.sh .local/prometheus")
}

func start(t *testing.T, config prometheus.Config) *prometheus.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	config.Logs = t.Output()
	if config.Binary == "" {
		config.Binary = binary
	}
	s, err := prometheus.Start(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
	return s
}

// write sends one sample as remote write 1.0 and returns the status.
func write(t *testing.T, s *prometheus.Server, name string, value uint64, at time.Time) int {
	t.Helper()
	message := func(number protowire.Number, fields ...[]byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), bytes.Join(fields, nil))
	}
	text := func(number protowire.Number, s string) []byte { return message(number, []byte(s)) }
	sample := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), value)
	sample = protowire.AppendVarint(protowire.AppendTag(sample, 2, protowire.VarintType), uint64(at.UnixMilli()))
	request := message(1, message(1, text(1, "__name__"), text(2, name)), message(2, sample))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/api/v1/write",
		bytes.NewReader(snappy.Encode(nil, request)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "snappy")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

const (
	one = 0x3FF0000000000000 // 1.0
	two = 0x4000000000000000 // 2.0
)

// query returns the value of the first series, "" if there is none.
func query(t *testing.T, s *prometheus.Server, expr string) string {
	t.Helper()
	res, err := http.PostForm(s.URL()+"/api/v1/query", url.Values{"query": {expr}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct {
		Error string
		Data  struct{ Result []struct{ Value [2]any } }
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || answer.Error != "" {
		t.Fatalf("query %s: %v %s", expr, err, answer.Error)
	}
	if len(answer.Data.Result) == 0 {
		return ""
	}
	return answer.Data.Result[0].Value[1].(string)
}

func TestKeepsDataOverStopAndCrash(t *testing.T) { onEach(t, keepsData) }

func keepsData(t *testing.T, binary string) {
	t.Helper()
	dir := t.TempDir()
	s := start(t, prometheus.Config{Binary: binary, DataDir: dir})
	now := time.Now()
	if status := write(t, s, "kept", one, now.Add(-2*time.Second)); status != http.StatusNoContent {
		t.Fatalf("write: status %d, want 204", status)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatalf("Stop: %v", err)
	}

	s = start(t, prometheus.Config{Binary: binary, DataDir: dir})
	if got := query(t, s, "kept"); got != "1" {
		t.Errorf("after a stop: %q, want 1", got)
	}
	if status := write(t, s, "kept", two, now.Add(-time.Second)); status != http.StatusNoContent {
		t.Fatalf("write: status %d, want 204", status)
	}
	if err := syscall.Kill(s.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-s.Exited()

	// The killed server could remove neither its lock nor its pid file.
	if err := os.WriteFile(filepath.Join(dir, "tsdb", "lock"), []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = start(t, prometheus.Config{Binary: binary, DataDir: dir})
	if got := query(t, s, "sum_over_time(kept[1h])"); got != "3" {
		t.Errorf("after a crash: %q, want 1 + 2", got)
	}
}

// TestAcceptsOldSamples: a replay after a crash writes samples a second time.
func TestAcceptsOldSamples(t *testing.T) { onEach(t, acceptsOldSamples) }

func acceptsOldSamples(t *testing.T, binary string) {
	t.Helper()
	s := start(t, prometheus.Config{Binary: binary, DataDir: t.TempDir()})
	now := time.Now()
	for _, age := range []time.Duration{
		20 * time.Second, 15 * time.Second, 10 * time.Second, 20 * time.Second, 15 * time.Second,
		50 * time.Minute,
	} {
		if status := write(t, s, "replayed", one, now.Add(-age)); status != http.StatusNoContent {
			t.Errorf("a sample %v old: status %d, want 204", age, status)
		}
	}
	if got := query(t, s, "count_over_time(replayed[1h])"); got != "4" {
		t.Errorf("got %s samples, want the 4 different ones", got)
	}

	strict := start(t, prometheus.Config{Binary: binary, DataDir: t.TempDir(), OutOfOrder: -1})
	write(t, strict, "replayed", one, now)
	if status := write(t, strict, "replayed", one, now.Add(-time.Second)); status != http.StatusBadRequest {
		t.Errorf("without the window an old sample: status %d, want 400", status)
	}
}

// TestAcceptsABacklog: after an outage the server receives samples of all of it, of series
// that have ended and of new ones, while the rules write current samples.
func TestAcceptsABacklog(t *testing.T) { onEach(t, acceptsBacklog) }

func acceptsBacklog(t *testing.T, binary string) {
	t.Helper()
	dir := t.TempDir()
	s := start(t, prometheus.Config{Binary: binary, DataDir: dir})
	now := time.Now()
	stopped := now.Add(-11*time.Hour - 30*time.Minute)
	if status := write(t, s, "before", one, stopped); status != http.StatusNoContent {
		t.Fatalf("status %d", status)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = start(t, prometheus.Config{Binary: binary, DataDir: dir})
	write(t, s, "fresh", one, now)
	for _, age := range []time.Duration{11 * time.Hour, 3 * time.Hour, 61 * time.Minute, 59 * time.Minute, 5 * time.Minute, 0} {
		for _, series := range []string{"before", "young"} {
			if status := write(t, s, series, one, now.Add(-age)); status != http.StatusNoContent {
				t.Errorf("a sample of %s, %v old: status %d, want 204", series, age, status)
			}
		}
	}
	for series, want := range map[string]string{"before": "7", "young": "6"} {
		if got := query(t, s, "count_over_time("+series+"[12h])"); got != want {
			t.Errorf("%s: got %s samples, want %s", series, got, want)
		}
	}
}

func TestEvaluatesRulesAndScrapesItself(t *testing.T) { onEach(t, evaluatesRules) }

func evaluatesRules(t *testing.T, binary string) {
	t.Helper()
	dir := t.TempDir()
	rules := filepath.Join(dir, "one.yaml")
	content := "groups:\n  - name: test\n    interval: 1s\n    rules:\n      - record: two\n        expr: 1 + 1\n"
	if err := os.WriteFile(rules, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, prometheus.Config{
		Binary: binary, DataDir: filepath.Join(dir, "data"), Rules: []string{filepath.Join(dir, "*.yaml")},
		ScrapeItself: true, EvaluationInterval: time.Second,
	})
	eventually.Equal(t, "the rule's result", "2", func() string { return query(t, s, "two") })
	eventually.Equal(t, "the server's own metrics", "1", func() string { return query(t, s, `up{job="prometheus"}`) })

	if err := os.WriteFile(rules, []byte(strings.ReplaceAll(content, "two", "again")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	eventually.Equal(t, "the changed rule's result", "2", func() string { return query(t, s, "again") })
}

// The pages are read from the unpacked tree; a server from the PATH brings its own.
func TestServesItsPage(t *testing.T) {
	needBinary(t)
	s := start(t, prometheus.Config{DataDir: t.TempDir()})
	res, err := http.Get(s.URL() + "/graph")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || !bytes.Contains(page, []byte("<title>Prometheus")) {
		t.Errorf("GET /graph: %v, status %d, want 200 and Prometheus's page", err, res.StatusCode)
	}
}

func TestEndsWithItsHost(t *testing.T) {
	needBinary(t)
	dir := t.TempDir()
	pid := processtest.Orphan(t, dir)
	// The next start waits for the orphan, so that two never share the folder.
	start(t, prometheus.Config{DataDir: dir})
	if processtest.Alive(pid) {
		t.Errorf("server %d still runs after its host was killed", pid)
	}
}

func TestStartErrors(t *testing.T) {
	needBinary(t)
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken, []byte("groups: [{name: a, rules: [{record: x, expr: '1 +'}]}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	running := t.TempDir()
	start(t, prometheus.Config{DataDir: running})
	for name, c := range map[string]struct {
		config prometheus.Config
		want   string
	}{
		"no binary":      {prometheus.Config{Binary: "/nonexistent/bin/prometheus"}, "install.sh"},
		"no rules":       {prometheus.Config{Rules: []string{"/nonexistent/*.yaml"}}, "no rule file"},
		"broken rule":    {prometheus.Config{Rules: []string{broken}}, "unexpected end of input"},
		"address in use": {prometheus.Config{Listen: taken.Addr().String()}, "the port is in use"},
		"folder in use":  {prometheus.Config{DataDir: running, Listen: taken.Addr().String()}, "another server"},
		"no such folder": {prometheus.Config{DataDir: "/dev/null/data"}, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			if c.config.DataDir == running {
				cancel() // without it, Start would wait for the other server
			}
			if c.config.Binary == "" {
				c.config.Binary = binary
			}
			if c.config.DataDir == "" {
				c.config.DataDir = t.TempDir()
			}
			s, err := prometheus.Start(ctx, c.config)
			if err == nil {
				_ = s.Stop(t.Context())
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Start: got %v, want an error with %q", err, c.want)
			}
		})
	}
}
