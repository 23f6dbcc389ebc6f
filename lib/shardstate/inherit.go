package shardstate

import (
	"context"
	"errors"
	"fmt"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// maxAncestors limits how many shards without a state are searched for one that has
// one. A shard that is split again before it was written to is rare.
const maxAncestors = 64

// first returns the first state of a shard, for which none is stored.
func (s *Store[S]) first(ctx context.Context, shard ShardID) (*entry[S], error) {
	a := ancestors[S]{store: s, left: maxAncestors}
	info, err := a.shard(ctx, shard)
	if err != nil {
		return nil, err
	}
	state, _, err := a.inherit(ctx, info)
	if err != nil {
		return nil, err
	}
	for _, parent := range info.Parents {
		s.uncache(parent) // it is final: this process does not load it any more
	}
	return &entry[S]{state: state}, nil
}

// ancestors finds the states from which a shard's first state is made.
type ancestors[S any] struct {
	store *Store[S]
	left  int // limit of shards still to search
}

func (a *ancestors[S]) shard(ctx context.Context, id ShardID) (Shard, error) {
	parents, first, last, err := a.store.cfg.Lineage.Shard(ctx, string(id))
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

// inherit returns a shard's first state, and whether it is made from any ancestor's.
func (a *ancestors[S]) inherit(ctx context.Context, shard Shard) (state S, found bool, err error) {
	var parents []Parent[S]
	for _, id := range shard.Parents {
		parent, ok, err := a.parent(ctx, id)
		if err != nil {
			return state, false, err
		}
		if ok {
			parents = append(parents, parent)
		}
	}
	state, err = a.store.cfg.Codec.Inherit(shard, parents)
	if err != nil {
		return state, false, fmt.Errorf("inherit: %w", err)
	}
	return state, len(parents) > 0, nil
}

// parent returns the final state of a shard. If none is stored, since no record was ever
// written to the shard, that is its first state.
func (a *ancestors[S]) parent(ctx context.Context, id ShardID) (parent Parent[S], found bool, err error) {
	if a.left--; a.left < 0 {
		return parent, false, fmt.Errorf("more than %d ancestors without a state: %w", maxAncestors, telemetry.ErrInvalid)
	}
	e, err := a.store.fetch(ctx, id, nil)
	if err == nil {
		return Parent[S]{Shard: id, Watermark: e.watermark, State: e.state}, true, nil
	}
	if !errors.Is(err, telemetry.ErrNotFound) {
		return parent, false, fmt.Errorf("parent %s: %w", id, err)
	}
	info, err := a.shard(ctx, id)
	if errors.Is(err, telemetry.ErrNotFound) {
		return parent, false, nil // its records have expired
	}
	if err != nil {
		return parent, false, err
	}
	state, found, err := a.inherit(ctx, info)
	return Parent[S]{Shard: id, State: state}, found, err
}
