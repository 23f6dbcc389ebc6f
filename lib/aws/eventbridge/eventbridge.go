// Package eventbridge puts events on a bus of Amazon EventBridge.
package eventbridge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Client is the part of the SDK's client that a Bus uses; it may retry whole calls.
type Client interface {
	PutEvents(context.Context, *eventbridge.PutEventsInput, ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error)
}

var _ Client = (*eventbridge.Client)(nil)

// Event is one event. EventBridge assigns an id to each put: an id by which receivers detect
// duplicates has to be in the detail.
type Event struct {
	// Type is the detail-type.
	Type string
	Time time.Time
	// Detail is a JSON object.
	Detail []byte
}

// The limits of one call (EventBridge API reference, PutEvents).
const (
	maxEntries = 10
	maxBytes   = 256_000
	// timeBytes is the size of an entry's time in the limit.
	timeBytes = 14
)

// Config of a Bus. All fields but Pause and Attempts are required.
type Config struct {
	Client Client
	// Name is the bus's name or ARN.
	Name string
	// Source is the source of all events.
	Source string
	// Pause is the wait before the first retry of rejected entries, and doubles; default 100 ms.
	Pause time.Duration
	// Attempts limits how often an event is put; default 3.
	Attempts int
}

// Bus puts events of one source on one bus. It is safe for concurrent use.
type Bus struct{ config Config }

// New returns a Bus. The error wraps telemetry.ErrInvalid.
func New(config Config) (*Bus, error) {
	if config.Name == "" || config.Source == "" {
		return nil, fmt.Errorf("%w: event bus: want Name and Source", telemetry.ErrInvalid)
	}
	config.Pause = cmp.Or(config.Pause, 100*time.Millisecond)
	config.Attempts = cmp.Or(config.Attempts, 3)
	return &Bus{config}, nil
}

// Put puts the events on the bus, ten in a call, and returns how many the bus accepted. Those
// that it rejects temporarily are retried, as Config.Attempts and ctx allow. The error is the
// last one, when not all were accepted.
func (b *Bus) Put(ctx context.Context, events []Event) (accepted int, err error) {
	var last error
	for part := range b.parts(events) {
		n, err := b.put(ctx, part)
		accepted += n
		if err != nil {
			last = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	if accepted < len(events) {
		return accepted, fmt.Errorf("put %d events on %s, %d were accepted: %w", len(events), b.config.Name, accepted, last)
	}
	return accepted, nil
}

// parts splits the events by the limits of one call.
func (b *Bus) parts(events []Event) func(func([]types.PutEventsRequestEntry) bool) {
	return func(yield func([]types.PutEventsRequestEntry) bool) {
		var part []types.PutEventsRequestEntry
		size := 0
		for _, e := range events {
			own := timeBytes + len(b.config.Source) + len(e.Type) + len(e.Detail)
			if len(part) == maxEntries || len(part) > 0 && size+own > maxBytes {
				if !yield(part) {
					return
				}
				part, size = nil, 0
			}
			size += own
			part = append(part, types.PutEventsRequestEntry{
				EventBusName: aws.String(b.config.Name), Source: aws.String(b.config.Source), DetailType: aws.String(e.Type),
				Detail: aws.String(string(e.Detail)), Time: aws.Time(e.Time),
			})
		}
		if len(part) > 0 {
			yield(part)
		}
	}
}

// put makes one call, and retries the entries that were rejected temporarily.
func (b *Bus) put(ctx context.Context, entries []types.PutEventsRequestEntry) (accepted int, err error) {
	for attempt := 1; ; attempt++ {
		out, callErr := b.config.Client.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: entries})
		if callErr != nil {
			// The SDK has retried what may be retried.
			return accepted, fmt.Errorf("%w: %w", telemetry.ErrUnavailable, callErr)
		}
		if len(out.Entries) != len(entries) {
			return accepted, fmt.Errorf("%w: %d results for %d events", telemetry.ErrUnavailable, len(out.Entries), len(entries))
		}
		var rejected []types.PutEventsRequestEntry
		err = nil
		for i, e := range out.Entries {
			if e.EventId != nil {
				accepted++
				continue
			}
			err = fmt.Errorf("%w: %s: %s", kindOf(aws.ToString(e.ErrorCode)), aws.ToString(e.ErrorCode), aws.ToString(e.ErrorMessage))
			if errors.Is(err, telemetry.ErrUnavailable) {
				rejected = append(rejected, entries[i])
			}
		}
		if len(rejected) == 0 || attempt == b.config.Attempts || !b.pause(ctx, attempt) {
			return accepted, err
		}
		entries = rejected
	}
}

// kindOf returns ErrUnavailable for the code of a temporary error of an entry.
func kindOf(code string) error {
	if slices.Contains([]string{"ThrottlingException", "InternalFailure", "InternalException"}, code) {
		return telemetry.ErrUnavailable
	}
	return telemetry.ErrInvalid
}

// pause reports false when ctx ends first.
func (b *Bus) pause(ctx context.Context, attempt int) bool {
	timer := time.NewTimer(b.config.Pause << (attempt - 1))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
