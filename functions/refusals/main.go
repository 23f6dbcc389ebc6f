// Command refusals is the function that appends the authorizer's reports of rejected tokens
// to the audit trail (see lib/refusals). A rule of an EventBridge bus invokes it.
//
// Environment: DATABASE_SECRET_ARN, DATABASE_CONNECTIONS (1); LOG_LEVEL; and what lambdahost.NewHost reads.
package main

import lambdahost "github.com/insighthub/insighthub/lib/lambda/host"

func main() { lambdahost.Main(build) }
