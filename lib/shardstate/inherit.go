package shardstate

import (
	"context"
	"errors"
	"fmt"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// maxAncestors bounds how many shards without a state are gone through for one
// that has; a shard that is split again before it was written to is rare.
const maxAncestors = 64

// begin returns the state of a shard that has none of its own.
func (s *Store[S]) begin(ctx context.Context, shard ShardID) (*entry[S], error) {
	h := heritage[S]{store: s, left: maxAncestors}
	info, err := h.shard(ctx, shard)
	if err != nil {
		return nil, err
	}
	state, _, err := h.inherit(ctx, info)
	if err != nil {
		return nil, err
	}
	for _, parent := range info.Parents {
		s.take(parent) // it is final, and not read again from this process
	}
	return &entry[S]{state: state}, nil
}

// heritage looks for the states that a shard begins with.
type heritage[S any] struct {
	store *Store[S]
	left  int
}

func (h *heritage[S]) shard(ctx context.Context, id ShardID) (Shard, error) {
	parents, first, last, err := h.store.cfg.Lineage.Shard(ctx, string(id))
	if err != nil {
		return Shard{}, fmt.Errorf("lineage of %s: %w", id, err)
	}
	hashes, err := ParseHashRange(first, last)
	if err != nil {
		return Shard{}, fmt.Errorf("lineage of %s: %w", id, err)
	}
	shard := Shard{ID: id, Hashes: hashes}
	for _, p := range parents {
		shard.Parents = append(shard.Parents, ShardID(p))
	}
	return shard, nil
}

// inherit returns the state in which a shard begins, and whether any ancestor's is in it.
func (h *heritage[S]) inherit(ctx context.Context, shard Shard) (state S, found bool, err error) {
	var parents []Parent[S]
	for _, id := range shard.Parents {
		parent, ok, err := h.parent(ctx, id)
		if err != nil {
			return state, false, err
		}
		if ok {
			parents = append(parents, parent)
		}
	}
	state, err = h.store.cfg.Codec.Inherit(shard, parents)
	if err != nil {
		return state, false, fmt.Errorf("inherit: %w", err)
	}
	return state, len(parents) > 0, nil
}

// parent returns the final state of a shard. One without a state, to which
// nothing was ever written, passes on what it would have begun with.
func (h *heritage[S]) parent(ctx context.Context, id ShardID) (parent Parent[S], found bool, err error) {
	if h.left--; h.left < 0 {
		return parent, false, fmt.Errorf("more than %d ancestors without a state: %w", maxAncestors, telemetry.ErrInvalid)
	}
	e, err := h.store.fetch(ctx, id, nil)
	if err == nil {
		return Parent[S]{Shard: id, Watermark: e.watermark, State: e.state}, true, nil
	}
	if !errors.Is(err, telemetry.ErrNotFound) {
		return parent, false, fmt.Errorf("parent %s: %w", id, err)
	}
	info, err := h.shard(ctx, id)
	if errors.Is(err, telemetry.ErrNotFound) {
		return parent, false, nil // all that it held has expired
	}
	if err != nil {
		return parent, false, err
	}
	state, found, err := h.inherit(ctx, info)
	return Parent[S]{Shard: id, State: state}, found, err
}
