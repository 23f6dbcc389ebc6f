// Command store is the function that reads the stream and writes the database.
// Its environment is read in settings.go, and by lambdahost.NewInstruments.
package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/insighthub/insighthub/lib/awsconfig"
	"github.com/insighthub/insighthub/lib/kinesis"
	"github.com/insighthub/insighthub/lib/lambdahost"
	"github.com/insighthub/insighthub/lib/objectstore"
	"github.com/insighthub/insighthub/lib/secrets"
	"github.com/insighthub/insighthub/lib/store"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
)

func main() {
	ctx := context.Background()
	log := lambdahost.Logger(os.Getenv)
	handler, pool, err := build(ctx, os.Getenv, log)
	if err != nil {
		log.Error("can not start", "error", err)
		os.Exit(1)
	}
	lambdahost.Start(ctx, handler, pool.Close)
}

// build makes the function from its environment.
func build(ctx context.Context, getenv func(string) string, log *slog.Logger) (lambda.Handler, *timescale.Pool, error) {
	s, err := parse(getenv)
	if err != nil {
		return nil, nil, err
	}
	aws, err := awsconfig.Load(getenv)
	if err != nil {
		return nil, nil, err
	}
	instruments, err := lambdahost.NewInstruments(getenv, aws)
	if err != nil {
		return nil, nil, err
	}
	letters, err := objectstore.New(objectstore.Config{AWS: aws, Bucket: s.bucket, PathStyle: s.pathStyle})
	if err != nil {
		return nil, nil, err
	}
	decoder, err := telemetry.NewDecoder(telemetry.DefaultLimits())
	if err != nil {
		return nil, nil, err
	}
	pool, err := timescale.OpenSecret(ctx, secrets.New(aws), s.secretARN, timescale.PoolConfig{Application: "insighthub-store", MaxConnections: s.connections})
	if err != nil {
		return nil, nil, err
	}
	handler, err := store.New(store.Config{
		Source: &kinesis.Source{}, Decoder: decoder, DeadLetters: letters, Metrics: instruments.Registry, Log: log, Now: time.Now,
		Writer: writer{timescale.NewWriter(pool, timescale.WriterConfig{})},
	})
	if err != nil {
		return nil, nil, err
	}
	observed, err := instruments.Observe(handler)
	return observed, pool, err
}
