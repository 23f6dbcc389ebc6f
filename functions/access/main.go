// Command access is the function behind the token endpoints: people log in, gateways
// exchange their assertions for tokens, and anybody may read the public keys.
//
// Environment: DATABASE_SECRET_ARN, DATABASE_CONNECTIONS (1); STATE_BUCKET, AWS_S3_PATH_STYLE; TOKEN_ISSUER,
// TOKEN_AUDIENCE, SIGNING_KEYS (see lib/token); LOG_LEVEL; and what lambdahost.NewHost reads.
package main

import lambdahost "github.com/insighthub/insighthub/lib/lambda/host"

func main() { lambdahost.Main(build) }
