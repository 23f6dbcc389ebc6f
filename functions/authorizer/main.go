// Command authorizer is the Lambda authorizer of the HTTP API: it verifies the
// bearer token and tells the function behind the route who calls.
//
// Environment: TOKEN_ISSUER, TOKEN_AUDIENCE, SIGNING_KEYS, TRUSTED_ISSUERS (see
// lib/token); EVENT_BUS, the name of the bus that takes reports of refused tokens (see
// lib/refusals), and REFUSALS_INTERVAL_SECONDS (10), the least time between two of them;
// LOG_LEVEL; and what lambdahost.NewHost reads.
package main

import lambdahost "github.com/insighthub/insighthub/lib/lambda/host"

func main() { lambdahost.Main(build) }
