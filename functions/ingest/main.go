// Command ingest is the function behind POST /v1/telemetry: it validates a gateway's
// events and puts them on the Kinesis stream.
//
// Environment: STREAM_NAME; STATE_BUCKET, AWS_S3_PATH_STYLE; RECORD_COMPRESSION (none, zstd), RETENTION_DAYS,
// MAX_FUTURE_SECONDS, MAX_INFLATED_BYTES; LOG_LEVEL; and what lambdahost.NewHost reads.
package main

import lambdahost "github.com/insighthub/insighthub/lib/lambda/host"

func main() { lambdahost.Main(build) }
