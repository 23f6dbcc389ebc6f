package stacks

import (
	"math"
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssecretsmanager"
	"github.com/aws/aws-cdk-go/awscdk/v2/triggers"
	cdkconstructs "github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/constructs"
)

// Data is the stack of stored data: the database and its network, and the buckets of
// failed records, consumers' states and exports.
type Data struct {
	Stack awscdk.Stack
	// DatabaseSecret holds the database's address, and name and password of the owner of its
	// tables. Only Migrate reads it; roleSecrets are the other functions', by their names.
	DatabaseSecret awssecretsmanager.ISecret
	roleSecrets    map[string]awssecretsmanager.ISecret
	// DatabaseNetwork is the network of the functions that use the database; nil when
	// they reach it over the internet.
	DatabaseNetwork *constructs.Network
	// Failures holds the records that Lambda no longer retries, and poison records.
	Failures awss3.Bucket
	// States holds the state of each consumer's shards.
	States  awss3.Bucket
	Migrate constructs.GoFunction
	// Rollup aggregates events by minute and hour, and deletes expired data.
	Rollup constructs.GoFunction
	// Exports holds exported files for a day.
	Exports awss3.Bucket
	// TurnSecret is shared with the TURN servers of the stage's own.
	TurnSecret awssecretsmanager.ISecret
	// AdminSecret is the password of the first account.
	AdminSecret awssecretsmanager.ISecret

	// What the alarms watch; nil or empty without an instance of its own.
	database    *constructs.TimescaleInstance
	nat         awsec2.NatInstanceProviderV2
	natGateways []*string
}

// FailuresMetrics is the id of the failure bucket's request metrics.
const FailuresMetrics = "all"

// NewData adds the stack to scope.
func NewData(scope cdkconstructs.Construct, props Props) Data {
	stage := props.Stage
	stack := newStack(scope, props, "Data", "the database, its network and the buckets")
	d := Data{
		Stack:    stack,
		Failures: failureBucket(stack, stage), States: stateBucket(stack, stage), Exports: exportBucket(stack, stage),
	}

	var ready []cdkconstructs.Construct
	if stage.Database.HasInstance() {
		network := d.newDatabaseNetwork(stage)
		database := constructs.NewTimescaleInstance(stack, "Database", &constructs.TimescaleInstanceProps{
			Stage: stage, VPC: network.VPC, Client: network.SecurityGroups[0],
		})
		if stage.Database.BackupDays > 0 {
			newBackups(stack, database.Volume, stage)
		}
		d.DatabaseSecret, d.DatabaseNetwork, d.database = database.Secret, network, &database
		ready = append(ready, network.VPC, database.Scope)
	}
	if stage.Database.Kind == config.ExistingDatabase {
		if stage.Database.KeepInstance {
			keepExports(stack, d.DatabaseSecret, d.DatabaseNetwork)
		}
		d.DatabaseNetwork = nil
		arn := jsii.String(stage.Database.SecretARN)
		d.DatabaseSecret = awssecretsmanager.Secret_FromSecretCompleteArn(stack, jsii.String("ExistingDatabase"), arn)
	}

	d.AdminSecret = awssecretsmanager.NewSecret(stack, jsii.String("Admin"), &awssecretsmanager.SecretProps{
		Description: jsii.String("First password of the account admin; change it after the first login"),
		GenerateSecretString: &awssecretsmanager.SecretStringGenerator{
			PasswordLength:     jsii.Number(32),
			ExcludePunctuation: jsii.Bool(true),
		},
		RemovalPolicy: constructs.RemovalPolicy(stage.Removal),
	})
	d.TurnSecret = newTurnSecret(stack, stage)
	d.addRoleSecrets(stage)
	d.addMigrate(props)
	d.addRollup(props)
	// The migrations are a part of the function: it is invoked whenever it changes, and
	// when it fails the deployment fails and rolls back.
	triggers.NewTrigger(stack, jsii.String("RunMigrations"), &triggers.TriggerProps{
		Handler:      d.Migrate.Function,
		Timeout:      constructs.Duration(stage.Migrate.Timeout),
		ExecuteAfter: &ready,
	})

	d.keepExport(stage)
	output(stack, "DatabaseSecretArn", d.DatabaseSecret.SecretArn(), "ARN of the secret with the database's address and password")
	output(stack, "AdminSecretArn", d.AdminSecret.SecretArn(), "ARN of the secret with the first password of the account admin")
	output(stack, "FailureBucket", d.Failures.BucketName(), "Bucket of the records that could not be processed")
	return d
}

