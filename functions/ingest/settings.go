package main

import (
	"context"
	"time"

	"github.com/insighthub/insighthub/lib/ingest"
	"github.com/insighthub/insighthub/lib/kinesis"
	"github.com/insighthub/insighthub/lib/lambdahost"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// settings is the function's environment.
type settings struct {
	stream      string
	compression telemetry.Compression
	ingest      ingest.Config
}

// parse reads the environment; the error names everything that is wrong with it.
func parse(getenv func(string) string) (settings, error) {
	env := lambdahost.NewEnv(getenv)
	s := settings{
		stream: env.Required("STREAM_NAME"),
		ingest: ingest.Config{
			RetentionDays:    env.Int("RETENTION_DAYS", ingest.DefaultRetentionDays, 1, 36_500),
			MaxFuture:        time.Duration(env.Int("MAX_FUTURE_SECONDS", int(ingest.DefaultMaxFuture/time.Second), 1, 86_400)) * time.Second,
			MaxInflatedBytes: env.Int("MAX_INFLATED_BYTES", ingest.DefaultMaxInflatedBytes, 1<<10, 1<<28),
		},
	}
	if env.OneOf("RECORD_COMPRESSION", "none", "none", "zstd") == "zstd" {
		s.compression = telemetry.Zstd
	}
	return s, env.Err()
}

// putter is the stream as the use-case wants it.
type putter struct{ producer *kinesis.Producer }

var _ ingest.RecordPutter = putter{}

func (p putter) PutRecords(ctx context.Context, partitionKey string, records [][]byte) error {
	entries := make([]kinesis.Record, len(records))
	for i, data := range records {
		entries[i] = kinesis.Record{PartitionKey: partitionKey, Data: data}
	}
	return p.producer.Put(ctx, entries)
}
