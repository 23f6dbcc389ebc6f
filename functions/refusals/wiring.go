package main

import (
	"context"

	"github.com/insighthub/insighthub/lib/aws/secrets"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/refusals"
	"github.com/insighthub/insighthub/lib/timescale"
)

var _ refusals.Trail = (*timescale.Pool)(nil)

// build makes the function from its environment.
func build(ctx context.Context, h *lambdahost.Host) (lambdahost.Function, error) {
	database := h.Env.Required("DATABASE_SECRET_ARN")
	connections := h.Env.Int("DATABASE_CONNECTIONS", 1, 1, 8)
	if err := h.Env.Err(); err != nil {
		return lambdahost.Function{}, err
	}
	pool, err := timescale.OpenSecret(ctx, secrets.New(h.AWS), database, timescale.PoolConfig{
		Application: "insighthub-refusals", MaxConnections: connections,
	})
	if err != nil {
		return lambdahost.Function{}, err
	}
	recorder := refusals.NewRecorder(refusals.RecorderConfig{Trail: pool, Log: h.Log})
	return lambdahost.Function{Handler: recorder, Close: pool.Close}, nil
}
