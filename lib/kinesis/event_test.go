package kinesis_test

import (
	"errors"
	"testing"

	"github.com/insighthub/insighthub/lib/kinesis"
	"github.com/insighthub/insighthub/lib/telemetry"
)

const oneRecord = `{"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"gw-1",` +
	`"sequenceNumber":"49590338271490256608559692538361571095921575989136588898","data":"AQID",` +
	`"approximateArrivalTimestamp":1545084650.987},"eventSource":"aws:kinesis","eventVersion":"1.0",` +
	`"eventID":"shardId-000000000006:49590338271490256608559692538361571095921575989136588898",` +
	`"eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::123456789012:role/store",` +
	`"awsRegion":"eu-west-1","eventSourceARN":"arn:aws:kinesis:eu-west-1:123456789012:stream/telemetry"}]}`

func TestDecodeEvent(t *testing.T) {
	var e kinesis.Event
	if err := kinesis.DecodeEvent([]byte(oneRecord), &e); err != nil {
		t.Fatal(err)
	}
	if len(e.Records) != 1 {
		t.Fatalf("%d records, want 1", len(e.Records))
	}
	r := e.Records[0]
	if r.SequenceNumber != "49590338271490256608559692538361571095921575989136588898" || r.PartitionKey != "gw-1" ||
		string(r.Data) != "\x01\x02\x03" || r.Shard != "shardId-000000000006" ||
		r.StreamARN != "arn:aws:kinesis:eu-west-1:123456789012:stream/telemetry" || r.Arrival.UnixMicro() != 1545084650987000 {
		t.Errorf("got %+v", r)
	}
	if err := kinesis.DecodeEvent([]byte(`{"Records":`), &e); !errors.Is(err, telemetry.ErrInvalid) || len(e.Records) != 0 {
		t.Errorf("truncated: %v, %d records", err, len(e.Records))
	}
}
