// Command migrate is the function that brings the database's schema up to date.
// The deployment invokes it as a custom resource of CloudFormation (through the
// CDK's provider framework), the local stack with an empty object.
//
// Environment: DATABASE_SECRET_ARN, ADMIN_SECRET_ARN (the first account's password); LOG_LEVEL; that of lambdahost.NewInstruments.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/insighthub/insighthub/lib/aws/secrets"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/timescale"
)

func main() {
	ctx := context.Background()
	log := lambdahost.Logger(os.Getenv)
	handler, err := build(os.Getenv, log)
	if err != nil {
		log.Error("can not start", "error", err)
		os.Exit(1)
	}
	lambdahost.Start(ctx, handler)
}

// build makes the function from its environment.
func build(getenv func(string) string, log *slog.Logger) (lambda.Handler, error) {
	env := lambdahost.NewEnv(getenv)
	arn, admin := env.Required("DATABASE_SECRET_ARN"), env.Required("ADMIN_SECRET_ARN")
	if err := env.Err(); err != nil {
		return nil, err
	}
	host, err := lambdahost.NewHost(getenv)
	if err != nil {
		return nil, err
	}
	return host.Observe(&handler{log: log, migrate: func(ctx context.Context) (timescale.Migrated, error) {
		return migrate(ctx, secrets.New(host.AWS), arn, admin, log)
	}})
}
