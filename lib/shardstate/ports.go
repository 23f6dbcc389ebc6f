package shardstate

import (
	"context"
)

// Objects stores the states. Errors wrap telemetry's sentinels; the methods are
// called concurrently for different keys.
type Objects interface {
	// GetTagged returns an object and its ETag, or an error that wraps
	// telemetry.ErrNotFound. It sees every write that has returned before it. If the
	// object still has the ETag known, the body is nil; an empty known always reads
	// the body. The caller owns the body.
	GetTagged(ctx context.Context, key, known string) (body []byte, etag string, err error)
	// PutIf replaces the object if it has that ETag, or, if etag is empty, creates it
	// if it does not exist, atomically, and returns the new ETag. Otherwise nothing
	// changes and the error wraps telemetry.ErrConflict. After any error, also a
	// conflict, the write may have been applied or be applied later. It does not
	// retain the body after success.
	PutIf(ctx context.Context, key string, body []byte, etag string) (string, error)
}

// Lineage reads the parents and hash key ranges of the stream's shards.
type Lineage interface {
	// Shard returns a shard's parents (none; one after a split; two after a merge)
	// and its range of hash keys, both ends included, in decimal. The error wraps
	// telemetry.ErrNotFound if the stream has no such shard, or it has expired. Safe
	// to retry.
	Shard(ctx context.Context, id string) (parents []string, firstHash, lastHash string, err error)
}

// Codec encodes and decodes a consumer's state. It is called concurrently for
// different shards.
type Codec[S any] interface {
	// Append appends the encoded state to dst.
	Append(dst []byte, state S) ([]byte, error)
	// Decode is the inverse of Append. The state may refer to the bytes.
	Decode(encoded []byte) (S, error)
	// Inherit returns a shard's first state, made from the final states of its
	// parents, which it may reuse. Without parents, as in a new stream or one that
	// the consumer has not read before, that is the empty state.
	//
	// After a split both children are given the whole of the parent's state. Each
	// must retain only its own keys (Shard.Hashes.Contains of the partition key), or
	// both reduce keys whose records only one of them receives, and their effects
	// conflict. After a merge the parents' keys are disjoint. Clocks of a shard are
	// merged by their maximum.
	Inherit(shard Shard, parents []Parent[S]) (S, error)
}

// Parent is a parent's final state.
type Parent[S any] struct {
	Shard ShardID
	// Watermark is the last of the parent's records in the state.
	Watermark Sequence
	State     S
}
