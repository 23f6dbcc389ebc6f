package stacks

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	cdkconstructs "github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/constructs"
)

// encrypt encrypts the data of all stacks with a key of the account: buckets, the stream,
// queues, secrets, log groups and the topic, whoever added them. It is done after
// everything else, so that a new bucket cannot be forgotten. docs/adr/0046.
func (p Platform) encrypt(stage config.Stage, functions []constructs.GoFunction) {
	if stage.Encryption != config.CustomerKey {
		return
	}
	key := newStageKey(p.Monitoring.Stack, stage)
	for _, stack := range []awscdk.Stack{
		p.Data.Stack, p.Monitoring.Stack, p.Telemetry.Stack, p.API.Stack, p.Audit.Stack, p.Signaling.Stack,
	} {
		for _, c := range *stack.Node().FindAll(cdkconstructs.ConstructOrder_PREORDER) {
			if resource, ok := c.(awscdk.CfnResource); ok {
				for property, value := range encryptionOf(*resource.CfnResourceType(), stage, key.KeyArn()) {
					resource.AddPropertyOverride(jsii.String(property), value)
				}
			}
		}
	}
	// S3, Kinesis, SQS and Secrets Manager use the key in the name of their caller.
	use := []string{"kms:Decrypt", "kms:GenerateDataKey"}
	for _, f := range functions {
		f.Allow(use, key.KeyArn())
	}
	for _, task := range p.Signaling.tasks {
		task.Allow(use, key.KeyArn())
		task.AllowAgent(use, key.KeyArn())
	}
	if p.Data.database == nil {
		return
	}
	p.Data.database.AllowKey(key.KeyArn(), stage.Database.CustomerKey)
}

// encryptionOf returns the properties by which a resource of a type uses a key.
func encryptionOf(kind string, stage config.Stage, key *string) map[string]any {
	switch kind {
	case "AWS::S3::Bucket":
		return map[string]any{"BucketEncryption": map[string]any{"ServerSideEncryptionConfiguration": []any{map[string]any{
			"BucketKeyEnabled":              true, // one request to KMS for many objects
			"ServerSideEncryptionByDefault": map[string]any{"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key},
		}}}}
	case "AWS::Kinesis::Stream":
		return map[string]any{"StreamEncryption": map[string]any{"EncryptionType": "KMS", "KeyId": key}}
	case "AWS::SQS::Queue":
		return map[string]any{"KmsMasterKeyId": key, "KmsDataKeyReusePeriodSeconds": 3600, "SqsManagedSseEnabled": false}
	case "AWS::SNS::Topic":
		return map[string]any{"KmsMasterKeyId": key}
	case "AWS::SecretsManager::Secret", "AWS::Logs::LogGroup":
		return map[string]any{"KmsKeyId": key}
	case "AWS::ElastiCache::ReplicationGroup":
		// Nothing in it outlives the sessions; another key would replace it.
	case "AWS::EC2::Volume":
		if stage.Database.CustomerKey {
			return map[string]any{"KmsKeyId": key}
		}
	case "AWS::APS::Workspace":
		if stage.Monitoring.CustomerKey {
			return map[string]any{"KmsKeyArn": key}
		}
	}
	return nil
}

// newStageKey adds the key. It is in Monitoring, which is deployed first.
func newStageKey(stack awscdk.Stack, stage config.Stage) awskms.Key {
	key := awskms.NewKey(stack, jsii.String("Key"), &awskms.KeyProps{
		Description:       jsii.String("Encrypts the data of InsightHub " + string(stage.Name)),
		EnableKeyRotation: jsii.Bool(true),
		// Without it what it encrypted is lost.
		RemovalPolicy: constructs.RemovalPolicy(stage.Removal),
	})
	// Services that use it in their own name.
	allow := func(service, condition string, values map[string]any, actions ...string) {
		key.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
			Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String(service), nil)},
			Actions:    jsii.Strings(actions...),
			Resources:  jsii.Strings("*"), // this key
			Conditions: &map[string]any{condition: values},
		}), nil)
	}
	groups := stack.FormatArn(&awscdk.ArnComponents{
		Service: jsii.String("logs"), Resource: jsii.String("log-group"), ResourceName: jsii.String("*"),
		ArnFormat: awscdk.ArnFormat_COLON_RESOURCE_NAME,
	})
	allow("logs."+*stack.Region()+".amazonaws.com", "ArnLike", map[string]any{"kms:EncryptionContext:aws:logs:arn": groups},
		"kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo",
		"kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:DescribeKey")
	for _, service := range []string{"cloudwatch.amazonaws.com", "events.amazonaws.com", "aps.amazonaws.com"} {
		allow(service, "StringEquals", map[string]any{"aws:SourceAccount": stack.Account()}, "kms:Decrypt", "kms:GenerateDataKey")
	}
	return key
}