// keepExports exports what the functions of the other stacks import while they use the own
// instance: those stacks are deployed after this one.
func keepExports(stack awscdk.Stack, secret awssecretsmanager.ISecret, network *constructs.Network) {
	stack.ExportValue(secret.SecretArn(), nil)
	for _, subnet := range *network.VPC.PrivateSubnets() {
		stack.ExportValue(subnet.SubnetId(), nil)
	}
	for _, group := range network.SecurityGroups {
		stack.ExportValue(group.SecurityGroupId(), nil)
	}
}

func failureBucket(stack awscdk.Stack, stage config.Stage) awss3.Bucket {
	p := privateBucket(stage)
	// Long enough to notice, to fix the cause and to resend the records.
	p.LifecycleRules = &[]*awss3.LifecycleRule{{
		Expiration:                          awscdk.Duration_Days(jsii.Number(90)),
		AbortIncompleteMultipartUploadAfter: awscdk.Duration_Days(jsii.Number(1)),
	}}
	p.Metrics = &[]*awss3.BucketMetrics{{Id: jsii.String(FailuresMetrics)}}
	return awss3.NewBucket(stack, jsii.String("Failures"), p)
}

// rollupEvery is the interval of the roll-up.
const rollupEvery = time.Minute

// addRollup adds the function that aggregates events by minute and hour, every minute.
func (d *Data) addRollup(props Props) {
	retention := props.Stage.Retention
	d.Rollup = d.newFunction(d.Stack, props, function{
		ID: "Rollup", Name: "rollup",
		Description: "Aggregates events by minute and hour, and deletes expired data",
		Size:        props.Stage.Rollup,
		Environment: map[string]*string{
			"RETENTION_EVENT_DAYS":  number(retention.EventDays),
			"RETENTION_MINUTE_DAYS": number(retention.MinuteDays),
			"RETENTION_HOUR_DAYS":   number(retention.HourDays),
			"RETENTION_ACCESS_DAYS": number(retention.AccessDays),
			"STATE_BUCKET":          d.States.BucketName(),
		},
	})
	d.allowPublishNames(d.Rollup)
	d.allowPublishDenials(d.Rollup)
	d.Rollup.Allow([]string{"s3:ListBucket"}, d.States.BucketArn()) // receipts of archived months of the audit trail
	awsevents.NewRule(d.Stack, jsii.String("RollupSchedule"), &awsevents.RuleProps{
		Description: jsii.String("Aggregates events by minute and hour"),
		Schedule:    awsevents.Schedule_Rate(constructs.Duration(rollupEvery)),
		Targets: &[]awsevents.IRuleTarget{awseventstargets.NewLambdaFunction(d.Rollup.Function, &awseventstargets.LambdaFunctionProps{
			// The next run does the work of a failed one.
			RetryAttempts: jsii.Number(0),
		})},
	})
}

// exportBucket holds files that can be downloaded for some minutes.
func exportBucket(stack awscdk.Stack, stage config.Stage) awss3.Bucket {
	p := privateBucket(stage)
	p.LifecycleRules = &[]*awss3.LifecycleRule{{
		Expiration:                          awscdk.Duration_Days(jsii.Number(1)),
		AbortIncompleteMultipartUploadAfter: awscdk.Duration_Days(jsii.Number(1)),
	}}
	return awss3.NewBucket(stack, jsii.String("Exports"), p)
}

// BridgeStates is the prefix of the keys of the bridge's states; the length of the
// window follows.
const BridgeStates = "shardstate/bridge-"

// DetectStates is the prefix of the keys of the detector's states.
const DetectStates = "shardstate/detect/"

