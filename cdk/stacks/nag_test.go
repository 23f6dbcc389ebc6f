package stacks_test

import (
	"regexp"
	"testing"

	"github.com/insighthub/insighthub/cdk/config"
)

// accepted is a finding of cdk-nag that stays, and why. The expressions match
// the whole rule and the whole path of the construct.
type accepted struct{ rule, path, reason string }

func acceptedFindings() []accepted {
	return []accepted{
		{
			`AwsSolutions-IAM5\[Resource::\*\]`, `\w+/\w+/Role/DefaultPolicy/Resource`,
			"X-Ray's and the VPC's network interface actions take no narrower resource; checkPrivileges lists them and refuses any other",
		},
		{
			`AwsSolutions-IAM5\[Resource::<Failures\w+\.Arn>/(aws/lambda|poison)/\*\]`, `Telemetry/Store/Role/DefaultPolicy/Resource`,
			"the names of the objects under the prefix are not known before they are written",
		},
		{
			`AwsSolutions-IAM5\[Resource::<States\w+\.Arn>/shardstate/bridge-\*\]`, `Telemetry/Bridge/Role/DefaultPolicy/Resource`,
			"an object for each shard, and shards come and go",
		},
		{
			`AwsSolutions-IAM5\[Resource::<States\w+\.Arn>/shardstate/detect/\*\]`, `Telemetry/Detect/Role/DefaultPolicy/Resource`,
			"an object for each shard, and shards come and go",
		},
		{
			`AwsSolutions-IAM5\[Resource::<Failures\w+\.Arn>/aws/lambda/\*\]`, `Telemetry/(Bridge|Detect)/Role/DefaultPolicy/Resource`,
			"the names of the objects under the prefix are not known before they are written",
		},
		{
			`AwsSolutions-IAM5\[Resource::<Exports\w+\.Arn>/exports/\*\]`, `Api/Resources/Role/DefaultPolicy/Resource`,
			"each export is an object with a random name",
		},
		{
			`AwsSolutions-S1`, `Data/Exports/Resource`,
			"the audit trail tells who exported what, and an object lasts for a day; who holds an address is whom it was given to",
		},
		{
			`AwsSolutions-S1`, `Data/States/Resource`,
			"two functions can read and write it, thousands of times an hour; a log would be larger than the bucket, and the states can be computed again from the stream",
		},
		{
			`AwsSolutions-IAM5\[Resource::<(Records|States)\w+\.Arn>/(audit-(anchors|keys|reports)|shardstate)/\*\]`, `Audit/Audit/Role/DefaultPolicy/Resource`,
			"the names of the objects under the prefixes are not known before they are written",
		},
		{
			`AwsSolutions-S1`, `Audit/Records/Resource`,
			"one function writes it, some objects an hour; heads of the trail can not be replaced, and a log would have to be kept where nobody can write either",
		},
		{
			`AwsSolutions-IAM5\[Resource::arn:.*:ec2:.*:instance/\*\]`, `Data/Database/Role/DefaultPolicy/Resource`,
			"the group makes the machine and its identifier; a condition on the tag limits it to the database's",
		},
		{
			`AwsSolutions-IAM4\[.*AWSDataLifecycleManagerServiceRole\]`, `Data/BackupRole/Resource`,
			"AWS keeps this policy in step with what its own snapshot service needs, and only that service can assume the role",
		},
		{
			`AwsSolutions-S1`, `Data/Failures/Resource`,
			"only two principals can write and none of the public can read; a log of accesses would need a bucket of its own for a bucket that is empty when all is well",
		},
		{
			`AwsSolutions-SMG4`, `Data/Database/Secret/Resource`,
			"reachable by the members of one security group only; a new machine sets the role's password from the secret",
		},
		{
			`AwsSolutions-SMG4`, `Data/Admin/Resource`,
			"it is the first password of one account, which its owner changes; a new value would change nothing",
		},
		{
			`AwsSolutions-APIG4`, `Api/Http/(POST|GET)--(v1--(login|refresh|logout|token)|.well-known--.*|openapi.yaml|docs)/Resource`,
			"whoever asks for a token has none yet; the keys and the documentation are public",
		},
		{
			`AwsSolutions-AS3`, `Data/Database/Group/ASG`,
			"a group of one that never scales; a database that is away shows in the store function's alarms",
		},
		{
			`AwsSolutions-EC2[89]`, `Data/Vpc/PublicSubnet1/NatInstance/Resource`,
			"it keeps nothing and is there to be cheap; production has a NAT gateway",
		},
		{
			`CdkNagValidationFailure\[AwsSolutions-EC26\]`, `Data/Vpc/PublicSubnet1/NatInstance/Resource`,
			"the rule cannot read an instance without block devices of its own; it stores nothing",
		},
		{
			`CdkNagValidationFailure\[AwsSolutions-EC23\]`, `Data/Vpc/NatSecurityGroup/Resource`,
			"the rule cannot read the reference to the VPC's own range, which is what is let in",
		},
	}
}

// TestNag wants every finding of the AwsSolutions pack mended or accepted, and
// every acceptance still to be needed.
func TestNag(t *testing.T) {
	used := map[accepted]bool{}
	for name, stage := range variants(t) {
		for _, f := range synthesise(t, stage).Findings {
			a, ok := acceptance(f)
			if !ok {
				t.Errorf("%s: %s: %s", name, f.Path, f.Text)
			}
			used[a] = true
		}
	}
	for _, a := range acceptedFindings() {
		if !used[a] {
			t.Errorf("no construct %s has the finding %s any more", a.path, a.rule)
		}
		if a.reason == "" {
			t.Errorf("%s is accepted without a reason", a.rule)
		}
	}
}

func acceptance(f finding) (accepted, bool) {
	for _, a := range acceptedFindings() {
		if matchesWhole(a.rule, f.Rule) && matchesWhole(a.path, f.Path) {
			return a, true
		}
	}
	return accepted{}, false
}

func matchesWhole(pattern, s string) bool {
	return regexp.MustCompile("^(?:" + pattern + ")$").MatchString(s)
}

// variants are the stages as configured, and the forms that a stage could take.
func variants(t *testing.T) map[string]config.Stage {
	t.Helper()
	return map[string]config.Stage{
		"dev":               stage(t, config.Dev),
		"staging":           stage(t, config.Staging),
		"prod":              stage(t, config.Prod),
		"pinned":            pinnedStage(t),
		"existing database": existingDatabase(t),
	}
}

// pinnedStage names its account, region and zones.
func pinnedStage(t *testing.T) config.Stage {
	t.Helper()
	s := stage(t, config.Prod)
	s.Account, s.Region = "123456789012", "eu-central-1"
	s.AvailabilityZones = []string{"eu-central-1a", "eu-central-1c"}
	s.AlarmEmail = "operations@example.com"
	return s
}

const existingSecret = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:timescale-AbCdEf"

// existingDatabase has its database elsewhere.
func existingDatabase(t *testing.T) config.Stage {
	t.Helper()
	s := stage(t, config.Dev)
	s.Database = config.Database{Kind: config.ExistingDatabase, SecretARN: existingSecret}
	s.Network = config.Network{}
	s.Store.EnhancedFanOut = true
	return s
}
