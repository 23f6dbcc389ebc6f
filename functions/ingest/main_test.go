package main

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/lambda/metrics/metricstest"
	"github.com/insighthub/insighthub/lib/telemetry"
)

func environment(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func TestParse(t *testing.T) {
	t.Parallel()
	s, err := parse(environment(map[string]string{
		"STREAM_NAME": "telemetry", "RECORD_COMPRESSION": "zstd", "RETENTION_DAYS": "30",
		"MAX_FUTURE_SECONDS": "60", "MAX_INFLATED_BYTES": "65536",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if s.stream != "telemetry" || s.compression != telemetry.Zstd || s.ingest.RetentionDays != 30 ||
		s.ingest.MaxFuture != time.Minute || s.ingest.MaxInflatedBytes != 65536 {
		t.Errorf("got %+v", s)
	}
}

func TestParseNamesEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := parse(environment(map[string]string{"RECORD_COMPRESSION": "lz4", "RETENTION_DAYS": "ten"}))
	if !errors.Is(err, telemetry.ErrInvalid) {
		t.Fatalf("got %v", err)
	}
	for _, name := range []string{"STREAM_NAME", "RECORD_COMPRESSION", "RETENTION_DAYS"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
}

func TestBuild(t *testing.T) {
	t.Parallel()
	values := map[string]string{"STREAM_NAME": "telemetry", "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
	handler, err := build(environment(values), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	metricstest.Check(t, handler, "insighthub_invocations_total", "insighthub_ingest_requests_total",
		"insighthub_ingest_request_duration_seconds", "insighthub_ingest_records_total")
	delete(values, "AWS_REGION")
	if _, err := build(environment(values), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("built without a region")
	}
}
