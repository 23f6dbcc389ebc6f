// Command bridge is the function that reads the stream and writes key
// performance indicators to Prometheus. Its environment is read in settings.go.
package main

import (
	"context"
	"os"

	"github.com/insighthub/insighthub/lib/lambdahost"
)

func main() {
	ctx := context.Background()
	log := lambdahost.Logger(os.Getenv)
	f, err := build(ctx, os.Getenv, log)
	if err != nil {
		log.Error("can not start", "error", err)
		os.Exit(1)
	}
	lambdahost.Start(ctx, f, func() { f.flusher.Shutdown(ctx) }, f.pool.Close)
}
