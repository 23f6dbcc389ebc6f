package conformance

import (
	"bytes"
	"context"
	"crypto/md5" // Kinesis routes by it
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

func putCases() []testCase {
	return []testCase{
		{name: "a key's MD5 chooses the shard", run: routed},
		{name: "an explicit hash key chooses the shard", run: explicit},
		{name: "what was put is what is read", run: faithful},
		{name: "numbers rise within a shard", run: rising},
		{name: "the bounds of PutRecords", run: putBounds},
		{
			name: "the key counts towards a record's size", run: keyCounts,
			differs: map[Implementation]string{Kinesalite: "limits only the data; " +
				"API reference of PutRecords: the limit applies to the partition key and data blob together"},
		},
		{
			name: "a request has at most 10 MiB", run: requestBytes,
			differs: map[Implementation]string{Kinesalite: "limits bodies to 7 MB, without an error of the API; " +
				"API reference of PutRecords: 10 MiB for the entire request"},
		},
		{
			name: "a shard takes 1 MiB a second", run: throttled,
			differs: map[Implementation]string{Kinesalite: "never throttles; " +
				"API reference of PutRecords: ProvisionedThroughputExceededException for each record over the limit"},
		},
	}
}

func entry(key, data string) types.PutRecordsRequestEntry {
	return types.PutRecordsRequestEntry{PartitionKey: &key, Data: []byte(data)}
}

// put writes entries and returns an error if the call failed.
func (e *env) put(ctx context.Context, entries ...types.PutRecordsRequestEntry) (*sdk.PutRecordsOutput, error) {
	return e.PutRecords(ctx, &sdk.PutRecordsInput{StreamName: &e.stream, Records: entries})
}

// stored is put for entries that must all be accepted.
func (e *env) stored(ctx context.Context, entries ...types.PutRecordsRequestEntry) ([]types.PutRecordsResultEntry, error) {
	out, err := e.put(ctx, entries...)
	if err != nil {
		return nil, err
	}
	if *out.FailedRecordCount != 0 || len(out.Records) != len(entries) {
		return nil, fmt.Errorf("put %d records: %d results, %d failed", len(entries), len(out.Records), *out.FailedRecordCount)
	}
	return out.Records, nil
}

func routed(ctx context.Context, e *env) error {
	const n = 4
	if err := e.make(ctx, n); err != nil {
		return err
	}
	var entries []types.PutRecordsRequestEntry
	for i := range 100 {
		entries = append(entries, entry(fmt.Sprintf("gateway ä %d", i), "x"))
	}
	results, err := e.stored(ctx, entries...)
	if err != nil {
		return err
	}
	part := new(big.Int).Lsh(big.NewInt(1), 126)
	var errs []error
	for i, r := range results {
		sum := md5.Sum([]byte(*entries[i].PartitionKey))
		at := new(big.Int).Div(new(big.Int).SetBytes(sum[:]), part)
		errs = append(errs, differ("shard of "+*entries[i].PartitionKey, *r.ShardId, shardID(int(at.Int64()))))
	}
	return errors.Join(errs...)
}

func explicit(ctx context.Context, e *env) error {
	if err := e.make(ctx, 2); err != nil {
		return err
	}
	var errs []error
	for key, shard := range map[string]int{
		"0": 0, "170141183460469231731687303715884105727": 0,
		"170141183460469231731687303715884105728": 1, "340282366920938463463374607431768211455": 1,
	} {
		in := entry("k", "x")
		in.ExplicitHashKey = &key
		r, err := e.stored(ctx, in)
		if err != nil {
			return err
		}
		one, err := e.PutRecord(ctx, &sdk.PutRecordInput{
			StreamName: &e.stream, PartitionKey: aws.String("k"), Data: []byte("x"), ExplicitHashKey: &key,
		})
		if err != nil {
			return err
		}
		errs = append(errs, differ("PutRecords to "+key, *r[0].ShardId, shardID(shard)),
			differ("PutRecord to "+key, *one.ShardId, shardID(shard)))
	}
	in := entry("k", "x")
	in.ExplicitHashKey = aws.String("340282366920938463463374607431768211456")
	_, err := e.put(ctx, in)
	return errors.Join(append(errs, rejected("a hash key of 2^128", err, "InvalidArgumentException"))...)
}

func faithful(ctx context.Context, e *env) error {
	if err := e.make(ctx, 1); err != nil {
		return err
	}
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	entries := []types.PutRecordsRequestEntry{
		entry("a", ""), entry("b", "x"), entry("c", "xy"), entry("d", "xyz"),
		entry(`quote " backslash \ newline `+"\n", string(every)),
		entry("日本語 🏭", strings.Repeat(string(every), 100)),
		entry(strings.Repeat("k", 256), "longest key"),
	}
	results, err := e.stored(ctx, entries...)
	if err != nil {
		return err
	}
	got, err := e.readAll(ctx, shardID(0), len(entries))
	if err != nil {
		return err
	}
	if len(got) != len(entries) {
		return fmt.Errorf("%d records were read, %d put", len(got), len(entries))
	}
	var errs []error
	for i, r := range got {
		if !bytes.Equal(r.Data, entries[i].Data) {
			errs = append(errs, fmt.Errorf("record %d: %d bytes differ from the %d that were put", i, len(r.Data), len(entries[i].Data)))
		}
		errs = append(errs,
			differ("key", *r.PartitionKey, *entries[i].PartitionKey),
			differ("number", *r.SequenceNumber, *results[i].SequenceNumber),
			differ("has an arrival time", r.ApproximateArrivalTimestamp != nil && !r.ApproximateArrivalTimestamp.IsZero(), true),
		)
	}
	return errors.Join(errs...)
}

func rising(ctx context.Context, e *env) error {
	if err := e.make(ctx, 2); err != nil {
		return err
	}
	last := map[string]string{}
	for i := range 20 {
		results, err := e.stored(ctx, entry(strconv.Itoa(i), "a"), entry(strconv.Itoa(i), "b"), entry(strconv.Itoa(i+1), "c"))
		if err != nil {
			return err
		}
		for _, r := range results {
			if n := *r.SequenceNumber; len(n) != 56 || n <= last[*r.ShardId] {
				return fmt.Errorf("%s: %s after %s", *r.ShardId, n, last[*r.ShardId])
			}
			last[*r.ShardId] = *r.SequenceNumber
		}
	}
	return nil
}

func putBounds(ctx context.Context, e *env) error {
	if err := e.make(ctx, 1); err != nil {
		return err
	}
	const want = "ValidationException"
	many := make([]types.PutRecordsRequestEntry, 501)
	for i := range many {
		many[i] = entry("k", "")
	}
	_, err := e.put(ctx, many...)
	errs := []error{rejected("501 records", err, want)}
	_, err = e.put(ctx)
	if err == nil {
		errs = append(errs, errors.New("no records: accepted"))
	}
	_, err = e.put(ctx, entry("", "x"))
	errs = append(errs, rejected("an empty key", err, want))
	_, err = e.put(ctx, entry(strings.Repeat("k", 257), "x"))
	errs = append(errs, rejected("a key of 257 characters", err, want))
	_, err = e.put(ctx, entry("k", strings.Repeat("x", 1<<20+1)))
	errs = append(errs, rejected("a record of more than 1 MiB", err, want))
	if _, err := e.stored(ctx, many[:500]...); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func keyCounts(ctx context.Context, e *env) error {
	if err := e.make(ctx, 1); err != nil {
		return err
	}
	_, err := e.put(ctx, entry("key", strings.Repeat("x", 1<<20-2)))
	return rejected("1 MiB and one byte with its key", err, "ValidationException")
}

func requestBytes(ctx context.Context, e *env) error {
	if err := e.make(ctx, 1); err != nil {
		return err
	}
	var entries []types.PutRecordsRequestEntry
	for range 11 {
		entries = append(entries, entry("k", strings.Repeat("x", 1<<20-1)))
	}
	_, err := e.put(ctx, entries...)
	return rejected("11 MiB", err, "InvalidArgumentException")
}

func throttled(ctx context.Context, e *env) error {
	if err := e.make(ctx, 1); err != nil {
		return err
	}
	var entries []types.PutRecordsRequestEntry
	for range 4 {
		entries = append(entries, entry("k", strings.Repeat("x", 1<<20-1)))
	}
	out, err := e.put(ctx, entries...)
	if err != nil {
		return err
	}
	var errs []error
	failed := 0
	for _, r := range out.Records {
		if r.ErrorCode == nil {
			continue
		}
		failed++
		errs = append(errs, differ("error code", *r.ErrorCode, "ProvisionedThroughputExceededException"),
			differ("has a number", r.SequenceNumber != nil, false))
	}
	errs = append(errs, differ("FailedRecordCount", int(*out.FailedRecordCount), failed))
	if failed < 2 {
		errs = append(errs, fmt.Errorf("%d of 4 MiB were rejected, want all but what one second allows", failed))
	}
	got, err := e.readAll(ctx, shardID(0), len(entries)-failed)
	return errors.Join(append(errs, err, differ("records stored", len(got), len(entries)-failed))...)
}
