package telemetry

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Record is one record of the stream as Lambda delivers it.
type Record struct {
	// Stream is the ARN of the stream, or of the consumer with enhanced fan-out. May be empty.
	Stream string
	// Shard is empty if the event does not name it.
	Shard ShardID
	// SequenceNumber identifies the record in its shard.
	SequenceNumber Sequence
	PartitionKey   string
	// Arrival is when the stream received the record; zero if not known.
	Arrival time.Time
	// Data is one encoded batch, or several in an aggregated record. It is valid
	// during the invocation; the strings stay valid.
	Data []byte
}

// ShardID identifies a shard of the stream, such as shardId-000000000006.
type ShardID string

// Sequence is a sequence number of a shard: a decimal number of up to 129
// digits without leading zeros (Kinesis API reference, SequenceNumber), compared
// by its value. The empty one is less than all others.
type Sequence string

const maxSequenceDigits = 129

// Compare returns -1, 0 or 1 as s is less than, equal to or greater than other.
// Both must be valid.
func (s Sequence) Compare(other Sequence) int {
	return cmp.Or(cmp.Compare(len(s), len(other)), strings.Compare(string(s), string(other)))
}

// Validate returns an error that wraps ErrInvalid unless s is a sequence number;
// the empty one is not.
func (s Sequence) Validate() error {
	switch {
	case s == "":
		return fmt.Errorf("sequence number: empty: %w", ErrInvalid)
	case len(s) > maxSequenceDigits:
		return fmt.Errorf("sequence number: %d digits, more than %d: %w", len(s), maxSequenceDigits, ErrInvalid)
	case s[0] == '0' && len(s) > 1:
		return fmt.Errorf("sequence number %q: leading zero: %w", s, ErrInvalid)
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return fmt.Errorf("sequence number %q: not a decimal number: %w", s, ErrInvalid)
		}
	}
	return nil
}
