package stack

import (
	"bufio"
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
)

const (
	outageLength = 20 * time.Second
	outagePause  = 6 * time.Second // before and after
)

// What closes while Prometheus is away arrives when it is back: every window, in
// order, as the database makes it. The command loadtest outage does the same for
// five minutes.
func TestFiguresArriveAfterAnOutage(t *testing.T) {
	t.Parallel()
	t.Run("stack's server", func(t *testing.T) {
		t.Parallel()
		needPrometheus(t)
		outage(t, filepath.Join(prometheusTree, "bin", "prometheus"))
	})
	t.Run("Prometheus 3", func(t *testing.T) {
		t.Parallel()
		outage(t, prometheustest.Server3(t))
	})
}

func outage(t *testing.T, server string) {
	t.Helper()
	server, err := filepath.Abs(server)
	if err != nil {
		t.Fatal(err)
	}
	p := build(t)
	// A link that can be taken away: the stack starts its server again as long as it can.
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
	cfg := Config{State: t.TempDir(), Database: newDatabase(t), Functions: p.functions, Prometheus: tree}
	s := startTest(t, cfg)

	fleet := exec.CommandContext(t.Context(), p.loadtest, "simulate", "-state", cfg.State, "-prefix", "fleet",
		"-gateways", "2", "-machines", "2", "-samples", "2", "-rate", "100", "-duration", (outageLength + 2*outagePause).String(), "-quiet")
	fleet.Stderr = t.Output()
	if err := fleet.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(outagePause)
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(s.prometheus.pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-s.prometheus.current().Exited()
	down := time.Now().Unix()
	time.Sleep(outageLength)
	if resp, err := http.Get(s.Info().Prometheus + "/-/ready"); err == nil {
		_ = resp.Body.Close()
		t.Fatal("prometheus answers while it should be away")
	}
	up := time.Now().Unix()
	plug()
	if err := fleet.Wait(); err != nil {
		t.Error(err)
	}
	until := time.Now().Unix() + 1
	gateways := []string{"fleet-001", "fleet-002"}
	closeWindows(t, s, gateways, until)
	database, prometheus := bothSides(t, s, gateways, until)
	same(t, database, prometheus)
	windows := 0
	for f := range database {
		if f.Name == "window_events" && f.End > down && f.End <= up {
			windows++
		}
	}
	if least := len(gateways) * int(outageLength/windowLength-1); windows < least {
		t.Errorf("%d windows in the outage, want at least %d", windows, least)
	}
	// The server itself counts what did not come in order.
	if n := outOfOrder(t, s); n != 0 {
		t.Errorf("%v samples were older than the newest of their series", n)
	}
}

// outOfOrder is how many samples came after newer ones of their series, and how many
// were refused for that, since Prometheus has started.
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
		t.Errorf("the server has %d of the counters", found)
	}
	return sum
}
