package main

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/aws/eventbridge"
	"github.com/insighthub/insighthub/lib/aws/kinesis/kinesistest"
	"github.com/insighthub/insighthub/lib/detect"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/shardstate/shardstatetest"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// fakeBus records the events that it accepts.
type fakeBus struct{ events []eventbridge.Event }

func (f *fakeBus) Put(_ context.Context, events []eventbridge.Event) (int, error) {
	f.events = append(f.events, events...)
	return len(events), nil
}

// of returns the events of a detail-type.
func (f *fakeBus) of(kind string) (events []eventbridge.Event) {
	for _, e := range f.events {
		if e.Type == kind {
			events = append(events, e)
		}
	}
	return events
}

// machines is a configuration without rules.
type machines struct{}

func (machines) Configuration(context.Context) (detect.Configuration, error) {
	return detect.Configuration{Machines: detect.DefaultMachines()}, nil
}

// newHandler returns the function's handler over a test's dependencies, and its metrics.
// If objects is nil, its states are in memory.
func newHandler(
	tb testing.TB, a detect.Anomalies, to bus, c detect.Configurations, objects shardstate.Objects,
) (*detect.Handler, *prometheus.Registry) {
	tb.Helper()
	if objects == nil {
		objects = &shardstatetest.Memory{}
	}
	registry := prometheus.NewRegistry()
	h, err := assemble(parts{
		settings: settings{stream: "telemetry"}, objects: objects, lineage: kinesistest.OneShard{}, configurations: c,
		config: detect.Config{
			Anomalies: a, Notifier: notifier{to, eventType}, Ends: notifier{to, endType},
			Metrics: registry, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return h, registry
}
