package stacks_test

import (
	"strings"
	"testing"

	"github.com/insighthub/insighthub/cdk/config"
)

// TestCustomerKey checks that everything that stores data is encrypted with the stage's key,
// and that whoever uses it may use the key.
func TestCustomerKey(t *testing.T) {
	a := synthesiseWith(t, customerKey(t))
	var id, policy string
	for _, k := range a.ofType("AWS::KMS::Key") {
		if strings.HasPrefix(k.ID, "Monitoring/Key") {
			_, id, _ = strings.Cut(k.ID, "/")
			policy = text(k.Properties["KeyPolicy"])
			if k.Properties["EnableKeyRotation"] != true || k.DeletionPolicy != "Retain" {
				t.Errorf("%s: rotation %v, deletion policy %s", k.ID, k.Properties["EnableKeyRotation"], k.DeletionPolicy)
			}
		}
	}
	for _, service := range []string{"logs.", "cloudwatch.amazonaws.com", "events.amazonaws.com", "aps.amazonaws.com"} {
		if !strings.Contains(policy, service) {
			t.Errorf("key policy %s, want it to allow %s", policy, service)
		}
	}
	for kind, property := range map[string]string{
		"AWS::S3::Bucket": "BucketEncryption", "AWS::Kinesis::Stream": "StreamEncryption", "AWS::SQS::Queue": "KmsMasterKeyId",
		"AWS::SNS::Topic": "KmsMasterKeyId", "AWS::SecretsManager::Secret": "KmsKeyId", "AWS::Logs::LogGroup": "KmsKeyId",
		"AWS::EC2::Volume": "KmsKeyId", "AWS::APS::Workspace": "KmsKeyArn",
	} {
		found := a.ofType(kind)
		if len(found) == 0 {
			t.Errorf("no %s", kind)
		}
		for _, r := range found {
			if got := text(r.Properties[property]); id == "" || !strings.Contains(got, id) {
				t.Errorf("%s: %s is %s, want the key %s", r.ID, property, got, id)
			}
		}
	}
	policies := map[string]string{}
	for _, p := range a.ofType("AWS::IAM::Policy") {
		policies[p.ID] = text(p.Properties)
	}
	for _, role := range []string{"Signaling/ServiceRole", "Signaling/ServiceAgent", "Signaling/TurnServerAgent"} {
		may := false
		for policy, document := range policies {
			may = may || strings.HasPrefix(policy, role) && strings.Contains(document, `"kms:Decrypt","kms:GenerateDataKey"`)
		}
		if !may {
			t.Errorf("%s may not use the key", role)
		}
	}
	for name, f := range a.functions() {
		prefix, _, _ := strings.Cut(f.ID, "Function")
		may := false
		for policy, document := range policies {
			may = may || strings.HasPrefix(policy, prefix+"Role") && strings.Contains(document, `"kms:Decrypt","kms:GenerateDataKey"`)
		}
		if !may {
			t.Errorf("%s may not use the key", name)
		}
	}
}

// TestNoCustomerKey checks that a stage without the choice has no such key to pay for.
func TestNoCustomerKey(t *testing.T) {
	for _, s := range config.Stages() {
		if s.Encryption != config.AWSManaged || s.Database.CustomerKey || s.Monitoring.CustomerKey {
			t.Errorf("%s: encryption %s", s.Name, s.Encryption)
		}
	}
	if n := len(synthesiseWith(t, stage(t, config.Prod)).ofType("AWS::KMS::Key")); n != 1 {
		t.Errorf("%d keys, want the one that signs tokens", n)
	}
}
