package main

import (
	"context"
	"time"

	"github.com/insighthub/insighthub/lib/aws/s3"
	"github.com/insighthub/insighthub/lib/aws/secrets"
	"github.com/insighthub/insighthub/lib/denylist"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/lambda/metrics"
	"github.com/insighthub/insighthub/lib/namelist"
	"github.com/insighthub/insighthub/lib/timescale"
)

// build makes the function from its environment.
func build(ctx context.Context, h *lambdahost.Host) (lambdahost.Function, error) {
	database := h.Env.Required("DATABASE_SECRET_ARN")
	bucket, pathStyle := h.Env.Optional("STATE_BUCKET", ""), h.Env.Bool("AWS_S3_PATH_STYLE", false)
	retention := retentionOf(h.Env)
	accessDays := h.Env.Int("RETENTION_ACCESS_DAYS", 0, 0, mostDays)
	h.Env.Add(retention.Validate())
	connections := h.Env.Int("DATABASE_CONNECTIONS", 1, 1, 8)
	if err := h.Env.Err(); err != nil {
		return lambdahost.Function{}, err
	}
	pool, err := timescale.OpenSecret(ctx, secrets.New(h.AWS), database, timescale.PoolConfig{
		Application: "insighthub-rollup", MaxConnections: connections, StatementTimeout: 20 * time.Second,
	})
	if err != nil {
		return lambdahost.Function{}, err
	}
	names := func(context.Context) (int, error) { return 0, nil }
	var archive receipts
	denials := denylist.Unpublished{}.Publish
	if bucket != "" {
		lists, err := s3.New(s3.Config{AWS: h.AWS, Bucket: bucket, PathStyle: pathStyle})
		if err != nil {
			return lambdahost.Function{}, err
		}
		names = namelist.Publisher{Source: pool, Objects: lists, Now: time.Now}.Refresh
		archive = lists
		denials = denylist.Publisher{Source: pool, Objects: lists}.Publish
	}
	unsealed, err := metrics.NewGauge(h.Registry, "insighthub_trail_unsealed_seconds",
		"Age of the oldest entry of the audit trail that is not in the hash chain.")
	if err != nil {
		return lambdahost.Function{}, err
	}
	return lambdahost.Function{
		Handler: &handler{
			pool: pool, retention: retention, accessDays: accessDays, names: names, denials: denials,
			unsealed: unsealed, receipts: archive, now: time.Now, log: h.Log,
		},
		Close: pool.Close,
	}, nil
}
