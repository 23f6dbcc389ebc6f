package stream_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/aws/kinesis"
	"github.com/insighthub/insighthub/lib/aws/kinesis/kinesistest"
	"github.com/insighthub/insighthub/lib/stream"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// BenchmarkReaderOfKinesis reads a hundred records, each a batch of a hundred events,
// from Lambda's payload to the last batch.
func BenchmarkReaderOfKinesis(b *testing.B) {
	batch := &telemetry.Batch{Gateway: "gw", Site: "plant-1", Received: 1}
	for i := range 100 {
		batch.Append(telemetry.Event{Device: "press-1", Metric: "temperature", Time: telemetry.Micros(i), Value: float64(i) / 8})
	}
	encoder, err := telemetry.NewEncoder(telemetry.NoCompression)
	if err != nil {
		b.Fatal(err)
	}
	data, err := encoder.AppendRecord(nil, batch)
	if err != nil {
		b.Fatal(err)
	}
	records := make([]telemetry.Record, 100)
	for i := range records {
		records[i] = telemetry.Record{SequenceNumber: kinesistest.Sequence(i), Arrival: time.UnixMilli(1), Data: data}
	}
	payload := kinesistest.Payload(records)
	decoder, err := telemetry.NewDecoder(telemetry.DefaultLimits())
	if err != nil {
		b.Fatal(err)
	}
	r := stream.Reader{Source: &kinesis.Source{}, Decoder: decoder, Log: slog.New(slog.DiscardHandler)}
	b.ReportAllocs()
	b.SetBytes(int64(len(payload)))
	events, invocations := 0, 0
	for b.Loop() {
		invocations++
		records, err := r.Records(payload)
		if err != nil {
			b.Fatal(err)
		}
		for i := range records {
			r.Batches(b.Context(), &records[i], func(batch *telemetry.Batch, _ telemetry.Micros) { events += batch.Len() })
		}
	}
	if events != invocations*100*100 {
		b.Errorf("got %d events in %d invocations, want 10000 in each", events, invocations)
	}
}
