package kinesistest_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/aws/kinesis"
	"github.com/insighthub/insighthub/lib/aws/kinesis/kinesistest"
	"github.com/insighthub/insighthub/lib/telemetry"
)

func TestPayloadIsReadBack(t *testing.T) {
	t.Parallel()
	arrival := time.Date(2026, 11, 23, 12, 0, 0, 45_000_000, time.UTC)
	want := []telemetry.Record{
		{
			Stream: "arn:other", Shard: "shardId-000000000007", SequenceNumber: kinesistest.Sequence(9), PartitionKey: "a",
			Arrival: arrival, Data: []byte("x"),
		},
		{SequenceNumber: kinesistest.Sequence(10), PartitionKey: "b", Arrival: arrival, Data: []byte{}},
	}
	got, err := new(kinesis.Source).Records(nil, kinesistest.Payload(want))
	if err != nil {
		t.Fatal(err)
	}
	want[1].Shard, want[1].Stream = kinesistest.Shard, kinesistest.Stream
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records differ (-want +got):\n%s", diff)
	}
	if got[0].SequenceNumber.Compare(got[1].SequenceNumber) >= 0 {
		t.Error("9 does not stand before 10")
	}
}
