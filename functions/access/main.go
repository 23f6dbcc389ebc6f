// Command access is the function behind the token endpoints: people log in,
// gateways exchange their assertions, and everybody may read the public keys.
//
// Environment: DATABASE_SECRET_ARN; TOKEN_ISSUER, TOKEN_AUDIENCE, SIGNING_KEYS (see
// lib/token); LOG_LEVEL; that of lambdahost.NewInstruments.
package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/insighthub/insighthub/lib/awsconfig"
	"github.com/insighthub/insighthub/lib/kms"
	"github.com/insighthub/insighthub/lib/lambdahost"
	"github.com/insighthub/insighthub/lib/secrets"
	"github.com/insighthub/insighthub/lib/timescale"
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

// build makes the function from its environment.
func build(ctx context.Context, getenv func(string) string, log *slog.Logger) (lambda.Handler, error) {
	env := lambdahost.NewEnv(getenv)
	database := env.Required("DATABASE_SECRET_ARN")
	issuer, audience, keys := env.Required("TOKEN_ISSUER"), env.Required("TOKEN_AUDIENCE"), env.Required("SIGNING_KEYS")
	aws, err := awsconfig.Load(getenv)
	if err := errors.Join(env.Err(), err); err != nil {
		return nil, err
	}
	instruments, err := lambdahost.NewInstruments(getenv, aws)
	if err != nil {
		return nil, err
	}
	pool, err := timescale.OpenSecret(ctx, secrets.New(aws), database, timescale.PoolConfig{
		Application: "insighthub-access", MaxConnections: 1, ConnectTimeout: 2 * time.Second, StatementTimeout: 5 * time.Second,
		LockTimeout: 2 * time.Second, MaxAttempts: 3,
	})
	if err != nil {
		return nil, err
	}
	handler, err := wire(wiring{pool: pool, keys: kms.New(aws), issuer: issuer, audience: audience, signing: keys, log: log})
	if err != nil {
		return nil, err
	}
	return instruments.Observe(handler)
}
