package ingest

import (
	"bytes"
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/telemetry"
)

const benchEvents = 1000

// discard is a RecordPutter that drops all records.
type discard struct{ bytes int }

func (n *discard) PutRecords(_ context.Context, _ string, records [][]byte) error {
	for _, r := range records {
		n.bytes += len(r)
	}
	return nil
}

func benchmarkHandler(b *testing.B, r httpEvent) {
	b.Helper()
	putter := &discard{}
	publisher, err := NewStreamPublisher(putter, telemetry.NoCompression, prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	h := newTestHandler(b, publisher)
	payload := r.payload(b)
	if a := invoke(b, h, payload); a.StatusCode != 202 || a.body["accepted"] != float64(benchEvents) {
		b.Fatalf("got %d %s", a.StatusCode, a.Body)
	}
	measure(b, len(payload), func() error {
		_, err := h.Invoke(b.Context(), payload)
		return err
	})
}

// measure reports time and CPU time per event. CPU time includes the garbage collector
// and is comparable on a busy machine.
func measure(b *testing.B, size int, run func() error) {
	b.Helper()
	b.SetBytes(int64(size))
	b.ReportAllocs()
	before := cpuTime(b)
	for b.Loop() {
		if err := run(); err != nil {
			b.Fatal(err)
		}
	}
	events := float64(b.N) * benchEvents
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/events, "ns/event")
	b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/events, "cpu-ns/event")
}

func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func BenchmarkHandlerJSON(b *testing.B) {
	benchmarkHandler(b, jsonRequest(string(fleetJSON(fleetEvents(benchEvents)))))
}

func BenchmarkHandlerProtobuf(b *testing.B) {
	benchmarkHandler(b, recordRequest(fleetRecord(b, fleetEvents(benchEvents))))
}

func BenchmarkHandlerGzip(b *testing.B) {
	body := fleetJSON(fleetEvents(benchEvents))
	benchmarkHandler(b, jsonRequest("").encoded("gzip", gzipped(b, body)))
}

func BenchmarkHandlerZstd(b *testing.B) {
	body := fleetJSON(fleetEvents(benchEvents))
	benchmarkHandler(b, jsonRequest("").encoded("zstd", zstdCompressed(b, body)))
}

// The parts of BenchmarkHandlerJSON.

func BenchmarkEnvelope(b *testing.B) {
	payload := jsonRequest(string(fleetJSON(fleetEvents(benchEvents)))).payload(b)
	var e envelope
	var r request
	measure(b, len(payload), func() error { return e.read(payload, &r) })
}

func BenchmarkParse(b *testing.B) {
	h := newTestHandler(b, &memory{})
	body := pad(fleetJSON(fleetEvents(benchEvents)))
	measure(b, len(body), func() error {
		h.collector.reset(0, 1<<62)
		if err := h.parser.parse(body[:len(body)+padding], len(body)); err != nil {
			return err
		}
		return nil
	})
}

func BenchmarkParseEscaped(b *testing.B) {
	h := newTestHandler(b, &memory{})
	payload := jsonRequest(string(fleetJSON(fleetEvents(benchEvents)))).payload(b)
	start := bytes.Index(payload, []byte(`"{\"events`)) + 1
	measure(b, len(payload), func() error {
		h.collector.reset(0, 1<<62)
		if h.parser.parseEscaped(payload, start) < 0 {
			return h.parser.failed
		}
		return nil
	})
}
