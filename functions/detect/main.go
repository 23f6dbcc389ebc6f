// Command detect is the Lambda function that finds anomalies in the stream and raises
// alarms. settings.go and lambdahost.NewHost read its environment.
package main

import lambdahost "github.com/insighthub/insighthub/lib/lambda/host"

func main() { lambdahost.Main(build) }
