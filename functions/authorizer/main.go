// Command authorizer is the Lambda authorizer of the HTTP API: it verifies the
// bearer token and tells the function behind the route who calls.
//
// Environment: TOKEN_ISSUER, TOKEN_AUDIENCE, SIGNING_KEYS, TRUSTED_ISSUERS (see
// lib/token); EVENT_BUS, the name of the bus that takes reports of refused tokens (see
// lib/refusals), and REFUSALS_INTERVAL_SECONDS (10), the least time between two of them;
// LOG_LEVEL; that of lambdahost.NewInstruments.
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
