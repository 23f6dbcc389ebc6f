package constructs

import (
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
)

// Duration converts d to the CDK's type, in whole seconds.
func Duration(d time.Duration) awscdk.Duration {
	return awscdk.Duration_Seconds(jsii.Number(d.Seconds()))
}

// RemovalPolicy converts r to the CDK's type.
func RemovalPolicy(r config.Removal) awscdk.RemovalPolicy {
	if r == config.Destroy {
		return awscdk.RemovalPolicy_DESTROY
	}
	return awscdk.RemovalPolicy_RETAIN
}
