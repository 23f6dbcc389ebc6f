package stacks_test

import (
	"regexp"
	"testing"

	"github.com/insighthub/insighthub/cdk/config"
)

// accepted is an accepted finding of cdk-nag and the reason. The expressions match the
// whole rule and the whole path of the construct.
type accepted struct{ rule, path, reason string }

func acceptedFindings() []accepted {
	return []accepted{
		{
			`AwsSolutions-IAM5\[Resource::\*\]`, `\w+/\w+/Role/DefaultPolicy/Resource`,
			"X-Ray's and the network interfaces' actions support no narrower resource; checkPrivileges lists them and rejects others",
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
			`AwsSolutions-IAM5\[Resource::<States\w+\.Arn>/names/\*\]`,
			`(Api/(Ingest|Resources)|Telemetry/Store|Data/Rollup)/Role/DefaultPolicy/Resource`,
			"an object for each gateway that is nearly full, and gateways come and go",
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
			"the audit trail records who exported what; an object expires after a day, and only a holder of its presigned URL can read it",
		},
		{
			`AwsSolutions-S1`, `Data/States/Resource`,
			"two functions can read and write it, thousands of times an hour; a log would be larger than the bucket, " +
				"and the states can be recomputed from the stream",
		},
		{
			`AwsSolutions-IAM5\[Resource::<(Records|States)\w+\.Arn>/(audit-(anchors|keys|reports|trail)|shardstate|trail-archived)/\*\]`,
			`Audit/Audit/Role/DefaultPolicy/Resource`,
			"the names of the objects under the prefixes are not known before they are written",
		},
		{
			`AwsSolutions-S1`, `Audit/Records/Resource`,
			"one function writes it, some objects an hour; heads of the trail cannot be replaced, and a log would need the same protection",
		},
		{
			`AwsSolutions-IAM5\[Resource::arn:.*:ec2:.*:instance/\*\]`, `Data/Database/Role/DefaultPolicy/Resource`,
			"the group creates the instance and its id; a condition on the tag limits it to the database's",
		},
		{
			`AwsSolutions-IAM4\[.*AWSDataLifecycleManagerServiceRole\]`, `Data/BackupRole/Resource`,
			"AWS updates this policy for its own snapshot service, and only that service can assume the role",
		},
		{
			`AwsSolutions-S1`, `Data/Failures/Resource`,
			"only two principals can write and the public cannot read; an access log would need another bucket, " +
				"for a bucket that is normally empty",
		},
		{
			`AwsSolutions-SMG4`, `Data/DatabaseRole\w+/Resource`,
			"only the members of one security group reach the database; migrate sets the role's password from the secret, and each " +
				"deployment that replaces the secret replaces it",
		},
		{
			`AwsSolutions-SMG4`, `Data/Database/Secret/Resource`,
			"only the members of one security group reach the database; a new instance sets the role's password from the secret",
		},
		{
			`AwsSolutions-SMG4`, `Data/Admin/Resource`,
			"it is the first password of one account, whose owner changes it; rotating the secret would not change the account",
		},
		{
			`AwsSolutions-SMG4`, `(Data/TurnSecret|Signaling/(TicketKey|ValkeyPassword))/Resource`,
			"docs/RUNBOOK.md has how it is replaced: the tasks that share it are started anew with it, all at once",
		},
		{
			`AwsSolutions-IAM5\[Resource::\*\]`, `Signaling/(Service|TurnServer)/Agent/DefaultPolicy/Resource`,
			"ecr:GetAuthorizationToken supports no narrower resource; checkPrivileges rejects others",
		},
		{
			`AwsSolutions-ECS2`, `Signaling/Service/Definition/Resource`,
			"addresses and limits; secrets are named by their ARNs, and read by the program",
		},
		{
			`AwsSolutions-EC23`, `Signaling/(Front|TurnFront|Turn)Group/Resource`,
			"browsers and gateways connect from anywhere: to TLS, to TURN, and peers to the ports of relays",
		},
		{
			`AwsSolutions-ELB2`, `Signaling/(Front|TurnFront)/Resource`,
			"the service and the TURN servers log each session, with its address and its subject; a connection lasts for hours",
		},
		{
			`AwsSolutions-AEC4`, `Signaling/Valkey`,
			"dev has one task and one node",
		},
		{
			`AwsSolutions-APIG4`, `Api/Http/(POST|GET|ANY)--(v1--(login|refresh|logout|token)|.well-known--.*|openapi.yaml|docs)/Resource`,
			"callers that request a token have none yet; the keys and the documentation are public",
		},
		{
			`AwsSolutions-AS3`, `Data/Database/Group/ASG`,
			"a group of one that never scales; the store function's alarms show an unavailable database",
		},
		{
			`AwsSolutions-EC2[89]`, `Data/Vpc/PublicSubnet1/NatInstance/Resource`,
			"it stores nothing and is meant to be cheap; production has a NAT gateway",
		},
		{
			`CdkNagValidationFailure\[AwsSolutions-EC26\]`, `Data/Vpc/PublicSubnet1/NatInstance/Resource`,
			"the rule fails on an instance without block devices of its own; it stores nothing",
		},
		{
			`CdkNagValidationFailure\[AwsSolutions-EC23\]`, `Data/Vpc/NatSecurityGroup/Resource`,
			"the rule fails on the reference to the VPC's own CIDR, which is the allowed source",
		},
		{
			`Serverless-LambdaDLQ`,
			`(Api/(Ingest|Authorizer|Access|Resources)|Data/Migrate)/Function/Resource`,
			"it is invoked synchronously: its caller gets the error",
		},
		{
			`Serverless-LambdaDLQ`, `Telemetry/(Store|Bridge|Detect)/Function/Resource`,
			"an event source mapping invokes it, whose on-failure destination is the failure bucket",
		},
		{
			`Serverless-LambdaDLQ`, `(Telemetry/Clock|Data/Rollup|Audit/Audit)/Function/Resource`,
			"a schedule invokes it with an event without content; the next run does the work of a failed one, and an alarm reports errors",
		},
		{
			`Serverless-EventBusDLQ`, `(Telemetry/Clock|Data/Rollup|Audit/)Schedule/Resource`,
			"the next run does the work of one that was not started, and an alarm reports that none ran",
		},
		{
			`Serverless-EventBusDLQ`, `(Telemetry/CriticalAnomaliesRule|Api/KeyChanges/Resource)`,
			"EventBridge retries for a day; anomalies are in the database, changes of keys in CloudTrail",
		},
		{
			`Serverless-LambdaAsyncFailureDestination`, `Api/Refusals/Function/EventInvokeConfig/Resource`,
			"the function has a dead-letter queue, in which the event is unchanged and can be sent again",
		},
		{
			`AwsSolutions-IAM4\[.*AWSLambdaBasicExecutionRole\]`, `Data/AWS679f53fac002430cb0da5b7982bd2287/ServiceRole/Resource`,
			"the CDK's function that looks up machine images: the policy allows writing logs, nothing else",
		},
		{
			`Serverless-Lambda(DefaultMemorySize|DLQ|Tracing)`, `Data/AWS679f53fac002430cb0da5b7982bd2287/Resource`,
			"the CDK's function that looks up machine images: CloudFormation invokes it once and waits for the result",
		},
		{
			`Serverless-SQSRedrivePolicy`, `Api/UndeliveredRefusals/Resource`,
			"it is a dead-letter queue",
		},
		{
			`Serverless-SNSRedrivePolicy`, `.*/operations@example.com/Resource`,
			"SNS retries an e-mail for hours; the alarm or anomaly stays visible where it was raised",
		},
	}
}

