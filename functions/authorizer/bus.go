package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"

	"github.com/insighthub/insighthub/lib/aws/eventbridge"
	"github.com/insighthub/insighthub/lib/refusals"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/trail"
)

// bus publishes reports as events.
type bus struct{ *eventbridge.Bus }

var _ refusals.Publisher = bus{}

// newBus returns a bus that makes one attempt: the collector retries a failed report in its
// next interval.
func newBus(cfg aws.Config, name string) (bus, error) {
	client := awseventbridge.NewFromConfig(cfg, func(o *awseventbridge.Options) { o.Retryer = aws.NopRetryer{} })
	b, err := eventbridge.New(eventbridge.Config{Client: client, Name: name, Source: refusals.Source, Attempts: 1})
	return bus{b}, err
}

func (b bus) Publish(ctx context.Context, reports []refusals.Report) error {
	events := make([]eventbridge.Event, len(reports))
	for i := range reports {
		detail, err := json.Marshal(&reports[i])
		if err != nil {
			return fmt.Errorf("report of rejected tokens: %w", err)
		}
		events[i] = eventbridge.Event{Type: refusals.EventType, Time: reports[i].Last, Detail: detail}
	}
	_, err := b.Put(ctx, events)
	return err
}

// tokenRefusals implements token.Refusals with the collector.
type tokenRefusals struct{ *refusals.Collector }

var _ token.Refusals = tokenRefusals{}

func (r tokenRefusals) Refused(t token.Refusal) {
	r.Count(trail.Occurrence{
		Action: trail.RefusedAccessToken, Reason: t.Reason, Source: t.Source, Route: t.Route, KeyID: t.KeyID, Subject: t.Subject,
	})
}
