package stacks_test

import (
	"regexp"
	"strings"
	"testing"
)

func checkStorage(t *testing.T, a assembly, deletion string) {
	t.Helper()
	stores := []string{"AWS::S3::Bucket", "AWS::EC2::Volume", "AWS::Kinesis::Stream", "AWS::SecretsManager::Secret"}
	for _, kind := range stores {
		for _, r := range a.ofType(kind) {
			deletion := deletion
			if kind == "AWS::S3::Bucket" && strings.HasPrefix(r.ID, "Audit/") {
				deletion = "Retain" // nothing deletes its locked objects
			}
			if r.DeletionPolicy != deletion {
				t.Errorf("%s: deletion policy %q, want %q", r.ID, r.DeletionPolicy, deletion)
			}
		}
	}
	if volume := a.one(t, "AWS::EC2::Volume").Properties; volume["Encrypted"] != true || volume["VolumeType"] != "gp3" {
		t.Errorf("volume %v, want an encrypted gp3", volume)
	}
	if stream := a.one(t, "AWS::Kinesis::Stream").Properties; stream["StreamEncryption"] == nil {
		t.Error("the stream is not encrypted")
	}
	buckets := a.ofType("AWS::S3::Bucket")
	for _, b := range buckets {
		bucket := b.Properties
		versioned := strings.HasPrefix(b.ID, "Audit/") // required by Object Lock
		if bucket["BucketEncryption"] == nil || bucket["LifecycleConfiguration"] == nil ||
			(bucket["VersioningConfiguration"] != nil) != versioned {
			t.Errorf("%s %v, want encryption, a lifecycle and versioning %v", b.ID, bucket, versioned)
		}
		if public := text(bucket["PublicAccessBlockConfiguration"]); strings.Count(public, "true") != 4 {
			t.Errorf("%s: public access block %s, want all four settings", b.ID, public)
		}
	}
	policies := a.ofType("AWS::S3::BucketPolicy")
	for _, p := range policies {
		if policy := text(p.Properties); !strings.Contains(policy, `"aws:SecureTransport":"false"`) {
			t.Errorf("%s %s, want TLS enforced", p.ID, policy)
		}
	}
	if len(buckets) != 4 || len(policies) != 4 {
		t.Errorf("%d buckets and %d policies, want 4 of each", len(buckets), len(policies))
	}
}

// checkZones looks for the availability zones and identifiers that the CDK invents when
// a lookup is not possible.
func checkZones(t *testing.T, a assembly) {
	t.Helper()
	for part, raw := range a.Raw {
		if found := regexp.MustCompile(`dummy|vpc-12345|ami-1234|us-east-1[abc]`).FindString(raw); found != "" {
			t.Errorf("%s contains an invented value: %q", part, found)
		}
	}
}
