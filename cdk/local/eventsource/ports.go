package eventsource

import (
	"context"
	"errors"
	"time"
)

// Record is one record of a shard. Data is shared with the stream: do not modify it.
type Record struct {
	SequenceNumber string
	PartitionKey   string
	Data           []byte
	Arrival        time.Time
}

// Shard describes a shard and its parents.
type Shard struct {
	ID               string
	ParentID         string // empty if the shard was not made by a split or merge
	AdjacentParentID string // the second parent of a merge
}

// Stream is the stream that a mapping reads. It is called concurrently.
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

// ErrThrottled is returned by an Invoker when no concurrency is left. Like any other
// error of an Invoker it is retried and not counted as an attempt.
var ErrThrottled = errors.New("throttled")

// Response is the response of a function.
type Response struct {
	Payload []byte
	// FunctionError is empty, or the kind of the error: Handled, Unhandled.
	FunctionError string
}

// Invoker invokes the mapping's function. It is called concurrently, by each lane.
type Invoker interface {
	// Invoke sends payload and waits for the response. It does not retain payload.
	// An error says that the function was not invoked, or that its response is unknown:
	// the same payload is sent again.
	Invoke(ctx context.Context, payload []byte) (Response, error)
}

// FailureSink stores the discarded records: it is the on-failure destination, an S3
// bucket.
type FailureSink interface {
	// Put stores an object. An error is retried.
	Put(ctx context.Context, key string, data []byte) error
}

// Checkpoint is the position of a mapping in a shard.
type Checkpoint struct {
	// Sequence is the sequence number up to which every record is finished; empty before
	// the first.
	Sequence string `json:"sequence"`
	// Finished says that the shard is closed and all of its records are finished.
	Finished bool `json:"finished,omitempty"`
}

// Checkpoints stores the checkpoints of mappings. It is called concurrently.
type Checkpoints interface {
	// Load returns the checkpoint, or false if there is none.
	Load(mapping MappingID, shard string) (Checkpoint, bool)
	// Save replaces the checkpoint.
	Save(mapping MappingID, shard string, c Checkpoint)
}
