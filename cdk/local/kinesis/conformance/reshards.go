package conformance

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// middle is the hash key that splits a stream of one shard into halves.
const middle = "170141183460469231731687303715884105728"

func reshardCases() []testCase {
	return []testCase{
		{name: "a split closes the parent and opens two children", run: split},
		{name: "a merge closes both parents and opens one child", run: merge},
		{name: "what cannot be split or merged is rejected", run: badReshards},
		{
			name: "the order of the shards to merge does not matter", run: mergeBackwards,
			differs: map[Implementation]string{Kinesalite: "requires the lower one first; " +
				"API reference of MergeShards: two shards are adjacent when their ranges form a contiguous set"},
		},
		{
			name: "a closed shard cannot be split again", run: splitTwice,
			differs: map[Implementation]string{Kinesalite: "splits it; " +
				"developer guide, Merge two shards: the open shards together span the hash keys, " +
				"and a second split would cover some twice (the error's name is our reading)"},
		},
		{
			name: "a shard at its end names its children", run: children,
			differs: map[Implementation]string{Kinesalite: "has no ChildShards; " +
				"API reference of GetRecords: returned when the end of the shard is reached"},
		},
		{
			name: "the open shards alone are listed", run: openShards,
			differs: map[Implementation]string{Kinesalite: "ignores ShardFilter; " +
				"API reference of ListShards: AT_LATEST returns the currently open shards"},
		},
		{
			name: "UpdateShardCount divides the hash keys evenly anew", run: scale,
			differs: map[Implementation]string{Kinesalite: "does not serve UpdateShardCount"},
		},
	}
}

// shards returns the stream's shards by id.
func (e *env) shards(ctx context.Context) (map[string]types.Shard, error) {
	l, err := e.ListShards(ctx, &sdk.ListShardsInput{StreamName: &e.stream})
	if err != nil {
		return nil, err
	}
	out := map[string]types.Shard{}
	for _, s := range l.Shards {
		out[*s.ShardId] = s
	}
	return out, nil
}

func (e *env) split(ctx context.Context, shard, at string) error {
	_, err := e.SplitShard(ctx, &sdk.SplitShardInput{StreamName: &e.stream, ShardToSplit: &shard, NewStartingHashKey: &at})
	if err != nil {
		return err
	}
	return e.settle(ctx)
}

func (e *env) merge(ctx context.Context, a, b string) error {
	_, err := e.MergeShards(ctx, &sdk.MergeShardsInput{StreamName: &e.stream, ShardToMerge: &a, AdjacentShardToMerge: &b})
	if err != nil {
		return err
	}
	return e.settle(ctx)
}

// highest returns the sequence number of the last record.
func highest(records []types.Record) string {
	return *records[len(records)-1].SequenceNumber
}

func split(ctx context.Context, e *env) error {
	if err := e.make(ctx, 1); err != nil {
		return err
	}
	if _, err := e.stored(ctx, entry("k", "before"), entry("a", "before")); err != nil {
		return err
	}
	if err := e.split(ctx, shardID(0), middle); err != nil {
		return err
	}
	after, err := e.stored(ctx, entry("k", "after"), entry("a", "after"), entry("b", "after"))
	if err != nil {
		return err
	}
	parent, err := e.iterator(ctx, shardID(0), types.ShardIteratorTypeTrimHorizon, "")
	if err != nil {
		return err
	}
	old, ended, err := e.follow(ctx, parent, 3)
	if err != nil {
		return err
	}
	errs := []error{differ("records of the parent", len(old), 2), differ("the parent ends", ended, true)}
	for _, r := range after {
		if *r.ShardId == shardID(0) || *r.SequenceNumber <= highest(old) {
			errs = append(errs, fmt.Errorf("%s %s was written after %s of the parent", *r.ShardId, *r.SequenceNumber, highest(old)))
		}
	}
	all, err := e.shards(ctx)
	if err != nil {
		return err
	}
	errs = append(errs, differ("shards", len(all), 3),
		differ("the parent has an ending number", all[shardID(0)].SequenceNumberRange.EndingSequenceNumber != nil, true),
		differ("last key of the first child", *all[shardID(1)].HashKeyRange.EndingHashKey, "170141183460469231731687303715884105727"),
		differ("first key of the second child", *all[shardID(2)].HashKeyRange.StartingHashKey, middle))
	for _, id := range []string{shardID(1), shardID(2)} {
		c := all[id]
		if c.ParentShardId == nil || *c.ParentShardId != shardID(0) || c.AdjacentParentShardId != nil {
			errs = append(errs, fmt.Errorf("parents of %s: %v, %v", id, c.ParentShardId, c.AdjacentParentShardId))
		}
		if *c.SequenceNumberRange.StartingSequenceNumber <= highest(old) {
			errs = append(errs, fmt.Errorf("%s starts at %s, below the parent's %s",
				id, *c.SequenceNumberRange.StartingSequenceNumber, highest(old)))
		}
	}
	return errors.Join(errs...)
}

