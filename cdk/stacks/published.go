package stacks

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsssm"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
)

// A reference between two stacks is an export, which CloudFormation neither changes nor
// removes while a deployed stack imports it: that protects what never changes, such as a
// bucket. A value that a change of the configuration changes is published instead, as a
// parameter that the other stack reads at each of its deployments. docs/adr/0045 has the
// rule; TestUpgrade and TestDocumentedChanges find references that break it.

// publishedName is the name of a parameter of the stage.
func publishedName(stage config.Stage, name string) *string {
	return jsii.String("/insighthub/" + string(stage.Name) + "/" + name)
}

// publish publishes a value under a name that is unique in the stage.
func publish(stack awscdk.Stack, stage config.Stage, name, value string) {
	awsssm.NewStringParameter(stack, jsii.String("Published"+name), &awsssm.StringParameterProps{
		ParameterName: publishedName(stage, name),
		StringValue:   jsii.String(value),
		Description:   jsii.String("Read by stacks of IoT InsightHub when they are deployed"),
	})
}

// publishList publishes a list.
func publishList(stack awscdk.Stack, stage config.Stage, name string, values []*string) {
	awsssm.NewStringListParameter(stack, jsii.String("Published"+name), &awsssm.StringListParameterProps{
		ParameterName:   publishedName(stage, name),
		StringListValue: &values,
		Description:     jsii.String("Read by stacks of IoT InsightHub when they are deployed"),
	})
}

// read returns a published value; the stack must be deployed after the one that publishes.
func read(stack awscdk.Stack, stage config.Stage, name string) *string {
	return awsssm.StringParameter_ValueForStringParameter(stack, publishedName(stage, name), nil)
}

// readList returns a published list.
func readList(stack awscdk.Stack, stage config.Stage, name string) *[]*string {
	return awsssm.StringListParameter_ValueForTypedListParameter(stack, publishedName(stage, name), awsssm.ParameterValueType_STRING, nil)
}
