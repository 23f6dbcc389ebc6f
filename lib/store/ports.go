package store

import (
	"context"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Outcome counts the events of a write by what was done with them. Stored, Duplicates,
// Conflicts and Rejected add up to the events of its batches.
type Outcome struct {
	Stored     int
	Duplicates int // same identity, value and quality as another of them or the stored one
	Conflicts  int // same identity, another value or quality; the stored one stays
	// Rejected are the events that can never be stored, in order; they affect no other.
	Rejected []telemetry.RejectedEvent
	// Crowded are gateways that got new names and have nearly as many as they may have.
	Crowded []telemetry.GatewayID
	// Committed is when the database had confirmed the last of them.
	Committed telemetry.Micros
}

// Writer stores batches of events. When it returns without an error all of them are
// durable: of events with the same identity the first is stored, earlier batches
// first, and the others change nothing. It does not retain the batches.
//
// After an error any part may be stored, and the same call is safe to repeat. An
// error that wraps telemetry.ErrInvalid says that one of the batches can never
// be stored, but not which; telemetry.ErrUnavailable that a retry may succeed.
type Writer interface {
	Write(ctx context.Context, batches []*telemetry.Batch) (Outcome, error)
}

// Names publishes the names of gateways that have nearly as many as they may have, from
// which ingest knows what to reject. After an error the store goes on: it rejects as well.
type Names interface {
	Publish(ctx context.Context, gateway telemetry.GatewayID) error
}

// Unpublished is Names that publishes nothing.
type Unpublished struct{}

// Publish implements Names.
func (Unpublished) Publish(context.Context, telemetry.GatewayID) error { return nil }

// DeadLetters saves what could not be stored. Put replaces an object of the same key.
type DeadLetters interface {
	Put(ctx context.Context, key string, body []byte, contentType string) error
}
