// Command bridge is the function that reduces the stream to key performance
// indicators and writes them to Prometheus. Its environment is read in settings.go, and by
// lambdahost.NewHost.
package main

import lambdahost "github.com/insighthub/insighthub/lib/lambda/host"

func main() { lambdahost.Main(build) }