// stateBucket holds one object for each consumer and shard, and the lists of names of
// crowded gateways. It has no versions:
// only the newest state is valid.
func stateBucket(stack awscdk.Stack, stage config.Stage) awss3.Bucket {
	p := privateBucket(stage)
	// A state is written with each batch of its shard, so it expires only when the shard
	// is closed, or had no record for longer than the stream retains them plus the margin.
	// By then no record at or below its watermark can be delivered, and the consumer has
	// forgotten what is in it: the bridge a silent machine after an hour, the detector a
	// silent series after 14 days. A consumer that remembers longer needs a longer margin.
	const margin = 30
	rules := []*awss3.LifecycleRule{}
	for _, prefix := range []string{BridgeStates, DetectStates} {
		rules = append(rules, &awss3.LifecycleRule{
			Prefix:     jsii.String(prefix),
			Expiration: awscdk.Duration_Days(jsii.Number(math.Ceil(stage.Stream.Retention.Hours()/24) + margin)),
		})
	}
	// A list of names that is not written for an hour is not read either.
	rules = append(rules, &awss3.LifecycleRule{
		Prefix: jsii.String(strings.TrimSuffix(crowdedNames, "*")), Expiration: awscdk.Duration_Days(jsii.Number(1)),
	})
	p.LifecycleRules = &rules
	return awss3.NewBucket(stack, jsii.String("States"), p)
}

// allowStates allows a consumer to read and write the states with a prefix.
func (d Data) allowStates(f constructs.GoFunction, prefix string) {
	f.Allow([]string{"s3:GetObject", "s3:PutObject"}, d.States.ArnForObjects(jsii.String(prefix+"*")))
	// Without it S3 returns 403 instead of 404 for a state that does not exist yet.
	f.Allow([]string{"s3:ListBucket"}, d.States.BucketArn())
}

// crowdedNames is the prefix of the lists of names of gateways with little room for more.
const crowdedNames = "names/*"

// allowPublishNames lets a function write these lists.
func (d Data) allowPublishNames(f constructs.GoFunction) {
	f.Allow([]string{"s3:PutObject"}, d.States.ArnForObjects(jsii.String(crowdedNames)))
}

// allowReadNames lets a function read them. Listing makes S3 respond 404 in place of 403
// for a list that does not exist.
func (d Data) allowReadNames(f constructs.GoFunction) {
	f.Allow([]string{"s3:GetObject"}, d.States.ArnForObjects(jsii.String(crowdedNames)))
	f.Allow([]string{"s3:ListBucket"}, d.States.BucketArn())
}

// deniedTokens is the key of the deny list. It does not expire.
const deniedTokens = "access/denied.json"

// allowReadDenials lets a function read the deny list. Listing makes S3 respond 404 in place
// of 403 before the list exists.
func (d Data) allowReadDenials(f program) {
	f.Allow([]string{"s3:GetObject"}, d.States.ArnForObjects(jsii.String(deniedTokens)))
	f.Allow([]string{"s3:ListBucket"}, d.States.BucketArn())
}

// allowPublishDenials lets a function replace the deny list.
func (d Data) allowPublishDenials(f constructs.GoFunction) {
	f.Allow([]string{"s3:GetObject", "s3:PutObject"}, d.States.ArnForObjects(jsii.String(deniedTokens)))
	f.Allow([]string{"s3:ListBucket"}, d.States.BucketArn())
}

// program is a function or a task.
type program interface {
	Allow(actions []string, resources ...*string)
	AllowAll(actions []string, resources *[]*string)
}

// privateBucket returns the properties that all buckets have in common.
func privateBucket(stage config.Stage) *awss3.BucketProps {
	return &awss3.BucketProps{
		BlockPublicAccess: awss3.BlockPublicAccess_BLOCK_ALL(),
		Encryption:        awss3.BucketEncryption_S3_MANAGED,
		EnforceSSL:        jsii.Bool(true),
		MinimumTLSVersion: jsii.Number(1.2),
		RemovalPolicy:     constructs.RemovalPolicy(stage.Removal),
		// CloudFormation does not delete a bucket with objects.
		AutoDeleteObjects: jsii.Bool(stage.Removal == config.Destroy),
	}
}