func merge(ctx context.Context, e *env) error {
	if err := e.make(ctx, 2); err != nil {
		return err
	}
	before, err := e.stored(ctx, entry("k", "x"), entry("a", "x"), entry("b", "x"), entry("c", "x"))
	if err != nil {
		return err
	}
	if err := e.merge(ctx, shardID(0), shardID(1)); err != nil {
		return err
	}
	after, err := e.stored(ctx, entry("k", "y"), entry("a", "y"))
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range after {
		errs = append(errs, differ("shard after the merge", *a.ShardId, shardID(2)))
		for _, b := range before {
			if *a.SequenceNumber <= *b.SequenceNumber {
				errs = append(errs, fmt.Errorf("%s was written after %s", *a.SequenceNumber, *b.SequenceNumber))
			}
		}
	}
	all, err := e.shards(ctx)
	if err != nil {
		return err
	}
	c := all[shardID(2)]
	if c.ParentShardId == nil || c.AdjacentParentShardId == nil {
		return fmt.Errorf("the child's parents: %v, %v", c.ParentShardId, c.AdjacentParentShardId)
	}
	errs = append(errs,
		differ("parent", *c.ParentShardId, shardID(0)), differ("adjacent parent", *c.AdjacentParentShardId, shardID(1)),
		differ("first key", *c.HashKeyRange.StartingHashKey, "0"),
		differ("last key", *c.HashKeyRange.EndingHashKey, "340282366920938463463374607431768211455"))
	n := 0
	for _, id := range []string{shardID(0), shardID(1)} {
		errs = append(errs, differ(id+" has an ending number", all[id].SequenceNumberRange.EndingSequenceNumber != nil, true))
		it, err := e.iterator(ctx, id, types.ShardIteratorTypeTrimHorizon, "")
		if err != nil {
			return err
		}
		got, ended, err := e.follow(ctx, it, len(before)+1)
		if err != nil {
			return err
		}
		n += len(got)
		errs = append(errs, differ(id+" ends", ended, true))
	}
	return errors.Join(append(errs, differ("records of the parents", n, len(before)))...)
}

func badReshards(ctx context.Context, e *env) error {
	if err := e.make(ctx, 3); err != nil {
		return err
	}
	const invalid, missing = "InvalidArgumentException", "ResourceNotFoundException"
	return errors.Join(
		rejected("a split outside the shard", e.split(ctx, shardID(0), "340282366920938463463374607431768211455"), invalid),
		rejected("a split at the shard's start", e.split(ctx, shardID(0), "0"), invalid),
		rejected("a split one after the shard's start", e.split(ctx, shardID(0), "1"), invalid),
		rejected("a split at a key that is not a number", e.split(ctx, shardID(0), "x"), "ValidationException"),
		rejected("a split of an unknown shard", e.split(ctx, shardID(9), "5"), missing),
		rejected("a merge of shards apart", e.merge(ctx, shardID(0), shardID(2)), invalid),
		rejected("a merge with itself", e.merge(ctx, shardID(0), shardID(0)), invalid),
		rejected("a merge with an unknown shard", e.merge(ctx, shardID(0), shardID(9)), missing),
	)
}

func mergeBackwards(ctx context.Context, e *env) error {
	if err := e.make(ctx, 2); err != nil {
		return err
	}
	return e.merge(ctx, shardID(1), shardID(0))
}

