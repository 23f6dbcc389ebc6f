package kinesis

import (
	"context"
	"fmt"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// ShardLister is the part of the SDK's client that Shards needs; it may retry.
type ShardLister interface {
	ListShards(context.Context, *kinesis.ListShardsInput, ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error)
}

var _ ShardLister = (*kinesis.Client)(nil)

// Shards returns the parents and hash key ranges of a stream's shards. It caches what it
// has listed, which never changes. It is safe for concurrent use.
type Shards struct {
	client ShardLister
	stream string

	mu    sync.Mutex // held while listing, so that others wait for the same response
	cache map[string]lineage
}

type lineage struct {
	parents             []string
	firstHash, lastHash string
}

// NewShards returns the Shards of a stream, by its name.
func NewShards(client ShardLister, stream string) *Shards {
	return &Shards{client: client, stream: stream, cache: make(map[string]lineage)}
}

// Shard returns the parents of a shard (none; one after a split; two after a merge) and its
// range of hash keys, both ends included, in decimal.
//
// The error wraps telemetry.ErrNotFound if the stream does not list the shard: it never
// existed, or all its records have expired. The parents may include a shard that is not
// listed any more.
func (s *Shards) Shard(ctx context.Context, id string) (parents []string, firstHash, lastHash string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.cache[id]; !ok {
		if err := s.list(ctx); err != nil {
			return nil, "", "", fmt.Errorf("list shards of %q: %w", s.stream, err)
		}
	}
	l, ok := s.cache[id]
	if !ok {
		return nil, "", "", fmt.Errorf("shard %q of stream %q: %w", id, s.stream, telemetry.ErrNotFound)
	}
	return l.parents, l.firstHash, l.lastHash, nil
}

// Open returns a hash key of each shard that accepts records: the first of its range. It
// lists the stream at each call, since shards are split and merged.
func (s *Shards) Open(ctx context.Context) (hashKeys []string, err error) {
	err = s.each(ctx, func(shard *types.Shard) {
		// A shard that was split or merged has an end, and takes no records any more.
		if shard.SequenceNumberRange != nil && shard.SequenceNumberRange.EndingSequenceNumber != nil || shard.HashKeyRange == nil {
			return
		}
		hashKeys = append(hashKeys, aws.ToString(shard.HashKeyRange.StartingHashKey))
	})
	if err != nil {
		return nil, fmt.Errorf("list shards of %q: %w", s.stream, err)
	}
	return hashKeys, nil
}

func (s *Shards) list(ctx context.Context) error {
	return s.each(ctx, func(shard *types.Shard) {
		l := lineage{}
		for _, parent := range []*string{shard.ParentShardId, shard.AdjacentParentShardId} {
			if parent != nil {
				l.parents = append(l.parents, *parent)
			}
		}
		if r := shard.HashKeyRange; r != nil {
			l.firstHash, l.lastHash = aws.ToString(r.StartingHashKey), aws.ToString(r.EndingHashKey)
		}
		s.cache[aws.ToString(shard.ShardId)] = l
	})
}

// each lists the stream's shards and calls do for each.
func (s *Shards) each(ctx context.Context, do func(*types.Shard)) error {
	// ListShards accepts a stream or a token, not both.
	for in := (&kinesis.ListShardsInput{StreamName: &s.stream}); ; {
		out, err := s.client.ListShards(ctx, in)
		if err != nil {
			if kindOf(err) != permanent {
				return fmt.Errorf("%w: %w", telemetry.ErrUnavailable, err)
			}
			return err
		}
		for i := range out.Shards {
			do(&out.Shards[i])
		}
		if aws.ToString(out.NextToken) == "" {
			return nil
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken}
	}
}
