package main

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
)

func TestBuildNamesWhatIsMissing(t *testing.T) {
	_, _, err := build(t.Context(), func(string) string { return "" }, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "DATABASE_SECRET_ARN") || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("got %v", err)
	}
}

func TestInvoke(t *testing.T) {
	pool, dsn := timescaletest.Open(t)
	b := &telemetry.Batch{Gateway: "g", Site: "s", Received: telemetry.MicrosOf(time.Now())}
	b.Append(telemetry.Event{Device: "d", Metric: "m", Time: telemetry.MicrosOf(time.Now().Add(-time.Hour)), Value: 1})
	if _, err := timescale.NewWriter(pool, timescale.WriterConfig{}).Write(t.Context(), []*telemetry.Batch{b}); err != nil {
		t.Fatal(err)
	}
	h := &handler{pool, slog.New(slog.DiscardHandler)}
	for _, want := range []int{1, 0} {
		raw, err := h.Invoke(t.Context(), []byte(`{"source":"aws.events"}`))
		var done timescale.Rollup
		if err != nil || json.Unmarshal(raw, &done) != nil || done.Hours != want || done.Behind {
			t.Errorf("got %s, %v; want %d hours", raw, err, want)
		}
	}
	if got := timescaletest.Value(t, dsn, "SELECT count(*) FROM event_minute"); got != "1" {
		t.Errorf("%s minutes, want 1", got)
	}
}
