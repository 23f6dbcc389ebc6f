package store

import (
	"context"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Outcome says what became of the events of a write. Stored, Duplicates and
// Conflicts add up to the events that were offered.
type Outcome struct {
	Stored     int
	Duplicates int // offered again, with the value and quality of another of them or of the stored one
	Conflicts  int // different offers of another value or quality; the stored one stays
	// Committed is when the database had confirmed the last of it.
	Committed telemetry.Micros
}

// Writer stores batches of events. On return without error all of them are
// durable: the first offer of each identity is stored, earlier batches first,
// and later offers change nothing. It does not keep the batches.
//
// After an error any part may be stored, and the same call is safe to repeat. An
// error that wraps telemetry.ErrInvalid says that one of the batches can never
// be stored, and not which; telemetry.ErrUnavailable that the call may succeed
// later.
type Writer interface {
	Write(ctx context.Context, batches []*telemetry.Batch) (Outcome, error)
}

// DeadLetters keeps what could not be stored. Putting the same key again
// replaces it.
type DeadLetters interface {
	Put(ctx context.Context, key string, body []byte, contentType string) error
}
