package constructs

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/customresources"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// Image is a machine image that the first deployment looks up under a public parameter of
// AWS and that stays the same until Label changes. A template that refers to the parameter
// itself takes the newest image with each deployment, and so replaces a machine whenever AWS
// publishes one. Ids of images differ by region, so that none can be written here.
type Image struct {
	// ID is that of the lookup in its stack.
	ID string
	// Parameter is the name of the public parameter of the newest image, below /aws/service/.
	Parameter string
	// Label is any text; another one looks up the newest image again.
	Label string
}

var _ awsec2.IMachineImage = (*Image)(nil)

// GetImage adds the lookup to scope's stack.
func (i *Image) GetImage(scope constructs.Construct) *awsec2.MachineImageConfig {
	call := &customresources.AwsSdkCall{
		Service:            jsii.String("SSM"),
		Action:             jsii.String("getParameter"),
		Parameters:         map[string]any{"Name": i.Parameter},
		PhysicalResourceId: customresources.PhysicalResourceId_Of(jsii.String("image " + i.Label)),
		OutputPaths:        jsii.Strings("Parameter.Value"),
	}
	lookup := customresources.NewAwsCustomResource(awscdk.Stack_Of(scope), jsii.String(i.ID), &customresources.AwsCustomResourceProps{
		OnCreate: call,
		OnUpdate: call, // only when a property changed, and Label is one
		Policy: customresources.AwsCustomResourcePolicy_FromStatements(&[]awsiam.PolicyStatement{
			awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
				Actions: jsii.Strings("ssm:GetParameter"),
				Resources: jsii.Strings(fmt.Sprintf("arn:%s:ssm:%s::parameter%s",
					*awscdk.Stack_Of(scope).Partition(), *awscdk.Stack_Of(scope).Region(), i.Parameter)),
			}),
		}),
		InstallLatestAwsSdk: jsii.Bool(false),
		ResourceType:        jsii.String("Custom::MachineImage"),
	})
	return &awsec2.MachineImageConfig{
		ImageId:  lookup.GetResponseField(jsii.String("Parameter.Value")),
		OsType:   awsec2.OperatingSystemType_LINUX,
		UserData: awsec2.UserData_ForLinux(nil),
	}
}
