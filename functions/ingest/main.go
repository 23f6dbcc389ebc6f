// Command ingest is the function behind POST /v1/telemetry: it validates a
// gateway's events and puts them on the stream.
//
// Environment: STREAM_NAME; RECORD_COMPRESSION (none, zstd), RETENTION_DAYS,
// MAX_FUTURE_SECONDS, MAX_INFLATED_BYTES; LOG_LEVEL; that of lambdahost.NewInstruments.
package main

import (
	"context"
	"os"

	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
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
