package kinesis

import (
	"context"
	"fmt"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// ShardLister is the part of the SDK's client that Shards needs; it may retry.
type ShardLister interface {
	ListShards(context.Context, *kinesis.ListShardsInput, ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error)
}

var _ ShardLister = (*kinesis.Client)(nil)

// Shards knows where the shards of a stream come from. What it has once listed
// it does not ask for again, since none of it ever changes. It is safe for
// concurrent use.
type Shards struct {
	client ShardLister
	stream string

	mu    sync.Mutex // held while listing: others wait for the same answer
	known map[string]lineage
}

type lineage struct {
	parents             []string
	firstHash, lastHash string
}

// NewShards returns the Shards of a stream, by its name.
func NewShards(client ShardLister, stream string) *Shards {
	return &Shards{client: client, stream: stream, known: make(map[string]lineage)}
}

// Shard returns the shards that a shard was made from (none; one after a split;
// two after a merge) and its range of hash keys, both ends included, in decimal.
//
// The error wraps telemetry.ErrNotFound when the stream does not list the shard:
// it was never there, or all that it held has expired. A parent may be named
// that is not listed any more.
func (s *Shards) Shard(ctx context.Context, id string) (parents []string, firstHash, lastHash string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.known[id]; !ok {
		if err := s.list(ctx); err != nil {
			return nil, "", "", fmt.Errorf("list shards of %q: %w", s.stream, err)
		}
	}
	l, ok := s.known[id]
	if !ok {
		return nil, "", "", fmt.Errorf("shard %q of stream %q: %w", id, s.stream, telemetry.ErrNotFound)
	}
	return l.parents, l.firstHash, l.lastHash, nil
}

func (s *Shards) list(ctx context.Context) error {
	// A token stands for the stream: the two may not be given together.
	for in := (&kinesis.ListShardsInput{StreamName: &s.stream}); ; {
		out, err := s.client.ListShards(ctx, in)
		if err != nil {
			if kindOf(err) != permanent {
				return fmt.Errorf("%w: %w", telemetry.ErrUnavailable, err)
			}
			return err
		}
		for _, shard := range out.Shards {
			l := lineage{}
			for _, parent := range []*string{shard.ParentShardId, shard.AdjacentParentShardId} {
				if parent != nil {
					l.parents = append(l.parents, *parent)
				}
			}
			if r := shard.HashKeyRange; r != nil {
				l.firstHash, l.lastHash = aws.ToString(r.StartingHashKey), aws.ToString(r.EndingHashKey)
			}
			s.known[aws.ToString(shard.ShardId)] = l
		}
		if aws.ToString(out.NextToken) == "" {
			return nil
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken}
	}
}
