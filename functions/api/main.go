// Command api is the function behind the resources of the API.
//
// Environment: DATABASE_SECRET_ARN, DATABASE_CONNECTIONS (1), EXPORT_BUCKET, STATE_BUCKET, AWS_S3_PATH_STYLE,
// PROMETHEUS_URL and PROMETHEUS_SIGV4; ICE_STUN and ICE_TURN (URLs, separated by spaces)
// and TURN_SECRET_ARN (the secret shared with the TURN servers); LOG_LEVEL; and what
// lambdahost.NewHost reads.
package main

import lambdahost "github.com/insighthub/insighthub/lib/lambda/host"

func main() { lambdahost.Main(build) }
