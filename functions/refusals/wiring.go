package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/insighthub/insighthub/lib/aws/secrets"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/refusals"
	"github.com/insighthub/insighthub/lib/timescale"
)

var _ refusals.Trail = (*timescale.Pool)(nil)

// build makes the function from its environment.
func build(ctx context.Context, getenv func(string) string, log *slog.Logger) (lambda.Handler, *timescale.Pool, error) {
	env := lambdahost.NewEnv(getenv)
	database := env.Required("DATABASE_SECRET_ARN")
	host, err := lambdahost.NewHost(getenv)
	if err := errors.Join(env.Err(), err); err != nil {
		return nil, nil, err
	}
	pool, err := timescale.OpenSecret(ctx, secrets.New(host.AWS), database, timescale.PoolConfig{
		Application: "insighthub-refusals", MaxConnections: 1,
	})
	if err != nil {
		return nil, nil, err
	}
	recorder, err := refusals.NewRecorder(refusals.RecorderConfig{Trail: pool, Log: log})
	if err != nil {
		return nil, nil, err
	}
	observed, err := host.Observe(recorder)
	return observed, pool, err
}
