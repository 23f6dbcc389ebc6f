package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/aws/kinesis/kinesistest"
	"github.com/insighthub/insighthub/lib/bridge"
	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/lambda/metrics"
	"github.com/insighthub/insighthub/lib/lambda/metrics/metricstest"
	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
	"github.com/insighthub/insighthub/lib/shardstate/shardstatetest"
	"github.com/insighthub/insighthub/loadtest/fleet/fleettest"
)

// discard is an HTTP client that reads requests and responds 204 No Content.
type discard struct{ bytes, requests int }

func (s *discard) Do(r *http.Request) (*http.Response, error) {
	s.requests++
	s.bytes += int(r.ContentLength)
	_, err := io.Copy(io.Discard, r.Body)
	return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Header: http.Header{}}, err
}

// accept is a writer that accepts all samples without encoding them.
type accept struct{}

func (accept) Write(_ context.Context, series []remotewrite.Series) (remotewrite.Result, error) {
	return remotewrite.Result{Samples: len(series)}, nil
}

// BenchmarkHandler measures the function with batches of one second, at 10 Hz for each
// of ten metrics of ten machines behind each gateway: 10,000 series, 100,000
// events. A window closes in every fifth. Requests are encoded and compressed
// in the cases named so; none is sent.
func BenchmarkHandler(b *testing.B) {
	for _, c := range []struct {
		name     string
		gateways int
		encode   bool
		records  int // of an invocation; 0 for all of the second
	}{
		{"1000 series", 10, false, 0},
		{"10000 series", 100, false, 0},
		{"10000 series, encoded", 100, true, 0},
		{"10000 series, encoded, one record each", 100, true, 1},
	} {
		b.Run(c.name, func(b *testing.B) { benchmark(b, c.gateways, c.records, c.encode) })
	}
}

func benchmark(b *testing.B, gateways, records int, encode bool) {
	b.Helper()
	p := fleettest.New(b, gateways, 10, 10, noon)
	var to metrics.Writer = accept{}
	transport := &discard{}
	if encode {
		config := writeLimits()
		config.URL, config.HTTP, config.Protocol = "http://127.0.0.1/api/v1/write", transport, remotewrite.V1
		config.Now, config.Rand = time.Now, func() float64 { return 0 }
		client, err := remotewrite.New(config)
		if err != nil {
			b.Fatal(err)
		}
		to = client
	}
	registry := prometheus.NewRegistry()
	log := slog.New(slog.DiscardHandler)
	objects := &shardstatetest.Single{}
	h, err := assemble(parts{
		settings: settings{stream: "telemetry", kpi: kpi.Config{Window: window, Lateness: 2 * time.Second}},
		objects:  objects, lineage: kinesistest.OneShard{}, client: to, rules: noRules{}, log: log,
		config: bridge.Config{Metrics: registry, Log: log, Now: time.Now},
	})
	if err != nil {
		b.Fatal(err)
	}
	second := 0
	if records == 0 {
		records = gateways
	}
	next := func() (payloads [][]byte, events int) {
		for part := range slices.Chunk(p.Run(noon.Add(time.Duration(second)*time.Second), 1), records) {
			payloads = append(payloads, fleettest.Payload(part))
			events += len(part) * part[0].Batch.Len()
		}
		second++
		return payloads, events
	}
	invoke := func(payloads [][]byte) {
		for _, in := range payloads {
			if _, err := h.Invoke(b.Context(), in); err != nil {
				b.Fatal(err)
			}
		}
	}
	for range 10 {
		in, _ := next()
		invoke(in)
	}
	events := 0
	var spent time.Duration
	before := map[string]float64{}
	for _, name := range []string{"load", "fold", "write", "save"} {
		before[name] = metricstest.Counter(b, registry, "insighthub_bridge_phase_seconds_total", name)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		b.StopTimer()
		in, n := next()
		events += n
		from := metricstest.Processor(b)
		b.StartTimer()
		invoke(in)
		b.StopTimer()
		spent += metricstest.Processor(b) - from
		b.StartTimer()
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(events), "CPU-ns/event")
	for name, was := range before {
		spent := metricstest.Counter(b, registry, "insighthub_bridge_phase_seconds_total", name) - was
		b.ReportMetric(spent*1e9/float64(events), name+"-ns/event")
	}
	b.ReportMetric(float64(objects.Size())/float64(gateways*100), "B/series")
}
