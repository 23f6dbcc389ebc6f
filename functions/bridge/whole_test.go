package main

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"

	"github.com/insighthub/insighthub/cdk/local/kinesis"
	"github.com/insighthub/insighthub/cdk/local/s3"
	localsecrets "github.com/insighthub/insighthub/cdk/local/secrets"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/lambda/metrics/metricstest"
	"github.com/insighthub/insighthub/loadtest/fleet/fleettest"
)

// plain is a receiver of remote write 1.0 that counts samples by metric.
type plain struct {
	mu      sync.Mutex
	samples map[string]int
}

func (p *plain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	packed, _ := io.ReadAll(r.Body)
	raw, err := snappy.Decode(nil, packed)
	m := new(prompb.WriteRequest)
	if err != nil || m.Unmarshal(raw) != nil {
		http.Error(w, "not a request", http.StatusBadRequest)
		return
	}
	for _, s := range m.Timeseries {
		for _, l := range s.Labels {
			if l.Name == "__name__" {
				p.samples[l.Value]++
			}
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// TestWholeFunction builds the function from its environment, with the local Kinesis
// and S3, and a secret with the address of a database that is unavailable.
func TestWholeFunction(t *testing.T) {
	serve := func(h http.Handler) string {
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		return server.URL
	}
	stream := kinesis.New(kinesis.Config{})
	if err := stream.CreateStream("telemetry", 1); err != nil {
		t.Fatal(err)
	}
	objects, err := s3.New(s3.Config{Dir: t.TempDir(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = objects.Close() })
	if err := objects.CreateBucket("state"); err != nil {
		t.Fatal(err)
	}
	vault, err := localsecrets.New(localsecrets.Config{File: filepath.Join(t.TempDir(), "secrets.json"), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vault.Set("database", `{"dsn":"postgres://u@127.0.0.1:1/d"}`); err != nil {
		t.Fatal(err)
	}
	received := &plain{samples: map[string]int{}}
	env := map[string]string{
		"INSIGHTHUB_FUNCTION": "bridge", "STREAM_NAME": "telemetry", "STATE_BUCKET": "state", "AWS_S3_PATH_STYLE": "true",
		"DATABASE_SECRET_ARN": "database",
		"REMOTE_WRITE_URL":    serve(received) + "/api/v1/write", "REMOTE_WRITE_SIGV4": "true",
		"WINDOW_SECONDS": "10", "LATENESS_SECONDS": "1",
		"AWS_ENDPOINT_URL_KINESIS": serve(stream.Handler()), "AWS_ENDPOINT_URL_S3": serve(objects.Handler()),
		"AWS_ENDPOINT_URL_SECRETS_MANAGER": serve(vault.Handler()),
		"AWS_REGION":                       "us-east-1", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "a-test",
	}
	p := fleettest.New(t, 2, 3, 4, noon)
	records := p.Run(noon, 45)
	var log bytes.Buffer
	for _, part := range [][]fleettest.Record{records[:40], records[40:]} { // each in a process of its own
		getenv := func(name string) string { return env[name] }
		instance, err := lambdahost.New(t.Context(), getenv, slog.New(slog.NewJSONHandler(&log, nil)), build)
		if err != nil {
			t.Fatal(err)
		}
		metricstest.Check(t, instance,
			"insighthub_invocations_total", "insighthub_bridge_invocations_total", "insighthub_bridge_samples_total")
		if response, err := instance.Invoke(t.Context(), fleettest.Payload(part)); err != nil {
			t.Fatalf("got %s, %v", response, err)
		}
		instance.Shutdown(t.Context())
	}
	for metric, want := range map[string]int{
		"insighthub_series_mean":              2 * 3 * 10 * 4,
		"insighthub_window_produced":          2 * 3 * 4,
		"insighthub_ingest_lag_seconds_count": 2 * 4,
	} {
		if got := received.samples[metric]; got != want {
			t.Errorf("%s: got %d samples, want %d", metric, got, want)
		}
	}
	if received.samples["insighthub_bridge_events_total"] == 0 || received.samples["go_goroutines"] == 0 {
		t.Error("the function's own metrics were not written")
	}
	if !strings.Contains(log.String(), "configuration cannot be read") {
		t.Errorf("log lacks that the configuration cannot be read: %s", log.String())
	}
}

// TestRejectedSeries: the other series are written, and the rejected one is logged.
func TestRejectedSeries(t *testing.T) {
	const bad = `{__name__="insighthub_series_max", device="press-01", gateway="gw-002", metric="power", site="plant-1"}`
	p, s := fleettest.New(t, 2, 2, 2, noon), newSink()
	s.bad = func(series string) bool { return series == bad }
	f := newFixture(t, s)
	records := p.Run(noon, 60)
	for i := 0; i < len(records); i += 10 {
		if _, err := f.handler.Invoke(t.Context(), fleettest.Payload(records[i:i+10])); err != nil {
			t.Fatal(err)
		}
	}
	want := recompute(records)
	rejected := len(want[bad])
	delete(want, bad)
	compare(t, want, s)
	log := f.log.String()
	if n := strings.Count(log, `"msg":"sample rejected"`); n != rejected || !strings.Contains(log, `metric=\"power\"`) {
		t.Errorf("got %d log lines of the rejected series, want %d", n, rejected)
	}
}
