package conformance

import (
	"context"
	"errors"
	"fmt"
	"math/big"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

func streamCases() []testCase {
	return []testCase{
		{name: "a new stream divides the hash keys evenly", run: newStream},
		{name: "a stream is made once", run: madeTwice},
		{name: "a deleted stream is gone", run: deleted},
		{name: "an unknown stream is not found", run: unknown},
		{name: "streams are listed in pages", run: listed},
		{name: "a stream's model is validated", run: modelled},
		{name: "retention is raised and lowered between a day and a year", run: retention},
		{
			name: "retention goes to 365 days", run: longRetention,
			differs: map[Implementation]string{Kinesalite: "allows at most 168 hours; " +
				"API reference of IncreaseStreamRetentionPeriod: 8760 hours"},
		},
		{
			name: "a stream is named by its ARN too", run: byARN,
			differs: map[Implementation]string{Kinesalite: "does not support StreamARN; " +
				"API reference of DescribeStream: either StreamARN or StreamName, or both"},
		},
		{
			name: "shards are listed in pages", run: shardPages,
			differs: map[Implementation]string{Kinesalite: "ignores MaxResults; " +
				"API reference of ListShards: NextToken when there are more"},
		},
	}
}

func newStream(ctx context.Context, e *env) error {
	const n = 3
	if err := e.make(ctx, n); err != nil {
		return err
	}
	d, err := e.DescribeStream(ctx, &sdk.DescribeStreamInput{StreamName: &e.stream})
	if err != nil {
		return err
	}
	l, err := e.ListShards(ctx, &sdk.ListShardsInput{StreamName: &e.stream})
	if err != nil {
		return err
	}
	sum, err := e.DescribeStreamSummary(ctx, &sdk.DescribeStreamSummaryInput{StreamName: &e.stream})
	if err != nil {
		return err
	}
	errs := []error{
		differ("shards described", len(d.StreamDescription.Shards), n),
		differ("shards listed", len(l.Shards), n),
		differ("open shards", *sum.StreamDescriptionSummary.OpenShardCount, n),
		differ("retention", *d.StreamDescription.RetentionPeriodHours, 24),
		differ("more shards", *d.StreamDescription.HasMoreShards, false),
		differ("encryption", d.StreamDescription.EncryptionType, types.EncryptionTypeNone),
	}
	space := new(big.Int).Lsh(big.NewInt(1), 128)
	part := new(big.Int).Div(space, big.NewInt(n))
	for i, s := range l.Shards {
		first := new(big.Int).Mul(part, big.NewInt(int64(i)))
		last := new(big.Int).Sub(new(big.Int).Add(first, part), big.NewInt(1))
		if i == n-1 {
			last.Sub(space, big.NewInt(1))
		}
		errs = append(errs,
			differ("shard id", *s.ShardId, fmt.Sprintf("shardId-%012d", i)),
			differ("first hash key", *s.HashKeyRange.StartingHashKey, first.String()),
			differ("last hash key", *s.HashKeyRange.EndingHashKey, last.String()),
			differ("digits of the starting number", len(*s.SequenceNumberRange.StartingSequenceNumber), 56),
			differ("has an ending number", s.SequenceNumberRange.EndingSequenceNumber != nil, false),
			differ("has a parent", s.ParentShardId != nil, false),
		)
	}
	return errors.Join(errs...)
}

func madeTwice(ctx context.Context, e *env) error {
	if err := e.make(ctx, 1); err != nil {
		return err
	}
	_, err := e.CreateStream(ctx, &sdk.CreateStreamInput{StreamName: &e.stream, ShardCount: aws.Int32(1)})
	return rejected("second CreateStream", err, "ResourceInUseException")
}

func deleted(ctx context.Context, e *env) error {
	if err := e.make(ctx, 1); err != nil {
		return err
	}
	it, err := e.iterator(ctx, shardID(0), types.ShardIteratorTypeTrimHorizon, "")
	if err != nil {
		return err
	}
	if _, err := e.DeleteStream(ctx, &sdk.DeleteStreamInput{StreamName: &e.stream}); err != nil {
		return err
	}
	err = until(ctx, func() (bool, error) {
		_, err := e.DescribeStream(ctx, &sdk.DescribeStreamInput{StreamName: &e.stream})
		return err != nil, nil
	})
	if err != nil {
		return err
	}
	_, err = e.GetRecords(ctx, &sdk.GetRecordsInput{ShardIterator: &it})
	return rejected("GetRecords of a deleted stream", err, "ResourceNotFoundException")
}

func unknown(ctx context.Context, e *env) error {
	const want = "ResourceNotFoundException"
	var errs []error
	_, err := e.DescribeStream(ctx, &sdk.DescribeStreamInput{StreamName: &e.stream})
	errs = append(errs, rejected("DescribeStream", err, want))
	_, err = e.DescribeStreamSummary(ctx, &sdk.DescribeStreamSummaryInput{StreamName: &e.stream})
	errs = append(errs, rejected("DescribeStreamSummary", err, want))
	_, err = e.ListShards(ctx, &sdk.ListShardsInput{StreamName: &e.stream})
	errs = append(errs, rejected("ListShards", err, want))
	_, err = e.PutRecord(ctx, &sdk.PutRecordInput{StreamName: &e.stream, PartitionKey: aws.String("k"), Data: []byte("x")})
	errs = append(errs, rejected("PutRecord", err, want))
	_, err = e.put(ctx, entry("k", "x"))
	errs = append(errs, rejected("PutRecords", err, want))
	_, err = e.iterator(ctx, shardID(0), types.ShardIteratorTypeLatest, "")
	errs = append(errs, rejected("GetShardIterator", err, want))
	_, err = e.DeleteStream(ctx, &sdk.DeleteStreamInput{StreamName: &e.stream})
	errs = append(errs, rejected("DeleteStream", err, want))
	_, err = e.SplitShard(ctx, &sdk.SplitShardInput{
		StreamName: &e.stream, ShardToSplit: aws.String(shardID(0)), NewStartingHashKey: aws.String("100"),
	})
	errs = append(errs, rejected("SplitShard", err, want))
	return errors.Join(errs...)
}

func listed(ctx context.Context, e *env) error {
	if err := e.make(ctx, 1); err != nil {
		return err
	}
	second := &env{e.Client, e.endpoint, e.stream + "-2"}
	if err := second.make(ctx, 1); err != nil {
		return err
	}
	defer func() {
		_, _ = e.DeleteStream(ctx, &sdk.DeleteStreamInput{StreamName: &second.stream})
	}()
	before := e.stream[:len(e.stream)-1]
	l, err := e.ListStreams(ctx, &sdk.ListStreamsInput{Limit: aws.Int32(1), ExclusiveStartStreamName: &before})
	if err != nil {
		return err
	}
	if len(l.StreamNames) != 1 || l.StreamNames[0] != e.stream || !*l.HasMoreStreams {
		return fmt.Errorf("first page: %v, more: %v", l.StreamNames, *l.HasMoreStreams)
	}
	l, err = e.ListStreams(ctx, &sdk.ListStreamsInput{Limit: aws.Int32(1), ExclusiveStartStreamName: &e.stream})
	if err != nil {
		return err
	}
	if len(l.StreamNames) != 1 || l.StreamNames[0] != second.stream {
		return fmt.Errorf("second page: %v", l.StreamNames)
	}
	return nil
}

func modelled(ctx context.Context, e *env) error {
	const want = "ValidationException"
	_, err := e.CreateStream(ctx, &sdk.CreateStreamInput{StreamName: &e.stream, ShardCount: aws.Int32(0)})
	errs := []error{rejected("CreateStream with 0 shards", err, want)}
	_, err = e.CreateStream(ctx, &sdk.CreateStreamInput{StreamName: aws.String("a stream"), ShardCount: aws.Int32(1)})
	errs = append(errs, rejected("CreateStream with a blank in its name", err, want))
	_, err = e.ListStreams(ctx, &sdk.ListStreamsInput{Limit: aws.Int32(0)})
	errs = append(errs, rejected("ListStreams of none", err, want))
	_, err = e.DescribeStream(ctx, &sdk.DescribeStreamInput{StreamName: aws.String("a/b")})
	errs = append(errs, rejected("DescribeStream with a slash in its name", err, want))
	if err := e.make(ctx, 1); err != nil {
		return err
	}
	_, err = e.iterator(ctx, shardID(0), "NEWEST", "")
	errs = append(errs, rejected("GetShardIterator of an unknown type", err, want))
	return errors.Join(errs...)
}

func retention(ctx context.Context, e *env) error {
	if err := e.make(ctx, 1); err != nil {
		return err
	}
	up := func(hours int32) error {
		_, err := e.IncreaseStreamRetentionPeriod(ctx, &sdk.IncreaseStreamRetentionPeriodInput{
			StreamName: &e.stream, RetentionPeriodHours: &hours,
		})
		return err
	}
	down := func(hours int32) error {
		_, err := e.DecreaseStreamRetentionPeriod(ctx, &sdk.DecreaseStreamRetentionPeriodInput{
			StreamName: &e.stream, RetentionPeriodHours: &hours,
		})
		return err
	}
	const want = "InvalidArgumentException"
	err := errors.Join(up(48), e.settle(ctx),
		rejected("raised to less", up(36), want), rejected("lowered to more", down(72), want), down(30))
	if err != nil {
		return err
	}
	d, err := e.DescribeStreamSummary(ctx, &sdk.DescribeStreamSummaryInput{StreamName: &e.stream})
	if err != nil {
		return err
	}
	return differ("retention", *d.StreamDescriptionSummary.RetentionPeriodHours, 30)
}

func longRetention(ctx context.Context, e *env) error {
	if err := e.make(ctx, 1); err != nil {
		return err
	}
	_, err := e.IncreaseStreamRetentionPeriod(ctx, &sdk.IncreaseStreamRetentionPeriodInput{
		StreamName: &e.stream, RetentionPeriodHours: aws.Int32(8760),
	})
	return err
}

func byARN(ctx context.Context, e *env) error {
	if err := e.make(ctx, 1); err != nil {
		return err
	}
	d, err := e.DescribeStream(ctx, &sdk.DescribeStreamInput{StreamName: &e.stream})
	if err != nil {
		return err
	}
	d2, err := e.DescribeStream(ctx, &sdk.DescribeStreamInput{StreamARN: d.StreamDescription.StreamARN})
	if err != nil {
		return err
	}
	return differ("name", *d2.StreamDescription.StreamName, e.stream)
}

func shardPages(ctx context.Context, e *env) error {
	if err := e.make(ctx, 5); err != nil {
		return err
	}
	var got []string
	in := &sdk.ListShardsInput{StreamName: &e.stream, MaxResults: aws.Int32(2)}
	for range 5 {
		l, err := e.ListShards(ctx, in)
		if err != nil {
			return err
		}
		if len(l.Shards) > 2 {
			return fmt.Errorf("a page of %d shards, want at most 2", len(l.Shards))
		}
		for _, s := range l.Shards {
			got = append(got, *s.ShardId)
		}
		if l.NextToken == nil {
			break
		}
		in = &sdk.ListShardsInput{NextToken: l.NextToken, MaxResults: aws.Int32(2)}
	}
	return differ("shards", fmt.Sprint(got), fmt.Sprint([]string{shardID(0), shardID(1), shardID(2), shardID(3), shardID(4)}))
}

func shardID(n int) string { return fmt.Sprintf("shardId-%012d", n) }