// TestNag checks that every finding of the packs AwsSolutions and Serverless is accepted,
// and that every accepted finding still occurs.
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
			t.Errorf("accepted finding %s of %s does not occur", a.rule, a.path)
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

// variants returns the configured stages and other valid settings of a stage.
func variants(t *testing.T) map[string]config.Stage {
	t.Helper()
	return map[string]config.Stage{
		"dev":               stage(t, config.Dev),
		"staging":           stage(t, config.Staging),
		"prod":              stage(t, config.Prod),
		"pinned":            pinnedStage(t),
		"existing database": existingDatabase(t),
		"customer key":      customerKey(t),
	}
}

// pinnedStage returns a stage with an account, region and availability zones.
func pinnedStage(t *testing.T) config.Stage {
	t.Helper()
	s := stage(t, config.Prod)
	s.Account, s.Region = "123456789012", "eu-central-1"
	s.Zones, s.AvailabilityZones = []string{"a", "c"}, []string{"eu-central-1a", "eu-central-1c"}
	s.AlarmEmail = "operations@example.com"
	return s
}

// customerKey returns a stage whose data is encrypted with a key of its own.
func customerKey(t *testing.T) config.Stage {
	t.Helper()
	s := stage(t, config.Prod)
	s.Encryption, s.Database.CustomerKey, s.Monitoring.CustomerKey = config.CustomerKey, true, true
	return s
}

const existingSecret = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:timescale-AbCdEf"

// existingDatabase returns a stage with an existing database.
func existingDatabase(t *testing.T) config.Stage {
	t.Helper()
	s := stage(t, config.Dev)
	s.Database = config.Database{Kind: config.ExistingDatabase, SecretARN: existingSecret}
	s.Network = config.Network{}
	s.Store.EnhancedFanOut = true
	return s
}
