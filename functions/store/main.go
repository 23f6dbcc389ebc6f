// Command store is the function that reads the stream and writes the database.
// Its environment is read in settings.go, and by lambdahost.NewHost.
package main

import lambdahost "github.com/insighthub/insighthub/lib/lambda/host"

func main() { lambdahost.Main(build) }
