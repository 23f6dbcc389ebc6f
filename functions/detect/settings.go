package main

import (
	"github.com/insighthub/insighthub/lib/detect"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
)

// settings are read from the environment.
type settings struct {
	stream      string // STREAM_NAME
	bucket      string // STATE_BUCKET
	pathStyle   bool   // AWS_S3_PATH_STYLE
	secretARN   string // DATABASE_SECRET_ARN
	connections int    // DATABASE_CONNECTIONS, of the pool
	bus         string // EVENT_BUS: name or ARN
	limits      detect.Limits
}

func parse(env *lambdahost.Env) settings {
	const maxSeries = 30_000 // of a shard, so that its state is below maxStateBytes
	return settings{
		stream:      env.Required("STREAM_NAME"),
		bucket:      env.Required("STATE_BUCKET"),
		pathStyle:   env.Bool("AWS_S3_PATH_STYLE", false),
		secretARN:   env.Required("DATABASE_SECRET_ARN"),
		connections: env.Int("DATABASE_CONNECTIONS", 1, 1, 8),
		bus:         env.Required("EVENT_BUS"),
		limits: detect.Limits{
			Series:        env.Int("MAX_SERIES", 20_000, 1, maxSeries),
			GatewaySeries: env.Int("MAX_GATEWAY_SERIES", 5_000, 1, maxSeries),
		},
	}
}
