package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/insighthub/insighthub/lib/aws/eventbridge"
	"github.com/insighthub/insighthub/lib/detect"
	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// eventSource and eventType are the source and detail-type that rules on the bus match.
const (
	eventSource = "insighthub.detect"
	eventType   = "anomaly"
)

// detail is the detail of an event. A duplicate event has the same id.
type detail struct {
	ID       string                `json:"id"`
	Site     telemetry.SiteID      `json:"site"`
	Gateway  telemetry.GatewayID   `json:"gateway"`
	Device   telemetry.DeviceName  `json:"device"`
	Metric   telemetry.MetricName  `json:"metric,omitempty"` // not of a machine
	Time     time.Time             `json:"time"`
	Kind     directory.AnomalyKind `json:"kind"`
	Rule     directory.RuleID      `json:"rule,omitempty"` // not of a detector
	Score    float64               `json:"score"`
	Value    *float64              `json:"value,omitempty"`
	Severity directory.Severity    `json:"severity"`
	Message  string                `json:"message"`
}

// bus publishes events.
type bus interface {
	// Put returns how many the bus has accepted; the error says why not all.
	Put(ctx context.Context, events []eventbridge.Event) (accepted int, err error)
}

var _ bus = (*eventbridge.Bus)(nil)

// notifier implements detect.Notifier over the bus.
type notifier struct{ bus bus }

var _ detect.Notifier = notifier{}

func (n notifier) Notify(ctx context.Context, found []directory.Anomaly) (int, error) {
	events := make([]eventbridge.Event, len(found))
	for i := range found {
		a := &found[i]
		text, err := json.Marshal(detail{
			ID: detect.ID(a), Site: a.Site, Gateway: a.Gateway, Device: a.Device, Metric: a.Metric, Time: a.Time.Time(), Kind: a.Kind,
			Rule: a.Rule, Score: a.Score, Value: a.Value, Severity: a.Severity, Message: a.Message,
		})
		if err != nil {
			return 0, fmt.Errorf("detail of an anomaly: %w", err)
		}
		events[i] = eventbridge.Event{Type: eventType, Time: a.Time.Time(), Detail: text}
	}
	return n.bus.Put(ctx, events)
}
