package stack

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/local/prometheus/prometheustest"
	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
	"github.com/insighthub/insighthub/loadtest/kpicheck"
)

// outageLength is the shortest; the outage continues until it has as many windows.
const outageLength = 20 * time.Second

// TestKPIsAfterAnOutage: windows that close while Prometheus is unavailable are exported
// after it is restarted, in order, and with the values that the database computes. The
// command loadtest outage does the same for five minutes.
func TestKPIsAfterAnOutage(t *testing.T) {
	t.Parallel()
	t.Run("stack's server", func(t *testing.T) {
		t.Parallel()
		needPrometheus(t)
		outage(t, filepath.Join(prometheusTree, "bin", "prometheus"), "insighthub_ingest_lag_seconds_bucket")
	})
	t.Run("Prometheus 3", func(t *testing.T) {
		t.Parallel()
		outage(t, prometheustest.Server3(t), "insighthub_ingest_lag_seconds") // native, by 2.0
	})
}

// shortTimeout returns the test's assembly with a timeout of the bridge that is shorter than
// an outage, so that records are delivered again.
func shortTimeout(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "assembly")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "assembly"))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "Flow.template.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, bridge, found := strings.Cut(lenient(t, string(raw)), `"insighthub:package": "functions/bridge"`)
	shorter := strings.Replace(bridge, `"Timeout": 60,`, `"Timeout": 20,`, 1)
	if !found || shorter == bridge {
		t.Fatal("the assembly has no bridge with Timeout 60")
	}
	if err := os.WriteFile(path, []byte(before+`"insighthub:package": "functions/bridge"`+shorter), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// outage runs a stack with a Prometheus server. lags is the series of the ingest lag in it.
func outage(t *testing.T, server, lags string) {
	t.Helper()
	server, err := filepath.Abs(server)
	if err != nil {
		t.Fatal(err)
	}
	p := build(t)
	// Without the link the stack cannot restart its server.
	tree := t.TempDir()
	link := filepath.Join(tree, "bin", "prometheus")
	if err := os.Mkdir(filepath.Dir(link), 0o755); err != nil {
		t.Fatal(err)
	}
	plug := func() {
		if err := os.Symlink(server, link); err != nil {
			t.Fatal(err)
		}
	}
	plug()
	cfg := Config{State: t.TempDir(), Database: pgtest.NewDatabase(t), Functions: p.functions, Prometheus: tree, Assembly: shortTimeout(t)}
	s := startTest(t, cfg)

	fleet := exec.CommandContext(t.Context(), p.loadtest, "simulate", "-state", cfg.State, "-prefix", "fleet",
		"-gateways", "2", "-machines", "2", "-samples", "2", "-rate", "100", "-quiet")
	fleet.Stderr = t.Output()
	if err := fleet.Start(); err != nil {
		t.Fatal(err)
	}
	gateways := []string{"fleet-001", "fleet-002"}
	exported := func(what string, since int64) {
		t.Helper()
		eventually.True(t, what, func() bool {
			newest, err := kpicheck.Newest(t.Context(), kpicheck.Server(s.Info().Prometheus), gateways)
			for _, end := range newest {
				if end <= since {
					return false
				}
			}
			return err == nil && len(newest) == len(gateways)
		})
	}
	exported("KPIs before the outage", 0)
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(s.prometheus.pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-s.prometheus.current().Exited()
	down := time.Now().Unix()
	time.Sleep(outageLength)
	everyWindow(t, cfg, gateways, down+1, int(outageLength/windowLength))
	eventually.True(t, "an invocation that failed", func() bool {
		return bytes.Contains(logOf(t, cfg, "bridge"),
			[]byte(`"msg":"not bridged"`))
	})
	if resp, err := http.Get(s.Info().Prometheus + "/-/ready"); err == nil {
		_ = resp.Body.Close()
		t.Fatal("Prometheus responds during the outage")
	}
	up := time.Now().Unix()
	plug()
	exported("KPIs after the outage", down)
	if err := fleet.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := fleet.Wait(); err != nil {
		t.Error(err)
	}
	last := time.Now().Unix() + 1
	closeWindows(t, s, gateways, last)
	database, prometheus := bothSides(t, s, gateways, last)
	same(t, database, prometheus)
	windows := 0
	for f := range database {
		if f.Name == "window_events" && f.End > down && f.End <= up {
			windows++
		}
	}
	if least := len(gateways) * int(outageLength/windowLength-1); windows < least {
		t.Errorf("got %d windows in the outage, want at least %d", windows, least)
	}
	if all, err := query(t.Context(), s.Info().Prometheus, "count_over_time("+lags+"[1h])"); err != nil || len(all) == 0 {
		t.Errorf("%s: got no series (%v)", lags, err)
	}
	if bytes.Contains(logOf(t, cfg, "bridge"), []byte(`"msg":"sample rejected"`)) {
		t.Error("got a rejected sample in the log, want none")
	}
	// The server counts samples that are out of order. The records of an invocation that was
	// aborted after some writes are delivered again, and their samples written a second time.
	if n := outOfOrder(t, s); n != 0 && !cutOffSince(t, cfg, up) {
		t.Errorf("got %v samples older than the newest of their series, want none", n)
	}
}

// cutOffSince reports whether an invocation of the bridge has failed since then, or its
// process was killed: then a new one has started.
func cutOffSince(t *testing.T, cfg Config, since int64) bool {
	t.Helper()
	for line := range bytes.Lines(logOf(t, cfg, "bridge")) {
		var entry struct {
			Time    time.Time
			Type    string
			Message string `json:"msg"`
		}
		if json.Unmarshal(line, &entry) != nil || entry.Time.Unix() < since {
			continue
		}
		if entry.Message == "not bridged" || entry.Type == "platform.initReport" {
			t.Logf("an invocation was aborted at %v", entry.Time)
			return true
		}
	}
	return false
}

// outOfOrder returns the number of samples that were older than the newest of their series
// since the start of Prometheus, accepted or rejected.
func outOfOrder(t *testing.T, s *Stack) float64 {
	t.Helper()
	resp, err := http.Get(s.Info().Prometheus + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	sum, found := 0.0, 0
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		series, value, _ := strings.Cut(lines.Text(), " ")
		name, _, _ := strings.Cut(series, "{")
		switch name {
		case "prometheus_tsdb_head_out_of_order_samples_appended_total", "prometheus_tsdb_out_of_order_samples_total",
			"prometheus_tsdb_out_of_bound_samples_total", "prometheus_tsdb_too_old_samples_total":
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += n
			found++
		}
	}
	if found < 4 {
		t.Errorf("the server has %d of the counters, want 4", found)
	}
	return sum
}
