package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/bridge"
	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/metrics"
	"github.com/insighthub/insighthub/lib/remotewrite"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// quick is a store of objects that costs nothing but a copy.
type quick struct {
	body []byte
	n    int
}

func (q *quick) tag() string { return fmt.Sprint(q.n) }

func (q *quick) GetTagged(_ context.Context, _, known string) ([]byte, string, error) {
	if q.n == 0 {
		return nil, "", telemetry.ErrNotFound
	}
	if known == q.tag() {
		return nil, known, nil
	}
	return bytes.Clone(q.body), q.tag(), nil
}

func (q *quick) PutIf(_ context.Context, _ string, body []byte, _ string) (string, error) {
	q.n++
	q.body = append(q.body[:0], body...)
	return q.tag(), nil
}

// swallow answers requests without looking at them.
type swallow struct{ bytes, requests int }

func (s *swallow) Do(r *http.Request) (*http.Response, error) {
	s.requests++
	s.bytes += int(r.ContentLength)
	_, err := io.Copy(io.Discard, r.Body)
	return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Header: http.Header{}}, err
}

// nothing is a writer that takes everything at no cost.
type nothing struct{}

func (nothing) Write(_ context.Context, series []remotewrite.Series) (remotewrite.Result, error) {
	return remotewrite.Result{Samples: len(series)}, nil
}

// processor is the time that the process has spent, of all threads.
func processor(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func phase(tb testing.TB, registry *prometheus.Registry, name string) float64 {
	tb.Helper()
	families, err := registry.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "insighthub_bridge_phase_seconds_total" && m.GetLabel()[0].GetValue() == name {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// BenchmarkHandler is the function under batches of one second, at 10 Hz of each
// of ten metrics of ten machines behind each gateway: 10,000 series, 100,000
// events. A window closes in every fifth. Requests are encoded and
// compressed where the case says so; none is sent.
func BenchmarkHandler(b *testing.B) {
	for _, c := range []struct {
		name     string
		gateways int
		encode   bool
		cut      int // records of an invocation; 0 for all of the second
	}{
		{"1000 series", 10, false, 0},
		{"10000 series", 100, false, 0},
		{"10000 series, encoded", 100, true, 0},
		{"10000 series, encoded, one record each", 100, true, 1},
	} {
		b.Run(c.name, func(b *testing.B) { benchmark(b, c.gateways, c.cut, c.encode) })
	}
}

func benchmark(b *testing.B, gateways, cut int, encode bool) {
	b.Helper()
	p := newPlant(b, gateways, 10, 10, noon)
	var to metrics.Writer = nothing{}
	transport := &swallow{}
	if encode {
		client, err := remotewrite.New(remotewrite.Config{
			URL: "http://127.0.0.1/api/v1/write", HTTP: transport, Protocol: remotewrite.V1, Now: time.Now, Rand: func() float64 { return 0 },
			MaxSamples: maxRequestSamples, MaxBytes: maxRequestBytes,
		})
		if err != nil {
			b.Fatal(err)
		}
		to = client
	}
	registry := prometheus.NewRegistry()
	log := slog.New(slog.DiscardHandler)
	objects := &quick{}
	h, err := assemble(parts{
		settings: settings{stream: "telemetry", kpi: kpi.Config{Window: window, Lateness: 2 * time.Second}},
		objects:  objects, lineage: oneShard{}, client: to, rules: noRules{}, log: log,
		config: bridge.Config{Metrics: registry, Log: log, Now: time.Now},
	})
	if err != nil {
		b.Fatal(err)
	}
	second := 0
	if cut == 0 {
		cut = gateways
	}
	next := func() (payloads [][]byte, events int) {
		for part := range slices.Chunk(p.run(noon.Add(time.Duration(second)*time.Second), 1), cut) {
			payloads = append(payloads, payload(part))
			events += len(part) * part[0].batch.Len()
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
	for _, name := range []string{"load", "observe", "write", "save"} {
		before[name] = phase(b, registry, name)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		b.StopTimer()
		in, n := next()
		events += n
		from := processor(b)
		b.StartTimer()
		invoke(in)
		b.StopTimer()
		spent += processor(b) - from
		b.StartTimer()
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(events), "CPU-ns/event")
	for name, was := range before {
		b.ReportMetric((phase(b, registry, name)-was)*1e9/float64(events), name+"-ns/event")
	}
	b.ReportMetric(float64(len(objects.body))/float64(gateways*100), "B/series")
}
