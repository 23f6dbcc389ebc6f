package store_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/store"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Dead-lettered records are counted as poison; those to deliver again are not.
func TestMetrics(t *testing.T) {
	registry, l := prometheus.NewRegistry(), &deadLetters{put: map[string]string{}}
	h, err := store.New(store.Config{
		Source: textSource{}, Decoder: textDecoder{}, DeadLetters: l, Metrics: registry,
		Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Writer: writerFunc(func(context.Context, []*telemetry.Batch) (store.Outcome, error) {
			return store.Outcome{Stored: 5, Duplicates: 3, Conflicts: 1}, nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	counts := func() map[string]float64 {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		out := make(map[string]float64)
		for _, f := range families {
			if f.GetName() == "insighthub_store_stage_seconds" {
				continue // TestStages
			}
			out[f.GetName()] = f.GetMetric()[0].GetCounter().GetValue()
		}
		return out
	}
	for i, want := range [][4]float64{{0, 0, 0, 0}, {5, 3, 1, 1}, {10, 6, 2, 1}} {
		if diff := cmp.Diff(map[string]float64{
			"insighthub_store_events_total": want[0], "insighthub_store_duplicates_total": want[1],
			"insighthub_store_conflicts_total": want[2], "insighthub_store_poison_records_total": want[3],
		}, counts()); diff != "" {
			t.Errorf("after %d invocations (-want +got):\n%s", i, diff)
		}
		l.down = i == 1
		if _, err := h.Invoke(t.Context(), []byte("a\ngarbage\nc")); err != nil {
			t.Fatal(err)
		}
	}
}
