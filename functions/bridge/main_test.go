package main

import (
	"log/slog"
	"strings"
	"testing"

	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/loadtest/fleet/fleettest"
)

func TestRecordsBecomeSamples(t *testing.T) {
	p, s := fleettest.New(t, 2, 3, 4, noon), newSink()
	f := newFixture(t, s)
	response, err := f.handler.Invoke(t.Context(), fleettest.Payload(p.Run(noon, 20)))
	if err != nil || string(response) != `{"batchItemFailures":[]}` {
		t.Fatalf("response: got %s, %v, want none to retry", response, err)
	}
	for key, want := range map[string]int{
		`{__name__="insighthub_series_mean", device="press-01", gateway="gw-001", metric="temperature", site="plant-1"}`:  3,
		`{__name__="insighthub_window_production_seconds", device="pump-02", gateway="gw-002", site="plant-1"}`:           3,
		`{__name__="insighthub_window_down_seconds", device="pump-02", gateway="gw-002", reason="fault", site="plant-1"}`: 3,
	} {
		if got := len(s.stored[key]); got != want {
			t.Errorf("%s: got %d samples, want %d", key, got, want)
		}
	}
	if line := f.log.String(); !strings.Contains(line, `"msg":"bridged"`) || !strings.Contains(line, `"events":4800,`) {
		t.Errorf("log lacks bridged or 4800 events: %s", line)
	}
}

func TestBuildNamesWhatIsMissing(t *testing.T) {
	_, err := lambdahost.New(t.Context(), func(string) string { return "" }, slog.New(slog.DiscardHandler), build)
	for _, name := range []string{"STREAM_NAME", "STATE_BUCKET", "DATABASE_SECRET_ARN", "REMOTE_WRITE_URL"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got error %v, want one that names %s", err, name)
		}
	}
}
