// Command refusals is the function that appends the authorizer's reports of refused
// tokens to the audit trail (see lib/refusals). A rule of an event bus invokes it.
//
// Environment: DATABASE_SECRET_ARN; LOG_LEVEL; that of lambdahost.NewInstruments.
package main

import (
	"context"
	"os"

	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
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
