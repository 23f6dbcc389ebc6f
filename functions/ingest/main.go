// Command ingest is the function behind POST /v1/telemetry: it validates a
// gateway's events and puts them on the stream.
//
// Environment: STREAM_NAME; RECORD_COMPRESSION (none, zstd), RETENTION_DAYS,
// MAX_FUTURE_SECONDS, MAX_INFLATED_BYTES; LOG_LEVEL; that of lambdahost.NewInstruments.
package main

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/insighthub/insighthub/lib/awsconfig"
	"github.com/insighthub/insighthub/lib/ingest"
	"github.com/insighthub/insighthub/lib/kinesis"
	"github.com/insighthub/insighthub/lib/lambdahost"
)

func main() {
	log := lambdahost.Logger(os.Getenv)
	handler, err := build(os.Getenv, log)
	if err != nil {
		log.Error("can not start", "error", err)
		os.Exit(1)
	}
	lambdahost.Start(context.Background(), handler)
}

// build makes the function from its environment.
func build(getenv func(string) string, log *slog.Logger) (lambda.Handler, error) {
	s, err := parse(getenv)
	if err != nil {
		return nil, err
	}
	aws, err := awsconfig.Load(getenv)
	if err != nil {
		return nil, err
	}
	instruments, err := lambdahost.NewInstruments(getenv, aws)
	if err != nil {
		return nil, err
	}
	producer, err := kinesis.NewProducer(kinesis.Config{
		Client: kinesis.NewClient(aws), Stream: s.stream, Now: time.Now, Rand: rand.Float64,
	})
	if err != nil {
		return nil, err
	}
	publisher, err := ingest.NewStreamPublisher(putter{producer}, s.compression, instruments.Registry)
	if err != nil {
		return nil, err
	}
	s.ingest.Publisher, s.ingest.Metrics, s.ingest.Log, s.ingest.Now = publisher, instruments.Registry, log, time.Now
	handler, err := ingest.New(s.ingest)
	if err != nil {
		return nil, err
	}
	return instruments.Observe(handler)
}
