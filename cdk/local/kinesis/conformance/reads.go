package conformance

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

func readCases() []testCase {
	return []testCase{
		{name: "iterators begin where their type says", run: iterators},
		{name: "an iterator from a time", run: fromTime},
		{name: "pages follow each other", run: pages},
		{name: "iterators that are not valid are rejected", run: badIterators},
		{name: "a sequence number of another shard is rejected", run: foreignNumber},
		{
			name: "a reader sees how far it is behind", run: behind,
			differs: map[Implementation]string{Kinesalite: "always returns 0; " +
				"API reference of GetRecords: the milliseconds from the tip of the stream"},
		},
		{
			name: "GetRecords names a limit beyond 10000 an invalid argument", run: bigLimit,
			differs: map[Implementation]string{Kinesalite: "returns ValidationException; " +
				"API reference of GetRecords: InvalidArgumentException"},
		},
	}
}

func (e *env) iterator(ctx context.Context, shard string, kind types.ShardIteratorType, number string) (string, error) {
	in := &sdk.GetShardIteratorInput{StreamName: &e.stream, ShardId: &shard, ShardIteratorType: kind}
	if number != "" {
		in.StartingSequenceNumber = &number
	}
	out, err := e.GetShardIterator(ctx, in)
	if err != nil {
		return "", err
	}
	return *out.ShardIterator, nil
}

// readAll reads a shard from its horizon until it has n records or the shard ends.
func (e *env) readAll(ctx context.Context, shard string, n int) ([]types.Record, error) {
	it, err := e.iterator(ctx, shard, types.ShardIteratorTypeTrimHorizon, "")
	if err != nil {
		return nil, err
	}
	got, _, err := e.follow(ctx, it, n)
	return got, err
}

// follow reads from an iterator until it has n records or the shard ends.
func (e *env) follow(ctx context.Context, it string, n int) (got []types.Record, ended bool, err error) {
	err = until(ctx, func() (bool, error) {
		out, err := e.GetRecords(ctx, &sdk.GetRecordsInput{ShardIterator: &it})
		if err != nil {
			return false, fmt.Errorf("after %d records: %w", len(got), err)
		}
		got = append(got, out.Records...)
		if out.NextShardIterator == nil {
			ended = true
			return true, nil
		}
		it = *out.NextShardIterator
		return len(got) >= n, nil
	})
	return got, ended, err
}

// first reads the record that an iterator points to.
func (e *env) first(ctx context.Context, it string) (string, error) {
	out, err := e.GetRecords(ctx, &sdk.GetRecordsInput{ShardIterator: &it, Limit: aws.Int32(1)})
	if err != nil || len(out.Records) == 0 {
		return "", err
	}
	return string(out.Records[0].Data), nil
}

func iterators(ctx context.Context, e *env) error {
	if err := e.make(ctx, 1); err != nil {
		return err
	}
	r, err := e.stored(ctx, entry("k", "0"), entry("k", "1"), entry("k", "2"))
	if err != nil {
		return err
	}
	latest, err := e.iterator(ctx, shardID(0), types.ShardIteratorTypeLatest, "")
	if err != nil {
		return err
	}
	none, err := e.first(ctx, latest)
	if err != nil {
		return err
	}
	if _, err := e.stored(ctx, entry("k", "3")); err != nil {
		return err
	}
	errs := []error{differ("LATEST before the next put", none, "")}
	check := func(what, it, want string) {
		got, err := e.first(ctx, it)
		errs = append(errs, err, differ(what, got, want))
	}
	check("LATEST", latest, "3")
	d, err := e.ListShards(ctx, &sdk.ListShardsInput{StreamName: &e.stream})
	if err != nil {
		return err
	}
	for _, c := range []struct {
		kind         types.ShardIteratorType
		number, want string
	}{
		{types.ShardIteratorTypeTrimHorizon, "", "0"},
		{types.ShardIteratorTypeAtSequenceNumber, *r[1].SequenceNumber, "1"},
		{types.ShardIteratorTypeAfterSequenceNumber, *r[1].SequenceNumber, "2"},
		{types.ShardIteratorTypeAfterSequenceNumber, *r[2].SequenceNumber, "3"},
		{types.ShardIteratorTypeAtSequenceNumber, *d.Shards[0].SequenceNumberRange.StartingSequenceNumber, "0"},
		{types.ShardIteratorTypeAfterSequenceNumber, *d.Shards[0].SequenceNumberRange.StartingSequenceNumber, "0"},
	} {
		it, err := e.iterator(ctx, shardID(0), c.kind, c.number)
		if err != nil {
			return err
		}
		check(string(c.kind), it, c.want)
	}
	return errors.Join(errs...)
}

