// Command rollup is the function that refreshes the roll-ups by minute and hour, drops data
// after its retention, publishes the deny list if others could not, and seals the audit trail. A
// schedule invokes it every minute; it ignores the event.
//
// Environment: DATABASE_SECRET_ARN, DATABASE_CONNECTIONS (1); STATE_BUCKET, AWS_S3_PATH_STYLE;
// RETENTION_EVENT_DAYS, RETENTION_MINUTE_DAYS (3,653
// each), RETENTION_HOUR_DAYS (0), RETENTION_ACCESS_DAYS (0), where 0 keeps data for ever; LOG_LEVEL; and what
// lambdahost.NewHost reads.
package main

import lambdahost "github.com/insighthub/insighthub/lib/lambda/host"

func main() { lambdahost.Main(build) }
