package shardstate

import (
	"context"
)

// Objects keeps the states. Errors wrap telemetry's sentinels; the methods are
// called concurrently for different keys.
type Objects interface {
	// GetTagged returns an object and its ETag, or an error that wraps
	// telemetry.ErrNotFound. It sees every write that was answered before. When
	// the object still has the ETag known, the body is nil; an empty known always
	// fetches. The caller owns the body.
	GetTagged(ctx context.Context, key, known string) (body []byte, etag string, err error)
	// PutIf replaces the object if it has that ETag, or creates it if there is
	// none where etag is empty, in one step, and returns the new ETag. Otherwise
	// nothing changes and the error wraps telemetry.ErrConflict. After any error,
	// a conflict too, the write may have been applied or be applied later. It
	// does not keep the body after success.
	PutIf(ctx context.Context, key string, body []byte, etag string) (string, error)
}

// Lineage knows where the shards of the stream come from.
type Lineage interface {
	// Shard returns the shards that a shard was made from (none; one after a
	// split; two after a merge) and its range of hash keys, both ends included,
	// in decimal. The error wraps telemetry.ErrNotFound when the stream knows
	// no such shard, or no longer. Safe to retry.
	Shard(ctx context.Context, id string) (parents []string, firstHash, lastHash string, err error)
}

// Codec turns a consumer's state into bytes and back. It is called for different
// shards concurrently.
type Codec[S any] interface {
	// Append appends the encoded state to dst.
	Append(dst []byte, state S) ([]byte, error)
	// Decode is the inverse of Append. The state may refer to the bytes.
	Decode(encoded []byte) (S, error)
	// Inherit returns the state in which a shard begins, from the final states of
	// its parents, which it may reuse. There are none for a shard of a new stream
	// or of one that the consumer has not read before: that is the empty state.
	//
	// After a split both children are given the whole of the parent's state. Each
	// must keep only what belongs to its keys (Shard.Hashes.Contains of the
	// partition key), or both go on reducing what only one of them still sees,
	// and their effects contradict each other. After a merge the parents' keys
	// are disjoint. Clocks of a shard are joined by their maximum.
	Inherit(shard Shard, parents []Parent[S]) (S, error)
}

// Parent is a parent's final state.
type Parent[S any] struct {
	Shard ShardID
	// Watermark is the last of the parent's records in the state.
	Watermark Sequence
	State     S
}
