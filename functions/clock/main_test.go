package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	local "github.com/insighthub/insighthub/cdk/local/kinesis"
	"github.com/insighthub/insighthub/lib/aws/kinesis"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/telemetry"
)

func TestBuildNamesWhatIsMissing(t *testing.T) {
	_, err := lambdahost.New(t.Context(), func(string) string { return "" }, slog.New(slog.DiscardHandler), build)
	if err == nil || !strings.Contains(err.Error(), "STREAM_NAME") || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("got %v", err)
	}
}

// scripted is a stream whose shards change, and which fails in some rounds.
type scripted struct {
	start   time.Time
	shards  []string
	listing func(round int) error
	putting func(round int) error
	round   int
	got     []string // "second shard"
}

func (s *scripted) Open(context.Context) ([]string, error) {
	s.round++
	if s.listing != nil {
		if err := s.listing(s.round); err != nil {
			return nil, err
		}
	}
	return s.shards, nil
}

func (s *scripted) Put(_ context.Context, records []kinesis.Record) error {
	if s.putting != nil {
		if err := s.putting(s.round); err != nil {
			return err
		}
	}
	for _, r := range records {
		if !telemetry.IsTick(r.Data) || r.PartitionKey == "" {
			return fmt.Errorf("%w: %+v is no tick", telemetry.ErrInvalid, r)
		}
		s.got = append(s.got, fmt.Sprintf("%d %s", int(time.Since(s.start).Seconds()), r.HashKey))
	}
	return nil
}

// TestTicksOfAMinute runs two successive invocations, of which the second is a second late:
// no shard is without a tick for longer than ten seconds, whatever single rounds do.
func TestTicksOfAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{start: time.Now(), shards: []string{"0", "7"}}
		h := &handler{shards: s, stream: s, log: slog.New(slog.DiscardHandler), now: time.Now}
		for range 2 {
			began := time.Now()
			raw, err := h.Invoke(t.Context(), []byte(`{"source":"aws.events"}`))
			if want := `{"rounds":12,"shards":2,"failed":0}`; err != nil || string(raw) != want {
				t.Errorf("got %s, %v, want %s", raw, err, want)
			}
			if took := time.Since(began); took >= time.Minute {
				t.Errorf("got an invocation of %v, want less than a minute", took)
			}
			time.Sleep(time.Minute - time.Since(began) + time.Second)
		}
		var want []string
		for _, start := range []int{0, 61} {
			for round := range 12 {
				for _, shard := range s.shards {
					want = append(want, fmt.Sprintf("%d %s", start+5*round, shard))
				}
			}
		}
		if got := strings.Join(s.got, ","); got != strings.Join(want, ",") {
			t.Errorf("got ticks at %s, want %v", got, want)
		}
	})
}

func TestRoundsThatFail(t *testing.T) {
	fail := errors.New("throttled")
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{start: time.Now(), shards: []string{"0"}}
		s.listing = func(round int) error {
			if round == 2 {
				return fail
			}
			s.shards = []string{"0", "5"} // the shard was split
			return nil
		}
		s.putting = func(round int) error {
			if round == 4 {
				return fail
			}
			return nil
		}
		h := &handler{shards: s, stream: s, log: slog.New(slog.DiscardHandler), now: time.Now}
		raw, err := h.Invoke(t.Context(), nil)
		if want := `{"rounds":10,"shards":2,"failed":2}`; err != nil || string(raw) != want {
			t.Errorf("got %s, %v, want %s", raw, err, want)
		}
		s.listing = func(int) error { return fail }
		if _, err := h.Invoke(t.Context(), nil); !errors.Is(err, fail) {
			t.Errorf("all rounds fail: got %v, want the error", err)
		}
	})
}

// TestDeadline expects the invocation to end before its deadline.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{start: time.Now(), shards: []string{"0"}}
		h := &handler{shards: s, stream: s, log: slog.New(slog.DiscardHandler), now: time.Now}
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		defer cancel()
		raw, err := h.Invoke(ctx, nil)
		var done outcome
		if took := time.Since(s.start); err != nil || json.Unmarshal(raw, &done) != nil || done.Rounds != 3 || took != 11*time.Second {
			t.Errorf("got %s, %v after %v, want 3 rounds in 11s", raw, err, took)
		}
	})
}

// TestTicksOnStream ticks once on the emulator, whose first of two shards is split in
// between: each shard that accepts records has one tick, and the closed one no more.
func TestTicksOnStream(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	server := local.New(local.Config{Now: func() time.Time { return now }})
	if err := server.CreateStream("telemetry", 2); err != nil {
		t.Fatal(err)
	}
	http := httptest.NewServer(server.Handler())
	defer http.Close()
	config := aws.Config{
		Region: "eu-west-1", BaseEndpoint: &http.URL, Credentials: credentials.NewStaticCredentialsProvider("none", "none", ""),
	}
	client := awskinesis.NewFromConfig(config)
	producer, err := kinesis.NewProducer(kinesis.Config{
		Client: kinesis.NewClient(config), Stream: "telemetry", Now: time.Now, Rand: func() float64 { return 0 },
	})
	if err != nil {
		t.Fatal(err)
	}
	h := &handler{shards: kinesis.NewShards(client, "telemetry"), stream: producer, log: slog.New(slog.DiscardHandler), now: time.Now}
	want := map[string]int{}
	step := func(shards ...string) {
		t.Helper()
		if n, err := h.tick(t.Context()); err != nil || n != len(shards) {
			t.Fatalf("got %d shards, %v, want %v", n, err, shards)
		}
		for _, shard := range shards {
			want["shardId-00000000000"+shard]++
		}
		all, err := client.ListShards(t.Context(), &awskinesis.ListShardsInput{StreamName: aws.String("telemetry")})
		if err != nil {
			t.Fatal(err)
		}
		for _, shard := range all.Shards {
			from, err := client.GetShardIterator(t.Context(), &awskinesis.GetShardIteratorInput{
				StreamName: aws.String("telemetry"), ShardId: shard.ShardId, ShardIteratorType: "TRIM_HORIZON",
			})
			if err != nil {
				t.Fatal(err)
			}
			out, err := client.GetRecords(t.Context(), &awskinesis.GetRecordsInput{ShardIterator: from.ShardIterator})
			if err != nil {
				t.Fatal(err)
			}
			if len(out.Records) != want[*shard.ShardId] {
				t.Errorf("%s: got %d ticks, want %d", *shard.ShardId, len(out.Records), want[*shard.ShardId])
			}
			for _, r := range out.Records {
				if !telemetry.IsTick(r.Data) {
					t.Errorf("%s: got %q, want a tick", *shard.ShardId, r.Data)
				}
			}
		}
	}
	step("0", "1")
	if _, err := client.SplitShard(t.Context(), &awskinesis.SplitShardInput{
		StreamName: aws.String("telemetry"), ShardToSplit: aws.String("shardId-000000000000"),
		NewStartingHashKey: aws.String("85070591730234615865843651857942052864"),
	}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute) // the emulator's shards have split by then
	step("1", "2", "3")
}
