package store

import (
	"context"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Record is one record of the stream as the event source delivered it.
type Record struct {
	Stream         string // ARN
	Shard          string
	SequenceNumber string
	PartitionKey   string
	// Arrival is when the stream took the record; zero when that is not known.
	Arrival time.Time
	// Data is one encoded batch, or several in an aggregated record. It is valid
	// during the invocation.
	Data []byte
}

// Source is the form in which records come and answers go. It is not called
// concurrently.
type Source interface {
	// Records appends the payload's records to dst, in stream order.
	Records(dst []Record, payload []byte) ([]Record, error)
	// Messages appends the encoded batches in a record's data to dst: the data
	// itself, or the parts of an aggregated record. An error makes the record poison.
	Messages(dst [][]byte, data []byte) ([][]byte, error)
	// Answer is the response that asks for delivery from the record with that
	// sequence number on, or for none when it is empty.
	Answer(sequenceNumber string) []byte
}

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

// Decoder decodes one encoded batch; errors wrap telemetry.ErrInvalid.
type Decoder interface {
	Decode(message []byte, into *telemetry.Batch) error
}

var _ Decoder = (*telemetry.Decoder)(nil)
