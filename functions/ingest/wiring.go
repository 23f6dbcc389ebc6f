package main

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/insighthub/insighthub/lib/aws/kinesis"
	"github.com/insighthub/insighthub/lib/aws/s3"
	"github.com/insighthub/insighthub/lib/denylist"
	"github.com/insighthub/insighthub/lib/ingest"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/namelist"
)

// build makes the function from its environment.
func build(_ context.Context, h *lambdahost.Host) (lambdahost.Function, error) {
	s := parse(h.Env)
	if err := h.Env.Err(); err != nil {
		return lambdahost.Function{}, err
	}
	producer, err := kinesis.NewProducer(kinesis.Config{
		Client: kinesis.NewClient(h.AWS), Stream: s.stream, Now: time.Now, Rand: rand.Float64,
	})
	if err != nil {
		return lambdahost.Function{}, err
	}
	publisher, err := ingest.NewStreamPublisher(putter{producer}, s.compression, h.Registry)
	if err != nil {
		return lambdahost.Function{}, err
	}
	s.ingest.Publisher, s.ingest.Metrics, s.ingest.Log, s.ingest.Now = publisher, h.Registry, h.Log, time.Now
	if s.states != "" {
		lists, err := s3.New(s3.Config{AWS: h.AWS, Bucket: s.states, PathStyle: s.pathStyle})
		if err != nil {
			return lambdahost.Function{}, err
		}
		s.ingest.Names = namelist.Lists{Objects: lists, Now: time.Now}
		s.ingest.Denials, err = denylist.NewReader(denylist.ReaderConfig{
			Objects: lists, Log: h.Log, Registerer: h.Registry, Now: time.Now,
		})
		if err != nil {
			return lambdahost.Function{}, err
		}
	}
	handler, err := ingest.New(s.ingest)
	return lambdahost.Function{Handler: handler}, err
}

// putter implements ingest.RecordPutter with a Kinesis producer.
type putter struct{ producer *kinesis.Producer }

var _ ingest.RecordPutter = putter{}

func (p putter) PutRecords(ctx context.Context, partitionKey string, records [][]byte) error {
	entries := make([]kinesis.Record, len(records))
	for i, data := range records {
		entries[i] = kinesis.Record{PartitionKey: partitionKey, Data: data}
	}
	return p.producer.Put(ctx, entries)
}
