// Command access is the function behind the token endpoints: people log in,
// gateways exchange their assertions, and everybody may read the public keys.
//
// Environment: DATABASE_SECRET_ARN; TOKEN_ISSUER, TOKEN_AUDIENCE, SIGNING_KEYS (see
// lib/token); LOG_LEVEL; that of lambdahost.NewInstruments.
package main

import (
	"context"
	"os"

	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
)

func main() {
	ctx := context.Background()
	log := lambdahost.Logger(os.Getenv)
	handler, err := build(ctx, os.Getenv, log)
	if err != nil {
		log.Error("can not start", "error", err)
		os.Exit(1)
	}
	lambdahost.Start(ctx, handler)
}
