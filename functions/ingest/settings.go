package main

import (
	"time"

	"github.com/insighthub/insighthub/lib/ingest"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// settings are read from the environment.
type settings struct {
	stream      string
	states      string // STATE_BUCKET, with the names of crowded gateways and the deny list
	pathStyle   bool   // AWS_S3_PATH_STYLE
	compression telemetry.Compression
	ingest      ingest.Config
}

func parse(env *lambdahost.Env) settings {
	s := settings{
		stream:    env.Required("STREAM_NAME"),
		states:    env.Optional("STATE_BUCKET", ""),
		pathStyle: env.Bool("AWS_S3_PATH_STYLE", false),
		ingest: ingest.Config{
			RetentionDays: env.Int("RETENTION_DAYS", ingest.DefaultRetentionDays, 1, 36_500),
			MaxFuture: time.Second *
				time.Duration(env.Int("MAX_FUTURE_SECONDS", int(ingest.DefaultMaxFuture/time.Second), 1, 86_400)),
			MaxInflatedBytes: env.Int("MAX_INFLATED_BYTES", ingest.DefaultMaxInflatedBytes, 1<<10, 1<<28),
		},
	}
	if env.OneOf("RECORD_COMPRESSION", "none", "none", "zstd") == "zstd" {
		s.compression = telemetry.Zstd
	}
	return s
}