func fromTime(ctx context.Context, e *env) error {
	if err := e.make(ctx, 1); err != nil {
		return err
	}
	if _, err := e.stored(ctx, entry("k", "0")); err != nil {
		return err
	}
	time.Sleep(20 * time.Millisecond) // the arrival times must differ, and the service's clock is not ours to set
	if _, err := e.stored(ctx, entry("k", "1")); err != nil {
		return err
	}
	all, err := e.readAll(ctx, shardID(0), 2)
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{all[0].ApproximateArrivalTimestamp.Add(-time.Hour), "0"},
		{*all[0].ApproximateArrivalTimestamp, "0"},
		{all[0].ApproximateArrivalTimestamp.Add(5 * time.Millisecond), "1"},
	} {
		out, err := e.GetShardIterator(ctx, &sdk.GetShardIteratorInput{
			StreamName: &e.stream, ShardId: aws.String(shardID(0)), ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: &c.at,
		})
		if err != nil {
			return err
		}
		got, err := e.first(ctx, *out.ShardIterator)
		errs = append(errs, err, differ(c.at.String(), got, c.want))
	}
	_, err = e.GetShardIterator(ctx, &sdk.GetShardIteratorInput{
		StreamName: &e.stream, ShardId: aws.String(shardID(0)), ShardIteratorType: types.ShardIteratorTypeAtTimestamp,
		Timestamp: aws.Time(time.Now().Add(time.Hour)),
	})
	return errors.Join(append(errs, rejected("a time to come", err, "InvalidArgumentException"))...)
}

func pages(ctx context.Context, e *env) error {
	if err := e.make(ctx, 1); err != nil {
		return err
	}
	for i := range 5 {
		if _, err := e.stored(ctx, entry("k", strconv.Itoa(2*i)), entry("k", strconv.Itoa(2*i+1))); err != nil {
			return err
		}
	}
	it, err := e.iterator(ctx, shardID(0), types.ShardIteratorTypeTrimHorizon, "")
	if err != nil {
		return err
	}
	n := 0
	for _, want := range []int{3, 3, 3, 1, 0} {
		out, err := e.GetRecords(ctx, &sdk.GetRecordsInput{ShardIterator: &it, Limit: aws.Int32(3)})
		if err != nil {
			return err
		}
		if err := differ("records of the page", len(out.Records), want); err != nil {
			return err
		}
		for _, r := range out.Records {
			if err := differ("record", string(r.Data), strconv.Itoa(n)); err != nil {
				return err
			}
			n++
		}
		it = *out.NextShardIterator
	}
	return nil
}

func badIterators(ctx context.Context, e *env) error {
	if err := e.make(ctx, 1); err != nil {
		return err
	}
	const want = "InvalidArgumentException"
	var errs []error
	for _, it := range []string{"x", "AAAA", "AAAAAAAAAAHx0L+a/yXQT1TuLZxbXYZ5"} {
		_, err := e.GetRecords(ctx, &sdk.GetRecordsInput{ShardIterator: &it})
		errs = append(errs, rejected(it, err, want))
	}
	_, err := e.iterator(ctx, shardID(0), types.ShardIteratorTypeAfterSequenceNumber, "")
	errs = append(errs, rejected("AFTER_SEQUENCE_NUMBER without one", err, want))
	_, err = e.iterator(ctx, shardID(0), types.ShardIteratorTypeAtTimestamp, "")
	errs = append(errs, rejected("AT_TIMESTAMP without one", err, want))
	_, err = e.iterator(ctx, shardID(7), types.ShardIteratorTypeLatest, "")
	return errors.Join(append(errs, rejected("an unknown shard", err, "ResourceNotFoundException"))...)
}

func foreignNumber(ctx context.Context, e *env) error {
	if err := e.make(ctx, 2); err != nil {
		return err
	}
	in := entry("k", "x")
	in.ExplicitHashKey = aws.String("0")
	r, err := e.stored(ctx, in)
	if err != nil {
		return err
	}
	_, err = e.iterator(ctx, shardID(1), types.ShardIteratorTypeAtSequenceNumber, *r[0].SequenceNumber)
	return rejected("a number of shard 0 in shard 1", err, "InvalidArgumentException")
}

func behind(ctx context.Context, e *env) error {
	if err := e.make(ctx, 1); err != nil {
		return err
	}
	if _, err := e.stored(ctx, entry("k", "0"), entry("k", "1")); err != nil {
		return err
	}
	time.Sleep(20 * time.Millisecond) // what is to be measured
	it, err := e.iterator(ctx, shardID(0), types.ShardIteratorTypeTrimHorizon, "")
	if err != nil {
		return err
	}
	out, err := e.GetRecords(ctx, &sdk.GetRecordsInput{ShardIterator: &it, Limit: aws.Int32(1)})
	if err != nil {
		return err
	}
	if *out.MillisBehindLatest < 20 {
		return fmt.Errorf("%d ms behind with a record left that is 20 ms old", *out.MillisBehindLatest)
	}
	out, err = e.GetRecords(ctx, &sdk.GetRecordsInput{ShardIterator: out.NextShardIterator})
	if err != nil {
		return err
	}
	return differ("ms behind at the tip", *out.MillisBehindLatest, 0)
}

func bigLimit(ctx context.Context, e *env) error {
	if err := e.make(ctx, 1); err != nil {
		return err
	}
	it, err := e.iterator(ctx, shardID(0), types.ShardIteratorTypeTrimHorizon, "")
	if err != nil {
		return err
	}
	_, err = e.GetRecords(ctx, &sdk.GetRecordsInput{ShardIterator: &it, Limit: aws.Int32(10_001)})
	return rejected("a limit of 10,001", err, "InvalidArgumentException")
}
