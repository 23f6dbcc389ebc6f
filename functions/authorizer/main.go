// Command authorizer is the Lambda authorizer of the HTTP API: it verifies the bearer
// token and passes the caller's identity to the function behind the route.
//
// Environment: TOKEN_ISSUER, TOKEN_AUDIENCE, SIGNING_KEYS, TRUSTED_ISSUERS (see
// lib/token); STATE_BUCKET, AWS_S3_PATH_STYLE, where the deny list is; EVENT_BUS, the name of the bus for reports of rejected tokens (see
// lib/refusals), and REFUSALS_INTERVAL_SECONDS (10), the shortest time between two reports;
// LOG_LEVEL; and what lambdahost.NewHost reads.
package main

import lambdahost "github.com/insighthub/insighthub/lib/lambda/host"

func main() { lambdahost.Main(build) }
