package kinesis_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	local "github.com/insighthub/insighthub/cdk/local/kinesis"
	"github.com/insighthub/insighthub/lib/aws/kinesis"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// pages lists two shards at a time, counts the calls, and makes them fail.
type pages struct {
	*sdk.Client

	calls int
	err   error
}

func (p *pages) ListShards(ctx context.Context, in *sdk.ListShardsInput, options ...func(*sdk.Options)) (*sdk.ListShardsOutput, error) {
	p.calls++
	if p.err != nil {
		return nil, p.err
	}
	some := *in
	some.MaxResults = aws.Int32(2)
	return p.Client.ListShards(ctx, &some, options...)
}

// lineage is a result of Shard.
type lineage struct {
	Parents     []string
	First, Last string
}

const (
	middle = "170141183460469231731687303715884105728"
	below  = "170141183460469231731687303715884105727"
	last   = "340282366920938463463374607431768211455"
)

// TestShards uses the emulator of Kinesis.
func TestShards(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	server := local.New(local.Config{Now: func() time.Time { return now }})
	if err := server.CreateStream("telemetry", 1); err != nil {
		t.Fatal(err)
	}
	http := httptest.NewServer(server.Handler())
	defer http.Close()
	client := kinesis.NewClient(aws.Config{
		Region: "eu-west-1", BaseEndpoint: &http.URL,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "a-test"}, nil
		}),
	})
	lister := &pages{Client: client}
	shards := kinesis.NewShards(lister, "telemetry")
	check := func(id string, want lineage) {
		t.Helper()
		parents, first, last, err := shards.Shard(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, lineage{parents, first, last}); diff != "" {
			t.Errorf("%s: %s", id, diff)
		}
	}
	name := func(i int) string { return "shardId-00000000000" + string(rune('0'+i)) }

	check(name(0), lineage{nil, "0", last})
	now = now.Add(time.Minute)
	if _, err := client.SplitShard(t.Context(), &sdk.SplitShardInput{
		StreamName: aws.String("telemetry"), ShardToSplit: aws.String(name(0)), NewStartingHashKey: aws.String(middle),
	}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	if _, err := client.MergeShards(t.Context(), &sdk.MergeShardsInput{
		StreamName: aws.String("telemetry"), ShardToMerge: aws.String(name(1)), AdjacentShardToMerge: aws.String(name(2)),
	}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	lister.calls = 0
	check(name(0), lineage{nil, "0", last})
	if lister.calls != 0 {
		t.Errorf("got %d calls for a cached shard, want none", lister.calls)
	}
	check(name(3), lineage{[]string{name(1), name(2)}, "0", last})
	check(name(1), lineage{[]string{name(0)}, "0", below})
	check(name(2), lineage{[]string{name(0)}, middle, last})
	if lister.calls != 2 {
		t.Errorf("got %d calls, want one for each of two pages", lister.calls)
	}

	if _, _, _, err := shards.Shard(t.Context(), name(9)); !errors.Is(err, telemetry.ErrNotFound) {
		t.Errorf("no such shard: got %v, want telemetry.ErrNotFound", err)
	}
	lister.err = errors.New("connection reset")
	_, _, _, err := shards.Shard(t.Context(), name(9))
	if !errors.Is(err, telemetry.ErrUnavailable) || errors.Is(err, telemetry.ErrNotFound) {
		t.Errorf("no network: got %v, want telemetry.ErrUnavailable", err)
	}
	lister.err = &smithy.GenericAPIError{Code: "AccessDeniedException"}
	if _, _, _, err := shards.Shard(t.Context(), name(9)); err == nil || errors.Is(err, telemetry.ErrUnavailable) {
		t.Errorf("access denied: got %v, want an error without a sentinel", err)
	}
}
