package ingest

import (
	"context"
	"testing"

	"github.com/insighthub/insighthub/lib/telemetry"
)

const benchEvents = 1000

// nowhere is a RecordPutter that takes everything.
type nowhere struct{ bytes int }

func (n *nowhere) PutRecords(_ context.Context, _ string, records [][]byte) error {
	for _, r := range records {
		n.bytes += len(r)
	}
	return nil
}

func benchmarkHandler(b *testing.B, r httpEvent) {
	b.Helper()
	putter := &nowhere{}
	publisher, err := NewStreamPublisher(putter, telemetry.NoCompression)
	if err != nil {
		b.Fatal(err)
	}
	h := newTestHandler(b, publisher)
	payload := r.payload(b)
	if a := invoke(b, h, payload); a.StatusCode != 202 || a.body["accepted"] != float64(benchEvents) {
		b.Fatalf("got %d %s", a.StatusCode, a.Body)
	}
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Invoke(b.Context(), payload); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchEvents, "ns/event")
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
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		if err := e.read(payload, &r); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchEvents, "ns/event")
}

func BenchmarkParse(b *testing.B) {
	h := newTestHandler(b, &memory{})
	body := pad(fleetJSON(fleetEvents(benchEvents)))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		h.collector.reset(0, 1<<62)
		if err := h.parser.parse(body[:len(body)+padding], len(body)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchEvents, "ns/event")
}
