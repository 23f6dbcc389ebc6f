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
	compression telemetry.Compression
	ingest      ingest.Config
}

func parse(env *lambdahost.Env) settings {
	s := settings{
		stream: env.Required("STREAM_NAME"),
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
