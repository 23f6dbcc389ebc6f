package main

import (
	"context"
	"time"

	"github.com/insighthub/insighthub/lib/aws/kinesis"
	"github.com/insighthub/insighthub/lib/aws/s3"
	"github.com/insighthub/insighthub/lib/aws/secrets"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/namelist"
	"github.com/insighthub/insighthub/lib/store"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
)

// build makes the function from its environment.
func build(ctx context.Context, h *lambdahost.Host) (lambdahost.Function, error) {
	s := parse(h.Env)
	if err := h.Env.Err(); err != nil {
		return lambdahost.Function{}, err
	}
	deadLetters, err := s3.New(s3.Config{AWS: h.AWS, Bucket: s.bucket, PathStyle: s.pathStyle})
	if err != nil {
		return lambdahost.Function{}, err
	}
	decoder, err := telemetry.NewDecoder(telemetry.DefaultLimits())
	if err != nil {
		return lambdahost.Function{}, err
	}
	pool, err := timescale.OpenSecret(ctx, secrets.New(h.AWS), s.secretARN, timescale.PoolConfig{
		Application: "insighthub-store", MaxConnections: s.connections,
	})
	if err != nil {
		return lambdahost.Function{}, err
	}
	var names store.Names = store.Unpublished{}
	if s.states != "" {
		lists, err := s3.New(s3.Config{AWS: h.AWS, Bucket: s.states, PathStyle: s.pathStyle})
		if err != nil {
			return lambdahost.Function{}, err
		}
		names = namelist.Publisher{Source: pool, Objects: lists, Now: time.Now}
	}
	handler, err := store.New(store.Config{
		Names:  names,
		Source: &kinesis.Source{}, Decoder: decoder, DeadLetters: deadLetters, Metrics: h.Registry, Log: h.Log, Now: time.Now,
		Writer: writer{timescale.NewWriter(pool, timescale.WriterConfig{})},
	})
	return lambdahost.Function{Handler: handler, Close: pool.Close}, err
}

// writer implements store.Writer with the database.
type writer struct{ *timescale.Writer }

var _ store.Writer = writer{}

func (w writer) Write(ctx context.Context, batches []*telemetry.Batch) (store.Outcome, error) {
	outcome, err := w.Writer.Write(ctx, batches)
	return store.Outcome(outcome), err
}
