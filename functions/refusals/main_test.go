package main

import (
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/refusals"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
	"github.com/insighthub/insighthub/lib/trail"
)

func TestBuildNamesWhatIsMissing(t *testing.T) {
	_, err := lambdahost.New(t.Context(), func(string) string { return "" }, slog.New(slog.DiscardHandler), build)
	if err == nil || !strings.Contains(err.Error(), "DATABASE_SECRET_ARN") || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("got %v", err)
	}
}

const event = `{"version":"0","id":"e-1","detail-type":"refusals","source":"insighthub.authorizer","detail":{"id":"R1","number":3,
	"first":"2026-01-02T03:04:05Z","last":"2026-01-02T03:04:06.5Z","refusals":[
	{"reason":"expired","source":"192.0.2.1","route":"ANY /v1/{path+}","number":3,
	"first":"2026-01-02T03:04:05Z","last":"2026-01-02T03:04:06.5Z"}]}}`

// TestDeliveredTwice: an event that is delivered several times, concurrently and with other
// ids of the bus, is added up once, and the chain is intact.
func TestDeliveredTwice(t *testing.T) {
	pool, dsn := timescaletest.OpenAs(t, timescale.FunctionRefusals)
	recorder := refusals.NewRecorder(refusals.RecorderConfig{Trail: pool, Log: slog.New(slog.DiscardHandler)})
	var added atomic.Int64
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			text := strings.Replace(event, "e-1", "e-"+string(rune('a'+i)), 1)
			if i%4 == 3 {
				text = strings.Replace(text, "R1", "R2", 1)
			}
			got, err := recorder.Invoke(t.Context(), []byte(text))
			if err != nil {
				t.Error(err)
			}
			if string(got) == `{"added":true}` {
				added.Add(1)
			}
		})
	}
	all.Wait()
	entries, err := timescaletest.Owner(t, dsn).TrailAfter(t.Context(), 0, 100)
	if err != nil || len(entries) != 1 || added.Load() != 2 {
		t.Fatalf("got %d entries, %d reports added, %v; want one entry of two reports", len(entries), added.Load(), err)
	}
	if err := new(trail.Verifier).Next(entries[0]); err != nil {
		t.Error(err)
	}
	sum, err := trail.ParseSum([]byte(entries[0].Detail), entries[0].Action)
	if err != nil || entries[0].Action != trail.RefusedAccessToken || sum.Number != 6 || sum.Lines[0].Source != "192.0.2.1" {
		t.Errorf("got %+v, %v", entries[0], err)
	}
}
