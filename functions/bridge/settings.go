package main

import (
	"time"

	"github.com/insighthub/insighthub/lib/kpi"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
)

// settings are read from the environment.
type settings struct {
	stream      string // STREAM_NAME
	bucket      string // STATE_BUCKET
	pathStyle   bool   // AWS_S3_PATH_STYLE
	secretARN   string // DATABASE_SECRET_ARN
	connections int    // DATABASE_CONNECTIONS, of the pool
	kpi         kpi.Config
}

func parse(env *lambdahost.Env) settings {
	_ = env.Required("REMOTE_WRITE_URL") // read by lambdahost.Host.RemoteWrite
	return settings{
		stream:      env.Required("STREAM_NAME"),
		bucket:      env.Required("STATE_BUCKET"),
		pathStyle:   env.Bool("AWS_S3_PATH_STYLE", false),
		secretARN:   env.Required("DATABASE_SECRET_ARN"),
		connections: env.Int("DATABASE_CONNECTIONS", 1, 1, 8),
		kpi: kpi.Config{
			Window:   time.Duration(env.Int("WINDOW_SECONDS", 5, 1, 3600)) * time.Second,
			Lateness: time.Duration(env.Int("LATENESS_SECONDS", 2, 1, 3600)) * time.Second,
		},
	}
}
