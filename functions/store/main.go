// Command store is the function that writes the records of the stream to the database.
// Its environment is read in settings.go, and by lambdahost.NewHost.
package main

import lambdahost "github.com/insighthub/insighthub/lib/lambda/host"

func main() { lambdahost.Main(build) }
