package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	localsecrets "github.com/insighthub/insighthub/cdk/local/secrets"
	"github.com/insighthub/insighthub/lib/aws/kinesis"
	"github.com/insighthub/insighthub/lib/aws/kinesis/kinesistest"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/lambda/metrics/metricstest"
	"github.com/insighthub/insighthub/lib/store"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// payload is the payload that Lambda delivers for records with that data.
func payload(records ...[]byte) []byte {
	all := make([]telemetry.Record, len(records))
	for i, data := range records {
		all[i] = telemetry.Record{
			PartitionKey: "gw-1", SequenceNumber: kinesistest.Sequence(i), Arrival: noon.Add(123 * time.Millisecond), Data: data,
		}
	}
	return kinesistest.Payload(all)
}

// record encodes devices × metrics × samples of a gateway.
func record(tb testing.TB, gateway telemetry.GatewayID, start time.Time, devices, metrics, samples int) []byte {
	tb.Helper()
	b := &telemetry.Batch{Gateway: gateway, Site: "plant-1", Received: telemetry.MicrosOf(noon)}
	for s := range samples {
		for d := range devices {
			for m := range metrics {
				b.Append(telemetry.Event{
					Device: telemetry.DeviceName(fmt.Sprint("press-", d)), Metric: telemetry.MetricName(fmt.Sprint("metric-", m)),
					Time: telemetry.MicrosOf(start) + telemetry.Micros(s)*100_000, Value: 20 + float64(s*d+m)/8,
				})
			}
		}
	}
	encoder, err := telemetry.NewEncoder(telemetry.NoCompression)
	if err != nil {
		tb.Fatal(err)
	}
	data, err := encoder.AppendRecord(nil, b)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

type deadLetters map[string]string

func (l deadLetters) Put(_ context.Context, key string, body []byte, _ string) error {
	l[key] = string(body)
	return nil
}

func newHandler(tb testing.TB, w store.Writer, l store.DeadLetters) *store.Handler {
	tb.Helper()
	decoder, err := telemetry.NewDecoder(telemetry.DefaultLimits())
	if err != nil {
		tb.Fatal(err)
	}
	h, err := store.New(store.Config{
		Source: &kinesis.Source{}, Decoder: decoder, Writer: w, DeadLetters: l,
		Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

func TestRecordsBecomeRows(t *testing.T) {
	pool, dsn := timescaletest.OpenAs(t, timescale.FunctionStore)
	saved := deadLetters{}
	h := newHandler(t, writer{timescale.NewWriter(pool, timescale.WriterConfig{DevicesPerGateway: 3})}, saved)
	aggregated := kinesis.AppendAggregate(nil, []kinesis.UserRecord{
		{PartitionKey: "gw-2", Data: record(t, "gw-2", noon, 1, 1, 5)},
		{PartitionKey: "gw-2", Data: []byte("rubbish")},
		{PartitionKey: "gw-3", Data: record(t, "gw-3", noon, 1, 1, 7)},
	})
	damaged, torn := record(t, "gw-5", noon, 1, 1, 1), bytes.Clone(aggregated)
	damaged[len(damaged)-5] ^= 4 // the last byte of the value
	torn[10] ^= 4
	in := payload(record(t, "gw-1", noon, 3, 4, 10), []byte{9, 9, 9}, aggregated, record(t, "gw-1", noon.Add(time.Second), 3, 4, 10),
		record(t, "gw-4", noon, 4, 1, 1), damaged, torn)
	for range 2 { // delivered again whole, as after a lost response
		response, err := h.Invoke(t.Context(), in)
		if err != nil || string(response) != `{"batchItemFailures":[]}` {
			t.Fatalf("response: got %s, %v, want none to retry", response, err)
		}
		got := psql(t, dsn, "SELECT gateway, count(*), count(DISTINCT (device, metric)) FROM reading GROUP BY 1 ORDER BY 1")
		if diff := cmp.Diff("gw-1|240|12\ngw-2|5|1\ngw-3|7|1\ngw-4|3|3\n", got); diff != "" {
			t.Errorf("rows differ (-want +got):\n%s", diff)
		}
		if len(saved) != 5 {
			t.Errorf("got dead letters %v, want those of the garbage, the aggregated rubbish, the gateway with too many devices, "+
				"the damaged record and the torn aggregate", saved)
		}
		all := strings.Join(slices.Collect(maps.Values(saved)), "\n")
		for _, reason := range []string{"version: want 1, have 9", "record: checksum: want", "MD5 checksum of"} {
			if !strings.Contains(all, reason) {
				t.Errorf("no dead letter has the reason %q: %s", reason, all)
			}
		}
	}
}

func TestDatabaseUnavailable(t *testing.T) {
	pool, err := timescale.Open(t.Context(), timescale.PoolConfig{DSN: "postgres://u@127.0.0.1:1/d", MaxAttempts: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	h := newHandler(t, writer{timescale.NewWriter(pool, timescale.WriterConfig{})}, deadLetters{})
	response, err := h.Invoke(t.Context(), payload([]byte("rubbish"), record(t, "gw-1", noon, 1, 1, 1), record(t, "gw-1", noon, 1, 1, 2)))
	want := fmt.Sprintf(`{"batchItemFailures":[{"itemIdentifier":"49%054d"}]}`, 1)
	if err != nil || string(response) != want {
		t.Errorf("response: got %s, %v, want %s", response, err, want)
	}
}

func TestBuildNamesWhatIsMissing(t *testing.T) {
	_, err := lambdahost.New(t.Context(), func(string) string { return "" }, slog.New(slog.DiscardHandler), build)
	for _, name := range []string{"DATABASE_SECRET_ARN", "FAILURE_BUCKET"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got error %v, want one that names %s", err, name)
		}
	}
}

func TestMetrics(t *testing.T) {
	vault, err := localsecrets.New(localsecrets.Config{File: filepath.Join(t.TempDir(), "secrets.json"), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	arn, err := vault.Set("database", `{"dsn":"postgres://u@127.0.0.1:1/d"}`)
	if err != nil {
		t.Fatal(err)
	}
	secret := httptest.NewServer(vault.Handler())
	defer secret.Close()
	values := map[string]string{
		"DATABASE_SECRET_ARN": arn, "FAILURE_BUCKET": "failures", "AWS_ENDPOINT_URL_SECRETS_MANAGER": secret.URL,
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none",
	}
	instance, err := lambdahost.New(t.Context(), func(name string) string { return values[name] }, slog.New(slog.DiscardHandler), build)
	if err != nil {
		t.Fatal(err)
	}
	defer instance.Shutdown(t.Context())
	metricstest.Check(t, instance, "insighthub_invocations_total", "insighthub_store_events_total", "insighthub_store_duplicates_total",
		"insighthub_store_conflicts_total", "insighthub_store_poison_records_total")
}

type nullWriter struct{}

func (nullWriter) Write(context.Context, []*telemetry.Batch) (store.Outcome, error) {
	return store.Outcome{}, nil
}

// BenchmarkHandler measures the function without the database: 10 records of 1,000 events.
func BenchmarkHandler(b *testing.B) {
	h := newHandler(b, nullWriter{}, deadLetters{})
	var records [][]byte
	for i := range 10 {
		records = append(records, record(b, "gw-1", noon.Add(time.Duration(i)*time.Second), 10, 10, 10))
	}
	in := payload(records...)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Invoke(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10_000, "ns/event")
}
