package main

import (
	"context"

	"github.com/insighthub/insighthub/lib/kinesis"
	"github.com/insighthub/insighthub/lib/store"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
)

// writer is the database as the use-case wants it.
type writer struct{ *timescale.Writer }

var _ store.Writer = writer{}

func (w writer) Write(ctx context.Context, batches []*telemetry.Batch) (store.Outcome, error) {
	outcome, err := w.Writer.Write(ctx, batches)
	return store.Outcome(outcome), err
}

// source is the Kinesis event source mapping as the use-case wants it.
type source struct {
	event  kinesis.Event
	packed []kinesis.UserRecord
}

var _ store.Source = (*source)(nil)

func (s *source) Records(dst []store.Record, payload []byte) ([]store.Record, error) {
	if err := kinesis.DecodeEvent(payload, &s.event); err != nil {
		return dst, err
	}
	for _, r := range s.event.Records {
		dst = append(dst, store.Record{
			Stream: r.StreamARN, Shard: r.Shard, SequenceNumber: r.SequenceNumber,
			PartitionKey: r.PartitionKey, Arrival: r.Arrival, Data: r.Data,
		})
	}
	return dst, nil
}

func (s *source) Messages(dst [][]byte, data []byte) ([][]byte, error) {
	var err error
	if s.packed, err = kinesis.Deaggregate(s.packed[:0], data, kinesis.DefaultAggregateLimits()); err != nil {
		return dst, err
	}
	for _, r := range s.packed {
		dst = append(dst, r.Data)
	}
	return dst, nil
}

func (s *source) Answer(sequenceNumber string) []byte {
	var response kinesis.Response
	if sequenceNumber != "" {
		response.BatchItemFailures = append(response.BatchItemFailures, sequenceNumber)
	}
	return response.Encode()
}
