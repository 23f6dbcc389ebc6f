package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/namelist"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
)

func TestBuildNamesWhatIsMissing(t *testing.T) {
	_, err := lambdahost.New(t.Context(), func(string) string { return "" }, slog.New(slog.DiscardHandler), build)
	if err == nil || !strings.Contains(err.Error(), "DATABASE_SECRET_ARN") || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("got %v", err)
	}
}

func TestRetentionOf(t *testing.T) {
	for days, want := range map[[3]string]timescale.Retention{
		{"", "", ""}:          {EventDays: 3653, MinuteDays: 3653},
		{"90", "730", "3653"}: {EventDays: 90, MinuteDays: 730, HourDays: 3653},
		{"0", "0", "0"}:       {},
	} {
		names := map[string]string{"RETENTION_EVENT_DAYS": days[0], "RETENTION_MINUTE_DAYS": days[1], "RETENTION_HOUR_DAYS": days[2]}
		env := lambdahost.NewEnv(func(name string) string { return names[name] })
		if got := retentionOf(env); got != want || env.Err() != nil {
			t.Errorf("%v: got %+v, %v; want %+v", days, got, env.Err(), want)
		}
	}
}

func TestBuildRejectsARetention(t *testing.T) {
	values := map[string]string{
		"DATABASE_SECRET_ARN": "arn:secret", "AWS_REGION": "eu-west-1",
		"RETENTION_EVENT_DAYS": "90", "RETENTION_MINUTE_DAYS": "30",
	}
	_, err := lambdahost.New(t.Context(), func(name string) string { return values[name] }, slog.New(slog.DiscardHandler), build)
	if err == nil || !strings.Contains(err.Error(), "minutes stored at least as long as events") {
		t.Errorf("got %v", err)
	}
}

func TestInvoke(t *testing.T) {
	pool, dsn := timescaletest.OpenAs(t, timescale.FunctionRollup)
	b := &telemetry.Batch{Gateway: "g", Site: "s", Received: telemetry.MicrosOf(time.Now())}
	b.Append(telemetry.Event{Device: "d", Metric: "m", Time: telemetry.MicrosOf(time.Now().Add(-time.Hour)), Value: 1})
	writer := timescale.NewWriter(timescaletest.Owner(t, dsn), timescale.WriterConfig{})
	if _, err := writer.Write(t.Context(), []*telemetry.Batch{b}); err != nil {
		t.Fatal(err)
	}
	published := 0
	h := &handler{
		pool: pool, retention: timescale.Retention{EventDays: 90, MinuteDays: 730}, now: time.Now, log: slog.New(slog.DiscardHandler),
		names:    func(context.Context) (int, error) { published++; return published, nil },
		denials:  func(context.Context) error { return nil },
		unsealed: func(float64) {},
	}
	for _, want := range []int{1, 0} {
		raw, err := h.Invoke(t.Context(), []byte(`{"source":"aws.events"}`))
		var done outcome
		if err != nil || json.Unmarshal(raw, &done) != nil || done.Hours != want || done.Incomplete {
			t.Errorf("got %s, %v; want %d hours", raw, err, want)
		}
		if since := time.Since(done.Retained.EventsSince); since < 89*24*time.Hour || since > 92*24*time.Hour {
			t.Errorf("got %s, want the events of 90 days", raw)
		}
	}
	if removed, err := h.archiveTrail(t.Context()); err != nil || removed != 0 {
		t.Errorf("without receipts: got %d removed, %v", removed, err)
	}
	if published != 1 {
		t.Errorf("published names %d times, want once in %v", published, namelist.RefreshEvery)
	}
	if got := timescaletest.Value(t, dsn, "SELECT count(*) FROM event_minute"); got != "1" {
		t.Errorf("got %s minutes, want 1", got)
	}
}
