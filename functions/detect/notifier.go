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

// eventSource, and eventType or endType, are the source and detail-type that rules on the
// bus match.
const (
	eventSource = "insighthub.detect"
	eventType   = "anomaly"
	endType     = "anomaly ended"
)

// detail is the detail of an event. A duplicate event has the same id, and so has the end
// of an anomaly, which has no score, value and message.
type detail struct {
	ID       string                `json:"id"`
	Site     telemetry.SiteID      `json:"site"`
	Gateway  telemetry.GatewayID   `json:"gateway"`
	Device   telemetry.DeviceName  `json:"device"`
	Metric   telemetry.MetricName  `json:"metric,omitempty"` // not of a machine
	Time     time.Time             `json:"time"`
	Kind     directory.AnomalyKind `json:"kind"`
	Rule     directory.RuleID      `json:"rule,omitempty"` // not of a detector
	Score    float64               `json:"score,omitzero"`
	Value    *float64              `json:"value,omitempty"`
	Severity directory.Severity    `json:"severity"`
	Message  string                `json:"message,omitzero"`
	Late     bool                  `json:"late,omitzero"`
	Lag      float64               `json:"lag_seconds,omitzero"`
	// Of an end, and of a late anomaly, which is over.
	EndedAt  *time.Time          `json:"ended_at,omitempty"`
	Reason   directory.EndReason `json:"end_reason,omitzero"`
	Duration *float64            `json:"duration_seconds,omitempty"`
}

// bus publishes events.
type bus interface {
	// Put returns how many the bus has accepted; the error says why not all.
	Put(ctx context.Context, events []eventbridge.Event) (accepted int, err error)
}

var _ bus = (*eventbridge.Bus)(nil)

// notifier implements detect.Notifier over the bus, with events of that detail-type.
type notifier struct {
	bus  bus
	kind string
}

var _ detect.Notifier = notifier{}

func (n notifier) Notify(ctx context.Context, found []directory.Anomaly) (int, error) {
	events := make([]eventbridge.Event, len(found))
	for i := range found {
		a := &found[i]
		d := detail{
			ID: detect.ID(a), Site: a.Site, Gateway: a.Gateway, Device: a.Device, Metric: a.Metric, Time: a.Time.Time(), Kind: a.Kind,
			Rule: a.Rule, Score: a.Score, Value: a.Value, Severity: a.Severity, Message: a.Message, Late: a.Late, Lag: a.Lag.Seconds(),
		}
		at := d.Time
		if a.EndedAt != 0 {
			end, duration := a.EndedAt.Time(), a.EndedAt.Time().Sub(d.Time).Seconds()
			d.EndedAt, d.Reason, d.Duration = &end, a.EndReason, &duration
			at = end
		}
		text, err := json.Marshal(d)
		if err != nil {
			return 0, fmt.Errorf("detail of an anomaly: %w", err)
		}
		events[i] = eventbridge.Event{Type: n.kind, Time: at, Detail: text}
	}
	return n.bus.Put(ctx, events)
}
