// Command cdk synthesises the platform's CloudFormation templates. The CDK's
// command line runs it by way of cdk.json; run by itself, from the repository's
// root, it does the same without npm:
//
//	go run ./cdk -stage dev -out cdk.out
//
// The CDK is a Node.js library; JSII_RUNTIME_PACKAGE_CACHE_ROOT places its cache
// of 141 MB, and JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION=20 stops it from
// warning about that version. Both must be set before this program starts.
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
	flag.StringVar(&a.Stage, "stage", "", "stage to synthesise: dev, staging or prod; empty for all (or -c stage=… of the CDK's command line)")
	flag.StringVar(&a.Out, "out", "", "directory of the assembly; empty for CDK_OUTDIR, or else cdk.out")
	flag.StringVar(&a.Functions, "functions", "build/lambda", "directory with the built functions, one directory each")
	flag.StringVar(&a.Rules, "rules", "cdk/grafana/rules", "directory with Prometheus's rules")
	flag.StringVar(&a.Settings, "settings", "cdk.json", "file with the CDK's feature flags")
	flag.Parse()
	a.Getenv = os.Getenv

	err := a.Synthesise()
	jsii.Close()
	if err != nil {
		fmt.Fprintf(os.Stderr, "cdk: %v\n", err)
		os.Exit(1)
	}
}
