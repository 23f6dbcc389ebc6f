// Package eventbridge puts events on a bus of Amazon EventBridge.
package eventbridge

import (
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

// Client is the part of the SDK's client that a Bus needs; it may retry whole calls.
type Client interface {
	PutEvents(context.Context, *eventbridge.PutEventsInput, ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error)
}

var _ Client = (*eventbridge.Client)(nil)

// Event is one event. EventBridge gives each put an id of its own: what lets
// receivers drop repetitions has to stand in the detail.
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
	// timeBytes is what an entry's time counts for.
	timeBytes = 14
)

// Config is what a Bus is made of. Every field is needed but Pause and Attempts.
type Config struct {
	Client Client
	// Name is the bus's name or ARN.
	Name string
	// Source is the source of all events.
	Source string
	// Pause is waited before what was refused is put again; default 100 ms.
	Pause time.Duration
	// Attempts is how often an event is put at most; default 3.
	Attempts int
}

// Bus puts events of one source on one bus. It is safe for concurrent use.
type Bus struct{ config Config }

// New returns a Bus. The error wraps telemetry.ErrInvalid.
func New(config Config) (*Bus, error) {
	if config.Client == nil || config.Name == "" || config.Source == "" {
		return nil, fmt.Errorf("%w: event bus: want Client, Name and Source", telemetry.ErrInvalid)
	}
	if config.Pause == 0 {
		config.Pause = 100 * time.Millisecond
	}
	if config.Attempts == 0 {
		config.Attempts = 3
	}
	return &Bus{config}, nil
}

// Put puts the events on the bus, ten in a call, and returns how many the bus has
// taken. Those that it refuses for the moment are put again, a few times and as
// long as ctx allows. The error is the last one and says why not all were taken.
func (b *Bus) Put(ctx context.Context, events []Event) (taken int, err error) {
	var last error
	for part := range b.parts(events) {
		n, err := b.put(ctx, part)
		taken += n
		if err != nil {
			last = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	if taken < len(events) {
		return taken, fmt.Errorf("put %d events on %s, %d were taken: %w", len(events), b.config.Name, taken, last)
	}
	return taken, nil
}

// parts cuts the events into what one call takes.
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

// put is one call, and its repetition for the entries that were refused.
func (b *Bus) put(ctx context.Context, entries []types.PutEventsRequestEntry) (taken int, err error) {
	for attempt := 1; ; attempt++ {
		out, callErr := b.config.Client.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: entries})
		if callErr != nil {
			// The SDK has tried again where that was right.
			return taken, fmt.Errorf("%w: %w", telemetry.ErrUnavailable, callErr)
		}
		if len(out.Entries) != len(entries) {
			return taken, fmt.Errorf("%w: %d answers for %d events", telemetry.ErrUnavailable, len(out.Entries), len(entries))
		}
		var refused []types.PutEventsRequestEntry
		err = nil
		for i, e := range out.Entries {
			if e.EventId != nil {
				taken++
				continue
			}
			err = fmt.Errorf("%w: %s: %s", kindOf(aws.ToString(e.ErrorCode)), aws.ToString(e.ErrorCode), aws.ToString(e.ErrorMessage))
			if errors.Is(err, telemetry.ErrUnavailable) {
				refused = append(refused, entries[i])
			}
		}
		if len(refused) == 0 || attempt == b.config.Attempts || !b.pause(ctx, attempt) {
			return taken, err
		}
		entries = refused
	}
}

// kindOf says whether an entry's error may pass.
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
