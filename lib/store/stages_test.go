package store_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/store"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// TestStages: each batch that is stored counts once in each stage, with the times of its own
// record; those that are delivered again do not, and no stage is below zero.
func TestStages(t *testing.T) {
	taken := arrival.Add(30 * time.Millisecond)
	for name, c := range map[string]struct {
		payload string
		taken   time.Time
		err     error
		want    map[string]string // number and sum in ms
	}{
		// textDecoder's batches were received 10 µs before they arrived.
		"three batches in two records": {"a+b\nc", taken, nil, map[string]string{
			"streamed": "3 0.03", "taken": "3 90.00", "committed": "3 15.00", "stored": "3 105.03",
		}},
		"poison": {"a\ngarbage", taken, nil, map[string]string{
			"streamed": "1 0.01", "taken": "1 30.00", "committed": "1 5.00", "stored": "1 35.01",
		}},
		"a clock that is behind the stream's": {"a", arrival.Add(-time.Millisecond), nil, map[string]string{
			"streamed": "1 0.01", "taken": "1 0.00", "committed": "1 5.00", "stored": "1 4.01",
		}},
		"a commit whose time is not known": {"a", time.UnixMicro(-5000), nil, map[string]string{
			"streamed": "0 0.00", "taken": "0 0.00", "committed": "0 0.00", "stored": "0 0.00",
		}},
		"unavailable": {"a\nb", taken, telemetry.ErrUnavailable, map[string]string{
			"streamed": "0 0.00", "taken": "0 0.00", "committed": "0 0.00", "stored": "0 0.00",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			h, err := store.New(store.Config{
				Source: textSource{}, Decoder: textDecoder{}, DeadLetters: &deadLetters{put: map[string]string{}}, Metrics: registry,
				Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return c.taken },
				Writer: writerFunc(func(context.Context, []*telemetry.Batch) (store.Outcome, error) {
					return store.Outcome{Stored: 1, Committed: telemetry.MicrosOf(c.taken) + 5000}, c.err
				}),
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := h.Invoke(t.Context(), []byte(c.payload)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, observed(t, registry)); diff != "" {
				t.Errorf("stages differ (-want +got):\n%s", diff)
			}
		})
	}
}

// observed returns the number and the sum, in ms, of each stage.
func observed(t *testing.T, registry *prometheus.Registry) map[string]string {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	for _, f := range families {
		if f.GetName() != "insighthub_store_stage_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			h := m.GetHistogram()
			out[m.GetLabel()[0].GetValue()] = fmt.Sprintf("%d %.2f", h.GetSampleCount(), math.Abs(h.GetSampleSum()*1000))
		}
	}
	return out
}
