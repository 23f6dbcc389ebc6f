package ingest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// testNow is the platform's clock in the tests.
func testNow() time.Time { return time.Date(2026, 11, 23, 9, 10, 0, 0, time.UTC) }

// memory is a Publisher that records the events of the last batch.
type memory struct {
	err    error
	calls  int
	batch  telemetry.Batch // its header
	events []telemetry.Event
	ctx    context.Context //nolint:containedctx // the test looks at its deadline
}

func (m *memory) Publish(ctx context.Context, b *telemetry.Batch) error {
	m.calls++
	m.ctx = ctx
	m.batch = telemetry.Batch{Gateway: b.Gateway, Site: b.Site, Trace: b.Trace, Received: b.Received}
	m.events = m.events[:0]
	for i := range b.Len() {
		m.events = append(m.events, b.Event(i))
	}
	return m.err
}

// httpEvent describes an API Gateway event.
type httpEvent struct {
	headers map[string]string
	context any
	body    []byte
	base64  bool
	raw     bool // isBase64Encoded is true although body is not encoded
	// reversed reverses the order of the event's members.
	reversed bool
}

func jsonRequest(body string) httpEvent {
	return httpEvent{headers: map[string]string{"content-type": "application/json"}, body: []byte(body)}
}

func recordRequest(record []byte) httpEvent {
	return httpEvent{headers: map[string]string{"content-type": "application/x-protobuf"}, body: record, base64: true}
}

func (e httpEvent) encoded(encoding string, body []byte) httpEvent {
	e.headers = map[string]string{"content-type": e.headers["content-type"], "content-encoding": encoding}
	e.body, e.base64 = body, true
	return e
}

func (e httpEvent) payload(tb testing.TB) []byte {
	tb.Helper()
	if e.context == nil {
		e.context = map[string]any{
			"requestId": "req-1",
			"accountId": "1",
			"http":      map[string]any{"method": "POST", "path": "/v1/telemetry"},
			"authorizer": map[string]any{"lambda": map[string]any{
				"gateway": "gw-1", "site": "plant-1", "role": "gateway", "expires": testNow().Unix() + 1,
			}},
		}
	}
	body := string(e.body)
	if e.base64 {
		body = base64.StdEncoding.EncodeToString(e.body)
	}
	e.base64 = e.base64 || e.raw
	member := func(name string, value any) string {
		var out bytes.Buffer
		encoder := json.NewEncoder(&out)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(value); err != nil {
			tb.Fatal(err)
		}
		return fmt.Sprintf("%q:%s", name, bytes.TrimSpace(out.Bytes()))
	}
	// In the order in which API Gateway writes them.
	members := []string{
		member("version", "2.0"), member("routeKey", "POST /v1/telemetry"), member("rawPath", "/v1/telemetry"),
		member("rawQueryString", ""), member("headers", e.headers), member("requestContext", e.context),
		member("body", body), member("isBase64Encoded", e.base64),
	}
	if e.reversed {
		slices.Reverse(members)
	}
	return []byte("{" + strings.Join(members, ",") + "}")
}

func newTestHandler(tb testing.TB, p Publisher) *Handler {
	tb.Helper()
	h, err := New(Config{
		Publisher: p, Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Now: testNow, MaxInflatedBytes: 1 << 20,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

// reply is a response and its decoded body.
type reply struct {
	StatusCode int               `json:"statusCode"`
	Headers    map[string]string `json:"headers"`
	Body       string            `json:"body"`
	body       map[string]any
}

func invoke(tb testing.TB, h *Handler, payload []byte) reply {
	tb.Helper()
	out, err := h.Invoke(tb.Context(), payload)
	if err != nil {
		tb.Fatal(err)
	}
	var a reply
	if err := json.Unmarshal(out, &a); err != nil {
		tb.Fatalf("response %s: %v", out, err)
	}
	if err := json.Unmarshal([]byte(a.Body), &a.body); err != nil {
		tb.Fatalf("body %s: %v", a.Body, err)
	}
	return a
}

func gzipped(tb testing.TB, data []byte) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(data); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func zstdCompressed(tb testing.TB, data []byte) []byte {
	tb.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(data, nil)
}

// fleetEvents returns n events of a few machines, as a gateway sends them.
func fleetEvents(n int) []telemetry.Event {
	random := rand.New(rand.NewPCG(1, 2))
	metrics := []telemetry.MetricName{"temperature", "vibration", "pressure", "motor_current", "flow"}
	events := make([]telemetry.Event, n)
	for i := range events {
		events[i] = telemetry.Event{
			Device: telemetry.DeviceName(fmt.Sprintf("press-%02d", i/len(metrics)%20)),
			Metric: metrics[i%len(metrics)],
			Time:   telemetry.MicrosOf(testNow().Add(-time.Minute)) + telemetry.Micros(i/100*100_000+i),
			Value:  float64(random.IntN(100_000)) / 1000,
		}
	}
	return events
}

// fleetJSON renders events as a gateway does, about 115 bytes each.
func fleetJSON(events []telemetry.Event) []byte {
	var out strings.Builder
	out.WriteString(`{"events":[`)
	for i, e := range events {
		if i > 0 {
			out.WriteByte(',')
		}
		fmt.Fprintf(&out, `{"device":%q,"metric":%q,"time":%q,"value":%v,"quality":%q}`,
			e.Device, e.Metric, e.Time.Time().Format("2006-01-02T15:04:05.000000Z07:00"), e.Value, e.Quality)
	}
	out.WriteString(`]}`)
	return []byte(out.String())
}

func fleetRecord(tb testing.TB, events []telemetry.Event) []byte {
	tb.Helper()
	var b telemetry.Batch
	for _, e := range events {
		b.Append(e)
	}
	encoder, err := telemetry.NewEncoder(telemetry.NoCompression)
	if err != nil {
		tb.Fatal(err)
	}
	record, err := encoder.AppendRecord(nil, &b)
	if err != nil {
		tb.Fatal(err)
	}
	return record
}
