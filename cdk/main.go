// Command cdk synthesises the platform's CloudFormation templates. The CDK CLI
// runs it through cdk.json; run directly, from the repository's root, it does the
// same without npm:
//
//	go run ./cdk -stage dev -out cdk.out
//
// The CDK is a Node.js library; JSII_RUNTIME_PACKAGE_CACHE_ROOT is the directory of
// its cache of 141 MB, and JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION=20 silences
// its warning about that version. Both must be set before this program starts.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/stacks"
)

func main() {
	var a stacks.Assembly
	flag.StringVar(&a.Stage, "stage", "", "`stage` to synthesise: dev, staging or prod (default: -c stage=… of the CDK CLI, or all)")
	flag.StringVar(&a.Out, "out", "", "output `directory` of the cloud assembly (default: $CDK_OUTDIR, or cdk.out)")
	flag.StringVar(&a.Functions, "functions", "build/lambda", "`directory` of the built functions, with one directory each")
	flag.StringVar(&a.Rules, "rules", "cdk/grafana/rules", "`directory` of the Prometheus rule files")
	flag.StringVar(&a.Settings, "settings", "cdk.json", "`file` with the CDK's feature flags")
	flag.StringVar(&a.AccountConcurrency, "account-concurrency", "",
		"`limit` of concurrent executions of the account; 0 reserves nothing, for dev in a new account "+
			"(default: -c account-concurrency=… of the CDK CLI, or the stage's)")
	flag.Parse()
	a.Getenv = os.Getenv

	err := a.Synthesise()
	jsii.Close()
	if err != nil {
		fmt.Fprintf(os.Stderr, "cdk: %v\n", err)
		os.Exit(1)
	}
}
