package main

import (
	"bytes"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"

	"github.com/insighthub/insighthub/cdk/local/events"
	localsecrets "github.com/insighthub/insighthub/cdk/local/secrets"
	"github.com/insighthub/insighthub/lib/aws/eventbridge"
	"github.com/insighthub/insighthub/lib/directory"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/lambda/metrics/metricstest"
)

func TestBuildNamesMissingVariables(t *testing.T) {
	_, err := lambdahost.New(t.Context(), func(string) string { return "" }, slog.New(slog.DiscardHandler), build)
	for _, name := range []string{"STREAM_NAME", "STATE_BUCKET", "DATABASE_SECRET_ARN", "EVENT_BUS"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v does not name %s", err, name)
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
		"STREAM_NAME": "telemetry", "STATE_BUCKET": "states", "EVENT_BUS": "anomalies",
		"DATABASE_SECRET_ARN": arn, "AWS_ENDPOINT_URL_SECRETS_MANAGER": secret.URL,
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none",
	}
	instance, err := lambdahost.New(t.Context(), func(name string) string { return values[name] }, slog.New(slog.DiscardHandler), build)
	if err != nil {
		t.Fatal(err)
	}
	defer instance.Shutdown(t.Context())
	metricstest.Check(t, instance, "insighthub_invocations_total", "insighthub_anomalies_total", "insighthub_detect_events_total",
		"insighthub_detect_invocations_total", "insighthub_detect_notifications_total", "insighthub_detect_scores_exported_total",
		"insighthub_detect_poison_records_total", "insighthub_detect_rejected_anomalies_total", "insighthub_detect_phase_seconds_total",
		"insighthub_detect_state_bytes")
}

// TestEventsOnBus publishes to the emulator of EventBridge.
func TestEventsOnBus(t *testing.T) {
	var lines bytes.Buffer
	server := httptest.NewServer(events.New(t.Context(), events.Config{Buses: []string{"anomalies"}, Out: &lines, Now: time.Now}).Handler())
	defer server.Close()
	to, err := eventbridge.New(eventbridge.Config{
		Client: awseventbridge.NewFromConfig(aws.Config{
			Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("none", "none", ""),
		}),
		Name: "anomalies", Source: eventSource,
	})
	if err != nil {
		t.Fatal(err)
	}
	value := 1.5
	sent, err := notifier{to, eventType}.Notify(t.Context(), []directory.Anomaly{
		{
			Site: "s", Gateway: "g", Device: "d", Metric: `m"`, Time: 1_500_000, Kind: directory.ByScore,
			Score: 0.5, Value: &value, Severity: directory.Warning, Message: "new",
		},
		{Site: "s", Gateway: "g", Device: "d", Kind: directory.ByMachine, Severity: directory.Warning},
	})
	if err != nil || sent != 2 {
		t.Fatalf("got %d sent, %v, want 2", sent, err)
	}
	first, second, _ := strings.Cut(lines.String(), "\n")
	for _, want := range []string{
		`"source":"insighthub.detect"`, `"detail-type":"anomaly"`, `"time":"1970-01-01T00:00:01Z"`,
		`"site":"s","gateway":"g","device":"d","metric":"m\"","time":"1970-01-01T00:00:01.5Z",` +
			`"kind":"score","score":0.5,"value":1.5,"severity":"warning","message":"new"}`,
	} {
		if !strings.Contains(first, want) {
			t.Errorf("got %s, want it to contain %s", first, want)
		}
	}
	if !strings.Contains(second, `"kind":"machine"`) || strings.Contains(second, "metric") || strings.Contains(second, "value") {
		t.Errorf("got %s, want an event of kind machine without metric and value", second)
	}
}
