package upgrade

import (
	_ "embed" // replacements.json
	"encoding/json"
	"slices"
	"strings"
)

//go:embed replacements.json
var replacementsJSON []byte

// replacements returns, by type and property, whether a change replaces the resource:
// "yes" or "maybe".
func replacements() map[string]map[string]string {
	var table map[string]map[string]string
	if err := json.Unmarshal(replacementsJSON, &table); err != nil {
		panic("replacements.json: " + err.Error()) // it is part of the program
	}
	return table
}

// rejected returns the properties that AWS's table lacks because CloudFormation rejects
// their change, or accepts it only for some values.
func rejected() map[string][]string {
	return map[string][]string{
		// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ec2-volume.html
		"AWS::EC2::Volume": {"AvailabilityZone", "Encrypted", "KmsKeyId", "SnapshotId", "OutpostArn", "SourceVolumeId"},
		// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-kms-key.html
		"AWS::KMS::Key": {"KeySpec", "KeyUsage", "MultiRegion", "Origin"},
	}
}

// replaces says whether a change of the property gives the resource a new physical id. A
// "maybe" counts as yes.
func replaces(table map[string]map[string]string, kind, property string) bool {
	return table[kind][property] != "" || slices.Contains(rejected()[kind], property)
}

// stateful says whether a resource holds data, or has an address or an id that is known
// outside of the templates.
func stateful(kind string) bool {
	switch kind {
	case "AWS::S3::Bucket", "AWS::EC2::Volume", "AWS::Kinesis::Stream", "AWS::SecretsManager::Secret", "AWS::KMS::Key",
		"AWS::APS::Workspace", "AWS::SQS::Queue", "AWS::DynamoDB::Table", "AWS::Logs::LogGroup",
		"AWS::ApiGatewayV2::Api", "AWS::Events::EventBus", "AWS::Route53::HostedZone", "AWS::EC2::VPC", "AWS::EC2::Subnet":
		return true
	}
	return false
}

// names returns the properties that together must be unique among the resources of a type;
// nil when AWS generates its id.
func names(kind string) []string {
	switch kind {
	case "AWS::APS::RuleGroupsNamespace":
		return []string{"Workspace", "Name"}
	case "AWS::ApiGatewayV2::Stage":
		return []string{"ApiId", "StageName"}
	case "AWS::ApiGatewayV2::Route":
		return []string{"ApiId", "RouteKey"}
	case "AWS::EC2::Subnet":
		return []string{"VpcId", "CidrBlock"}
	case "AWS::EC2::Route":
		return []string{"RouteTableId", "DestinationCidrBlock"}
	case "AWS::EC2::SubnetRouteTableAssociation":
		return []string{"SubnetId"}
	case "AWS::Kinesis::StreamConsumer":
		return []string{"StreamARN", "ConsumerName"}
	case "AWS::Lambda::EventInvokeConfig":
		return []string{"FunctionName", "Qualifier"}
	case "AWS::Lambda::EventSourceMapping":
		return []string{"FunctionName", "EventSourceArn"}
	case "AWS::S3::BucketPolicy":
		return []string{"Bucket"}
	case "AWS::Events::Rule":
		return []string{"EventBusName", "Name"}
	case "AWS::ApiGatewayV2::Api", "AWS::ApiGatewayV2::Authorizer", "AWS::Route53::HostedZone":
		return nil // several may have one name
	case "AWS::SecretsManager::Secret", "AWS::SSM::Parameter", "AWS::Kinesis::Stream", "AWS::Events::EventBus":
		return []string{"Name"}
	}
	_, last, _ := strings.Cut(strings.TrimPrefix(kind, "AWS::"), "::")
	switch last {
	case "AutoScalingGroup", "LaunchTemplate", "Role", "Bucket", "Queue", "Topic", "Function", "Alarm", "LogGroup", "Alias", "Table":
		return []string{last + "Name"}
	}
	return nil
}
