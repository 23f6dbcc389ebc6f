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

// posted is a bus in memory.
type posted struct{ events []eventbridge.Event }

func (p *posted) Put(_ context.Context, events []eventbridge.Event) (int, error) {
	p.events = append(p.events, events...)
	return len(events), nil
}

// machines is a configuration without rules.
type machines struct{}

func (machines) Configuration(context.Context) (detect.Configuration, error) {
	return detect.Configuration{Machines: detect.DefaultMachines()}, nil
}

// newHandler is the function over what a test has; nil objects are memory.
func newHandler(tb testing.TB, a detect.Anomalies, to bus, c detect.Configurations, objects shardstate.Objects) (*detect.Handler, *prometheus.Registry) {
	tb.Helper()
	if objects == nil {
		objects = &shardstatetest.Memory{}
	}
	registry := prometheus.NewRegistry()
	h, err := assemble(parts{
		settings: settings{stream: "telemetry"}, objects: objects, lineage: kinesistest.OneShard{}, configurations: c,
		config: detect.Config{Anomalies: a, Notifier: notifier{to}, Metrics: registry, Log: slog.New(slog.DiscardHandler), Now: time.Now},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return h, registry
}
