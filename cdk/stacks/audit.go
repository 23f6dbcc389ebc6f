package stacks

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	cdkconstructs "github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/constructs"
)

// Audit is the stack of the self-check, a function that checks the platform from
// outside. It is separate because nothing depends on it, and because its permissions
// are wider than those of the functions that it checks.
type Audit struct {
	Stack    awscdk.Stack
	Function constructs.GoFunction
	// Records holds heads of the audit trail, the first sighting of signing keys, and
	// reports.
	Records awss3.Bucket
}

// NewAudit adds the stack to scope.
//
// The function signs its own tokens, for every role, as the access function does, so
// that it needs no password; CloudTrail records each signature. It may read the
// buckets that it checks, and write to its own.
func NewAudit(scope cdkconstructs.Construct, props Props, data Data, api API) Audit {
	stage := props.Stage
	a := Audit{Stack: newStack(scope, props, "Audit", "the self-check of the platform from outside")}
	a.Records = recordBucket(a.Stack, props)
	environment := map[string]*string{
		"API_URL":           api.HTTP.ApiEndpoint(),
		"AUDIT_BUCKET":      a.Records.BucketName(),
		"FAILURE_BUCKET":    data.Failures.BucketName(),
		"STATE_BUCKET":      data.States.BucketName(),
		"LATENCY_BUDGET_MS": number(int(stage.Audit.LatencyBudget.Milliseconds())),
		"TRAIL_MONTHS":      number(stage.Audit.TrailMonths),
	}
	for _, name := range []string{"TOKEN_ISSUER", "TOKEN_AUDIENCE"} {
		environment[name] = api.Tokens.Environment[name]
	}
	keys, allowSign := importTokens(a.Stack, stage)
	environment["SIGNING_KEYS"] = keys
	a.Stack.AddDependency(api.Stack, jsii.String("It publishes the keys"))
	a.Function = newFunction(a.Stack, props, function{
		ID: "Audit", Name: "audit",
		Description: "Checks the platform from outside and reports problems",
		Size:        stage.Audit.Function,
		Environment: environment,
	})
	allowSign(a.Function)
	anchors, sightings := a.Records.ArnForObjects(jsii.String("audit-anchors/*")), a.Records.ArnForObjects(jsii.String("audit-keys/*"))
	archive, receipts := a.Records.ArnForObjects(jsii.String("audit-trail/*")), data.States.ArnForObjects(jsii.String("trail-archived/*"))
	reports := a.Records.ArnForObjects(jsii.String("audit-reports/*"))
	a.Function.Allow([]string{"s3:PutObject"}, anchors, sightings, archive, receipts, reports)
	a.Function.Allow([]string{"s3:GetObject"}, sightings, archive, data.States.ArnForObjects(jsii.String("shardstate/*")))
	a.Function.Allow([]string{"s3:ListBucket"}, a.Records.BucketArn(), data.Failures.BucketArn(), data.States.BucketArn())
	awsevents.NewRule(a.Stack, jsii.String("Schedule"), &awsevents.RuleProps{
		Description: jsii.String("Runs the self-check of the platform"),
		Schedule:    awsevents.Schedule_Rate(constructs.Duration(stage.Audit.Every)),
		Targets: &[]awsevents.IRuleTarget{awseventstargets.NewLambdaFunction(a.Function.Function, &awseventstargets.LambdaFunctionProps{
			RetryAttempts: jsii.Number(0),
		})},
	})
	output(a.Stack, "RecordBucket", a.Records.BucketName(), "Bucket of the self-check's reports and of the heads of the audit trail")
	return a
}

// recordBucket adds a bucket whose heads of the audit trail, archived months of it and first
// sightings of keys are written once: no caller can replace or delete them before their retention ends.
// The object lock protects each version; the bucket policy prevents delete markers that
// would hide one. docs/adr/0016 has the reasons.
func recordBucket(stack awscdk.Stack, props Props) awss3.Bucket {
	const reportDays = 400
	lock := props.Stage.Audit.Lock
	p := privateBucket(props.Stage)
	p.Versioned = jsii.Bool(true)
	// Nothing deletes locked objects before their retention ends: destroying the stage leaves
	// the bucket.
	p.RemovalPolicy, p.AutoDeleteObjects = awscdk.RemovalPolicy_RETAIN, nil
	p.ObjectLockEnabled = jsii.Bool(true)
	days := awscdk.Duration_Days(jsii.Number(float64(lock.Days)))
	if lock.Mode == config.Compliance {
		p.ObjectLockDefaultRetention = awss3.ObjectLockRetention_Compliance(days)
	} else {
		p.ObjectLockDefaultRetention = awss3.ObjectLockRetention_Governance(days)
	}
	// Heads, archived months and first sightings of keys never expire: their prefixes have no rule.
	p.LifecycleRules = &[]*awss3.LifecycleRule{{
		Prefix:                      jsii.String("audit-reports/"),
		Expiration:                  awscdk.Duration_Days(jsii.Number(float64(max(reportDays, lock.Days)))),
		NoncurrentVersionExpiration: awscdk.Duration_Days(jsii.Number(1)),
	}}
	bucket := awss3.NewBucket(stack, jsii.String("Records"), p)
	var protected []*string
	for _, prefix := range []string{"audit-anchors/*", "audit-keys/*", "audit-trail/*"} {
		protected = append(protected, bucket.ArnForObjects(jsii.String(prefix)))
	}
	deny := func(conditions map[string]any, actions ...string) {
		statement := &awsiam.PolicyStatementProps{
			Effect: awsiam.Effect_DENY, Principals: &[]awsiam.IPrincipal{awsiam.NewAnyPrincipal()},
			Actions: jsii.Strings(actions...), Resources: &protected,
		}
		if conditions != nil {
			statement.Conditions = &conditions
		}
		bucket.AddToResourcePolicy(awsiam.NewPolicyStatement(statement))
	}
	deny(map[string]any{"Null": map[string]string{"s3:if-none-match": "true"}}, "s3:PutObject")
	deny(nil, "s3:DeleteObject", "s3:DeleteObjectVersion")
	return bucket
}
