// Command api is the function behind the resources of the API.
//
// Environment: DATABASE_SECRET_ARN, EXPORT_BUCKET, AWS_S3_PATH_STYLE,
// PROMETHEUS_URL and PROMETHEUS_SIGV4; ICE_STUN and ICE_TURN (addresses, separated by
// spaces) and TURN_SECRET_ARN (what the TURN servers share with it); LOG_LEVEL; that of lambdahost.NewInstruments.
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
