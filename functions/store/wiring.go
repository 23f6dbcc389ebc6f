package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/insighthub/insighthub/lib/aws/kinesis"
	"github.com/insighthub/insighthub/lib/aws/s3"
	"github.com/insighthub/insighthub/lib/aws/secrets"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/store"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
)

// function is the use-case with its own metrics, and what is to be closed after it.
type function struct {
	lambda.Handler
	pool *timescale.Pool
}

// build makes the function from its environment.
func build(ctx context.Context, getenv func(string) string, log *slog.Logger) (*function, error) {
	s, err := parse(getenv)
	if err != nil {
		return nil, err
	}
	host, err := lambdahost.NewHost(getenv)
	if err != nil {
		return nil, err
	}
	letters, err := s3.New(s3.Config{AWS: host.AWS, Bucket: s.bucket, PathStyle: s.pathStyle})
	if err != nil {
		return nil, err
	}
	decoder, err := telemetry.NewDecoder(telemetry.DefaultLimits())
	if err != nil {
		return nil, err
	}
	pool, err := timescale.OpenSecret(ctx, secrets.New(host.AWS), s.secretARN, timescale.PoolConfig{Application: "insighthub-store", MaxConnections: s.connections})
	if err != nil {
		return nil, err
	}
	handler, err := store.New(store.Config{
		Source: &kinesis.Source{}, Decoder: decoder, DeadLetters: letters, Metrics: host.Registry, Log: log, Now: time.Now,
		Writer: writer{timescale.NewWriter(pool, timescale.WriterConfig{})},
	})
	if err != nil {
		return nil, err
	}
	observed, err := host.Observe(handler)
	return &function{observed, pool}, err
}

// writer is the database as the use-case wants it.
type writer struct{ *timescale.Writer }

var _ store.Writer = writer{}

func (w writer) Write(ctx context.Context, batches []*telemetry.Batch) (store.Outcome, error) {
	outcome, err := w.Writer.Write(ctx, batches)
	return store.Outcome(outcome), err
}
