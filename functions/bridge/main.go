// Command bridge is the function that reads the stream and writes key
// performance indicators to Prometheus. Its environment is read in settings.go, and by
// lambdahost.NewInstruments.
package main

import (
	"context"
	"os"

	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
)

func main() {
	ctx := context.Background()
	log := lambdahost.Logger(os.Getenv)
	f, err := build(ctx, os.Getenv, log)
	if err != nil {
		log.Error("can not start", "error", err)
		os.Exit(1)
	}
	lambdahost.Start(ctx, f.Handler, f.pool.Close)
}
