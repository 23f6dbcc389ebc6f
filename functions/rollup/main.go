// Command rollup is the function that keeps the events by minute and hour up to date and
// drops what is past its retention. A schedule invokes it every minute; what it is sent
// does not matter.
//
// Environment: DATABASE_SECRET_ARN; RETENTION_EVENT_DAYS, RETENTION_MINUTE_DAYS (3,653
// each), RETENTION_HOUR_DAYS (0), 0 being for ever; LOG_LEVEL; that of
// lambdahost.NewInstruments.
package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/insighthub/insighthub/lib/aws/secrets"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/timescale"
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

// build makes the function from its environment.
func build(ctx context.Context, getenv func(string) string, log *slog.Logger) (lambda.Handler, *timescale.Pool, error) {
	env := lambdahost.NewEnv(getenv)
	database := env.Required("DATABASE_SECRET_ARN")
	retention := retentionOf(env)
	host, err := lambdahost.NewHost(getenv)
	if err := errors.Join(env.Err(), retention.Validate(), err); err != nil {
		return nil, nil, err
	}
	pool, err := timescale.OpenSecret(ctx, secrets.New(host.AWS), database, timescale.PoolConfig{
		Application: "insighthub-rollup", MaxConnections: 1, StatementTimeout: 20 * time.Second,
	})
	if err != nil {
		return nil, nil, err
	}
	observed, err := host.Observe(&handler{pool, retention, log})
	return observed, pool, err
}
