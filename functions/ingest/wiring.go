package main

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/insighthub/insighthub/lib/aws/kinesis"
	"github.com/insighthub/insighthub/lib/ingest"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
)

// build makes the function from its environment.
func build(getenv func(string) string, log *slog.Logger) (lambda.Handler, error) {
	s, err := parse(getenv)
	if err != nil {
		return nil, err
	}
	host, err := lambdahost.NewHost(getenv)
	if err != nil {
		return nil, err
	}
	producer, err := kinesis.NewProducer(kinesis.Config{
		Client: kinesis.NewClient(host.AWS), Stream: s.stream, Now: time.Now, Rand: rand.Float64,
	})
	if err != nil {
		return nil, err
	}
	publisher, err := ingest.NewStreamPublisher(putter{producer}, s.compression, host.Registry)
	if err != nil {
		return nil, err
	}
	s.ingest.Publisher, s.ingest.Metrics, s.ingest.Log, s.ingest.Now = publisher, host.Registry, log, time.Now
	handler, err := ingest.New(s.ingest)
	if err != nil {
		return nil, err
	}
	return host.Observe(handler)
}

// putter is the stream as the use-case wants it.
type putter struct{ producer *kinesis.Producer }

var _ ingest.RecordPutter = putter{}

func (p putter) PutRecords(ctx context.Context, partitionKey string, records [][]byte) error {
	entries := make([]kinesis.Record, len(records))
	for i, data := range records {
		entries[i] = kinesis.Record{PartitionKey: partitionKey, Data: data}
	}
	return p.producer.Put(ctx, entries)
}
