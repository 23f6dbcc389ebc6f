package main

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/lambda/metrics/metricstest"
	"github.com/insighthub/insighthub/lib/telemetry"
)

func environment(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func TestParse(t *testing.T) {
	t.Parallel()
	env := lambdahost.NewEnv(environment(map[string]string{
		"STREAM_NAME": "telemetry", "RECORD_COMPRESSION": "zstd", "RETENTION_DAYS": "30",
		"MAX_FUTURE_SECONDS": "60", "MAX_INFLATED_BYTES": "65536",
	}))
	s := parse(env)
	if err := env.Err(); err != nil {
		t.Fatal(err)
	}
	if s.stream != "telemetry" || s.compression != telemetry.Zstd || s.ingest.RetentionDays != 30 ||
		s.ingest.MaxFuture != time.Minute || s.ingest.MaxInflatedBytes != 65536 {
		t.Errorf("got %+v", s)
	}
}

func TestParseNamesEveryProblem(t *testing.T) {
	t.Parallel()
	env := lambdahost.NewEnv(environment(map[string]string{"RECORD_COMPRESSION": "lz4", "RETENTION_DAYS": "ten"}))
	_ = parse(env)
	err := env.Err()
	if !errors.Is(err, telemetry.ErrInvalid) {
		t.Fatalf("got %v", err)
	}
	for _, name := range []string{"STREAM_NAME", "RECORD_COMPRESSION", "RETENTION_DAYS"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want it to name %s", err, name)
		}
	}
}

func TestBuild(t *testing.T) {
	t.Parallel()
	values := map[string]string{
		"STREAM_NAME": "telemetry", "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none",
	}
	instance, err := lambdahost.New(t.Context(), environment(values), slog.New(slog.DiscardHandler), build)
	if err != nil {
		t.Fatal(err)
	}
	metricstest.Check(t, instance, "insighthub_invocations_total", "insighthub_ingest_requests_total",
		"insighthub_ingest_request_duration_seconds", "insighthub_ingest_records_total")
	delete(values, "AWS_REGION")
	if _, err := lambdahost.New(t.Context(), environment(values), slog.New(slog.DiscardHandler), build); err == nil {
		t.Error("without a region: got no error")
	}
}
