package eventsource

import (
	"context"
	"errors"
	"time"
)

// Record is one record of a shard. Data is shared with the stream and read only.
type Record struct {
	SequenceNumber string
	PartitionKey   string
	Data           []byte
	Arrival        time.Time
}

// Shard describes a shard and where it came from.
type Shard struct {
	ID               string
	ParentID         string // empty for a shard that no split or merge made
	AdjacentParentID string // the second parent of a merge
}

// Stream is what a mapping reads from. It is called concurrently.
type Stream interface {
	// Shards lists the shards that can still be read, open and closed ones.
	Shards(stream string) ([]Shard, error)
	// Read returns the records that the shard holds after sequence number after ("" is
	// the trim horizon), at most maxRecords and about maxBytes of data, but one record
	// even if it alone is larger. It does not wait. With end the shard is closed and
	// nothing follows what it returned. An error is retried after a pause.
	Read(stream, shard, after string, maxRecords, maxBytes int) (records []Record, end bool, err error)
	// Wait waits until Read would return a record or end. An error is retried as Read's.
	Wait(ctx context.Context, stream, shard, after string) error
}

// ErrThrottled is what an Invoker returns when no concurrency is left. Like any
// other error of an Invoker it is tried again and not counted as an attempt.
var ErrThrottled = errors.New("throttled")

// Response is what a function answered.
type Response struct {
	Payload []byte
	// FunctionError is empty, or the kind of the error: Handled, Unhandled.
	FunctionError string
}

// Invoker invokes the mapping's function. It is called concurrently, by each lane.
type Invoker interface {
	// Invoke sends payload and waits for the answer. It keeps no reference to payload
	// when it returns. An error says that the function was not invoked, or that its
	// answer is unknown: the same payload will be sent again.
	Invoke(ctx context.Context, payload []byte) (Response, error)
}

// FailureSink keeps the records that the mapping gave up: the on-failure
// destination, an S3 bucket.
type FailureSink interface {
	// Put stores an object. An error is tried again.
	Put(ctx context.Context, key string, body []byte) error
}

// Checkpoint is how far a mapping is in a shard.
type Checkpoint struct {
	// Sequence is the number up to which every record is finished; empty before the first.
	Sequence string `json:"sequence"`
	// Finished says that the shard is closed and all of its records are finished.
	Finished bool `json:"finished,omitempty"`
}

// Checkpoints keeps the checkpoints of mappings. It is called concurrently.
type Checkpoints interface {
	// Load returns the checkpoint, or false if there is none.
	Load(mapping MappingID, shard string) (Checkpoint, bool)
	// Save replaces the checkpoint.
	Save(mapping MappingID, shard string, c Checkpoint)
}