func splitTwice(ctx context.Context, e *env) error {
	if err := e.make(ctx, 1); err != nil {
		return err
	}
	if err := e.split(ctx, shardID(0), middle); err != nil {
		return err
	}
	return rejected("the second split", e.split(ctx, shardID(0), middle), "InvalidArgumentException")
}

func children(ctx context.Context, e *env) error {
	if err := e.make(ctx, 1); err != nil {
		return err
	}
	it, err := e.iterator(ctx, shardID(0), types.ShardIteratorTypeTrimHorizon, "")
	if err != nil {
		return err
	}
	if err := e.split(ctx, shardID(0), middle); err != nil {
		return err
	}
	var out *sdk.GetRecordsOutput
	err = until(ctx, func() (bool, error) {
		out, err = e.GetRecords(ctx, &sdk.GetRecordsInput{ShardIterator: &it})
		if err != nil || out.NextShardIterator == nil {
			return true, err
		}
		it = *out.NextShardIterator
		return false, nil
	})
	if err != nil {
		return err
	}
	if len(out.ChildShards) != 2 {
		return fmt.Errorf("%d children, want 2", len(out.ChildShards))
	}
	var errs []error
	for i, c := range out.ChildShards {
		errs = append(errs, differ("child", *c.ShardId, shardID(i+1)),
			differ("its parents", fmt.Sprint(c.ParentShards), fmt.Sprint([]string{shardID(0)})))
	}
	return errors.Join(append(errs, differ("first key of the second", *out.ChildShards[1].HashKeyRange.StartingHashKey, middle))...)
}

func openShards(ctx context.Context, e *env) error {
	if err := e.make(ctx, 1); err != nil {
		return err
	}
	if err := e.split(ctx, shardID(0), middle); err != nil {
		return err
	}
	list := func(f *types.ShardFilter) (string, error) {
		l, err := e.ListShards(ctx, &sdk.ListShardsInput{StreamName: &e.stream, ShardFilter: f})
		if err != nil {
			return "", err
		}
		var ids []string
		for _, s := range l.Shards {
			ids = append(ids, *s.ShardId)
		}
		return fmt.Sprint(ids), nil
	}
	var errs []error
	for _, c := range []struct {
		filter types.ShardFilter
		want   []string
	}{
		{types.ShardFilter{Type: types.ShardFilterTypeAtLatest}, []string{shardID(1), shardID(2)}},
		{types.ShardFilter{Type: types.ShardFilterTypeAtTrimHorizon}, []string{shardID(0)}},
		{types.ShardFilter{Type: types.ShardFilterTypeFromTrimHorizon}, []string{shardID(0), shardID(1), shardID(2)}},
		{types.ShardFilter{Type: types.ShardFilterTypeAfterShardId, ShardId: aws.String(shardID(1))}, []string{shardID(2)}},
	} {
		got, err := list(&c.filter)
		errs = append(errs, err, differ(string(c.filter.Type), got, fmt.Sprint(c.want)))
	}
	return errors.Join(errs...)
}

func scale(ctx context.Context, e *env) error {
	if err := e.make(ctx, 2); err != nil {
		return err
	}
	for _, n := range []int32{4, 3, 2} {
		out, err := e.UpdateShardCount(ctx, &sdk.UpdateShardCountInput{
			StreamName: &e.stream, TargetShardCount: &n, ScalingType: types.ScalingTypeUniformScaling,
		})
		if err != nil {
			return err
		}
		if err := differ("target", *out.TargetShardCount, n); err != nil {
			return err
		}
		if err := e.settle(ctx); err != nil {
			return err
		}
		sum, err := e.DescribeStreamSummary(ctx, &sdk.DescribeStreamSummaryInput{StreamName: &e.stream})
		if err != nil {
			return err
		}
		if err := differ("open shards", *sum.StreamDescriptionSummary.OpenShardCount, n); err != nil {
			return err
		}
	}
	_, err := e.UpdateShardCount(ctx, &sdk.UpdateShardCountInput{
		StreamName: &e.stream, TargetShardCount: aws.Int32(5), ScalingType: types.ScalingTypeUniformScaling,
	})
	return rejected("more than double", err, "LimitExceededException")
}
