package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/local/prometheus"
	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
	"github.com/insighthub/insighthub/lib/shardstate/shardstatetest"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/loadtest/fleet/fleettest"
)

// prometheusBinary returns the path of a real Prometheus server.
func prometheusBinary(t *testing.T) string {
	t.Helper()
	if v := os.Getenv("INSIGHTHUB_TEST_PROMETHEUS"); v != "" {
		return v
	}
	if p, err := filepath.Abs("../../.local/prometheus/bin/prometheus"); err == nil {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	if p, err := exec.LookPath("prometheus"); err == nil {
		return p
	}
	const how = "no prometheus: run cdk/local/prometheus/install.sh .local/prometheus, " +
		"or set INSIGHTHUB_TEST_PROMETHEUS to the server's path"
	if os.Getenv("CI") == "true" || os.Getenv("INSIGHTHUB_TEST_REQUIRED") == "1" {
		t.Fatal(how)
	}
	t.Skip(how)
	return ""
}

// fetch returns all samples of the bridge's metrics that the server has, by series.
func fetch(t *testing.T, server *prometheus.Server, at time.Time) map[string][]remotewrite.Sample {
	t.Helper()
	q := url.Values{"query": {`{__name__=~"insighthub_(series|window)_.+"}[10m]`}, "time": {strconv.FormatInt(at.Unix(), 10)}}
	resp, err := http.Get(server.URL() + "/api/v1/query?" + q.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var response struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Values [][2]any
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&response); err != nil {
		t.Fatal(err)
	}
	out := map[string][]remotewrite.Sample{}
	for _, r := range response.Data.Result {
		var s remotewrite.Series
		for name, value := range r.Metric {
			s.Labels = append(s.Labels, remotewrite.Label{Name: name, Value: value})
		}
		for _, v := range r.Values {
			value, err := strconv.ParseFloat(v[1].(string), 64)
			if err != nil {
				t.Fatal(err)
			}
			s.Samples = append(s.Samples, remotewrite.Sample{Timestamp: int64(v[0].(float64) * 1000), Value: value})
		}
		out[s.String()] = s.Samples
	}
	return out
}

// TestRealPrometheus writes two minutes of a fleet's records to a server that is
// restarted in between, from a process that dies after it has written and before it
// could save, and compares the server's samples with a recomputation.
func TestRealPrometheus(t *testing.T) {
	for name, outOfOrder := range map[string]time.Duration{"with an out-of-order window": 0, "without": -1} {
		t.Run(name, func(t *testing.T) { againstPrometheus(t, outOfOrder) })
	}
}

func againstPrometheus(t *testing.T, outOfOrder time.Duration) {
	t.Helper()
	config := prometheus.Config{Binary: prometheusBinary(t), DataDir: t.TempDir(), OutOfOrder: outOfOrder}
	server, err := prometheus.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Stop(context.Background()) }()
	client := newClient(t, server.URL()+"/api/v1/write")
	start := time.Now().Add(-3 * time.Minute).Truncate(time.Second)
	p := fleettest.New(t, 3, 4, 5, start)
	records := p.Run(start, 120)
	objects := &shardstatetest.Crashing{}
	f := &fixture{objects: objects, sink: client}
	f.restart(t)
	invoke := func(from, to int, within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		_, err := f.handler.Invoke(ctx, fleettest.Payload(records[from:to]))
		return err
	}
	steps := []struct{ from, to int }{{0, 40}, {40, 90}}
	for _, s := range steps {
		if err := invoke(s.from, s.to, 3*time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	// The process dies after many windows were written.
	objects.Before = true
	if err := invoke(80, 180, 3*time.Minute); !errors.Is(err, telemetry.ErrUnavailable) {
		t.Fatal(err)
	}
	objects.Before, objects.Crashed = false, false
	f.restart(t)
	if err := invoke(90, 200, 3*time.Minute); err != nil {
		t.Fatal(err)
	}
	// The server stops, and starts again at the same address.
	config.Listen = strings.TrimPrefix(server.URL(), "http://")
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := invoke(200, 260, time.Second); !errors.Is(err, telemetry.ErrUnavailable) {
			t.Fatalf("server stopped: got %v, want telemetry.ErrUnavailable", err)
		}
	}
	if server, err = prometheus.Start(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	for _, s := range []struct{ from, to int }{{200, 300}, {300, len(records)}} {
		if err := invoke(s.from, s.to, 3*time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	want := recompute(records)
	compare(t, want, &sink{stored: fetch(t, server, start.Add(5*time.Minute)), lags: nil})
	if log := f.log.String(); strings.Contains(log, "sample rejected") {
		t.Errorf("samples were rejected: %s", log)
	}
	t.Logf("%d series are equal", len(want))
}
