// Command api is the function behind the resources of the API.
//
// Environment: DATABASE_SECRET_ARN, EXPORT_BUCKET, AWS_S3_PATH_STYLE,
// PROMETHEUS_URL and PROMETHEUS_SIGV4; ICE_STUN and ICE_TURN (addresses, separated by
// spaces) and TURN_SECRET_ARN (what the TURN servers share with it); LOG_LEVEL; that of lambdahost.NewInstruments.
package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/insighthub/insighthub/lib/awsconfig"
	"github.com/insighthub/insighthub/lib/lambdahost"
	"github.com/insighthub/insighthub/lib/objectstore"
	"github.com/insighthub/insighthub/lib/promquery"
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
	database, bucket := env.Required("DATABASE_SECRET_ARN"), env.Required("EXPORT_BUCKET")
	pathStyle := env.Bool("AWS_S3_PATH_STYLE", false)
	prometheus, sigV4 := env.Required("PROMETHEUS_URL"), env.Bool("PROMETHEUS_SIGV4", false)
	peers := iceSettings{env.Optional("ICE_STUN", ""), env.Optional("ICE_TURN", ""), env.Optional("TURN_SECRET_ARN", "")}
	aws, err := awsconfig.Load(getenv)
	if err := errors.Join(env.Err(), err); err != nil {
		return nil, err
	}
	instruments, err := lambdahost.NewInstruments(getenv, aws)
	if err != nil {
		return nil, err
	}
	pool, err := timescale.OpenSecret(ctx, secrets.New(aws), database, timescale.PoolConfig{
		Application: "insighthub-api", MaxConnections: 1, ConnectTimeout: 2 * time.Second, StatementTimeout: 10 * time.Second,
		LockTimeout: 2 * time.Second, MaxAttempts: 3,
	})
	if err != nil {
		return nil, err
	}
	exports, err := objectstore.New(objectstore.Config{AWS: aws, Bucket: bucket, PathStyle: pathStyle})
	if err != nil {
		return nil, err
	}
	query := promquery.Config{URL: prometheus, HTTP: awsconfig.NewHTTPClient(), Now: time.Now, Timeout: 5 * time.Second}
	if sigV4 {
		query.Region, query.Credentials = aws.Region, aws.Credentials
	}
	figures, err := promquery.New(query)
	if err != nil {
		return nil, err
	}
	ice, err := relays(ctx, peers, secrets.New(aws))
	if err != nil {
		return nil, err
	}
	handler, err := wire(pool, log, services{files: files{exports}, figures: figures, ice: ice})
	if err != nil {
		return nil, err
	}
	return instruments.Observe(handler)
}
