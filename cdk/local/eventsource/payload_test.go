package eventsource

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"pgregory.net/rapid"
)

// The event type of aws-lambda-go decodes what the encoder writes.
func TestPayload(t *testing.T) {
	t.Parallel()
	s := testSettings()
	e := newEncoder(&s, "shardId-000000000003")
	rapid.Check(t, func(t *rapid.T) {
		items := make([]item, rapid.IntRange(0, 4).Draw(t, "n"))
		bound := envelopeBytes
		for i := range items {
			r := &items[i].record
			r.PartitionKey = rapid.String().Draw(t, "key")
			r.SequenceNumber = rapid.StringMatching(`[0-9]{1,56}`).Draw(t, "sequence")
			r.Data = rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "data")
			r.Arrival = time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "arrival"))
			bound += e.size(r)
		}
		payload := e.appendEvent(nil, items)
		if len(payload) > bound {
			t.Fatalf("%d bytes, want at most %d", len(payload), bound)
		}
		var got events.KinesisEvent
		if err := json.Unmarshal(payload, &got); err != nil {
			t.Fatalf("%v in %s", err, payload)
		}
		if len(got.Records) != len(items) {
			t.Fatalf("%d records, want %d", len(got.Records), len(items))
		}
		for i, g := range got.Records {
			want := &items[i].record
			if g.Kinesis.PartitionKey != want.PartitionKey || g.Kinesis.SequenceNumber != want.SequenceNumber ||
				string(g.Kinesis.Data) != string(want.Data) || g.Kinesis.KinesisSchemaVersion != "1.0" ||
				g.EventID != "shardId-000000000003:"+want.SequenceNumber || g.EventSourceArn != s.StreamARN ||
				g.InvokeIdentityArn != s.RoleARN || g.AwsRegion != s.Region || g.EventVersion != "1.0" ||
				g.EventName != "aws:kinesis:record" || g.EventSource != "aws:kinesis" {
				t.Fatalf("record %d: %+v from %+v", i, g, want)
			}
			if d := g.Kinesis.ApproximateArrivalTimestamp.Sub(want.Arrival); math.Abs(float64(d)) > float64(time.Millisecond) {
				t.Fatalf("arrival differs by %v, want at most a millisecond", d)
			}
		}
	})
}

func BenchmarkPayload(b *testing.B) {
	s := testSettings()
	e := newEncoder(&s, "shardId-000000000003")
	items := make([]item, 10)
	for i := range items {
		items[i].record = Record{
			SequenceNumber: "49590338271490256608559692538361571095921575989136588898",
			PartitionKey:   "gateway-17", Data: make([]byte, 15_000), Arrival: time.Unix(1.7e9, 0),
		}
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = e.appendEvent(buf[:0], items)
	}
	b.SetBytes(int64(len(buf)))
}
