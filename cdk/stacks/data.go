package stacks

import (
	"math"
	"strconv"

	"github.com/aws/aws-cdk-go/awscdk/v2"
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

// Data is the stack of what must not be lost: the database and its network, the
// bucket of the records that could not be stored, and that of the consumers' states.
type Data struct {
	Stack awscdk.Stack
	// DatabaseSecret holds the database's address and password.
	DatabaseSecret awssecretsmanager.ISecret
	// DatabaseNetwork is where functions that use the database run; nil when
	// it is reached over the internet.
	DatabaseNetwork *constructs.Network
	// Failures takes what a consumer gave up, or could not read.
	Failures awss3.Bucket
	// States keeps what consumers remember of their shards.
	States  awss3.Bucket
	Migrate constructs.GoFunction
	// Rollup keeps the events by minute and hour, and drops what is past its retention.
	Rollup constructs.GoFunction
	// Exports holds what people exported, for a day.
	Exports awss3.Bucket
	// AdminSecret is the password of the first account.
	AdminSecret awssecretsmanager.ISecret
}

// FailuresMetrics is the name under which the failure bucket counts requests.
const FailuresMetrics = "all"

// NewData adds the stack to scope.
func NewData(scope cdkconstructs.Construct, props Props) Data {
	stage := props.Stage
	stack := newStack(scope, props, "Data", "database, buckets and the network they need")
	d := Data{Stack: stack, Failures: failureBucket(stack, stage), States: stateBucket(stack, stage), Exports: exportBucket(stack, stage)}

	var ready []cdkconstructs.Construct
	if stage.Database.Kind == config.OwnInstance {
		network := newDatabaseNetwork(stack, stage)
		database := constructs.NewTimescaleInstance(stack, "Database", &constructs.TimescaleInstanceProps{
			Stage: stage, VPC: network.VPC, Client: network.SecurityGroups[0],
		})
		if stage.Database.BackupDays > 0 {
			newBackups(stack, database.Volume, stage)
		}
		d.DatabaseSecret, d.DatabaseNetwork = database.Secret, network
		ready = append(ready, network.VPC, database.Scope)
	} else {
		d.DatabaseSecret = awssecretsmanager.Secret_FromSecretCompleteArn(stack, jsii.String("Database"), jsii.String(stage.Database.SecretARN))
	}

	d.AdminSecret = awssecretsmanager.NewSecret(stack, jsii.String("Admin"), &awssecretsmanager.SecretProps{
		Description: jsii.String("Password with which the account admin is made, once; change it after the first login"),
		GenerateSecretString: &awssecretsmanager.SecretStringGenerator{
			PasswordLength:     jsii.Number(32),
			ExcludePunctuation: jsii.Bool(true),
		},
		RemovalPolicy: constructs.RemovalPolicy(stage.Removal),
	})
	d.Migrate = constructs.NewGoFunction(stack, "Migrate", &constructs.GoFunctionProps{
		Name:        "migrate",
		Description: "Brings the database's schema to this version",
		Stage:       stage,
		Size:        stage.Migrate,
		Dir:         props.Functions,
		Network:     d.DatabaseNetwork,
		Environment: map[string]*string{
			"DATABASE_SECRET_ARN": d.DatabaseSecret.SecretArn(),
			"ADMIN_SECRET_ARN":    d.AdminSecret.SecretArn(),
		},
	})
	d.DatabaseSecret.GrantRead(d.Migrate.Role, nil)
	d.addRollup(props)
	d.AdminSecret.GrantRead(d.Migrate.Role, nil)
	// The migrations are part of the function: it runs when it changes, and the
	// deployment fails and rolls back with it.
	triggers.NewTrigger(stack, jsii.String("RunMigrations"), &triggers.TriggerProps{
		Handler:      d.Migrate.Function,
		Timeout:      constructs.Duration(stage.Migrate.Timeout),
		ExecuteAfter: &ready,
	})

	output(stack, "DatabaseSecretArn", d.DatabaseSecret.SecretArn(), "Secret with the database's address and password")
	output(stack, "AdminSecretArn", d.AdminSecret.SecretArn(), "Secret with the first password of the account admin")
	output(stack, "FailureBucket", d.Failures.BucketName(), "Bucket of the records that could not be stored")
	return d
}

func failureBucket(stack awscdk.Stack, stage config.Stage) awss3.Bucket {
	p := privateBucket(stage)
	// Long enough to notice, to mend the cause and to send the records again.
	p.LifecycleRules = &[]*awss3.LifecycleRule{{
		Expiration:                          awscdk.Duration_Days(jsii.Number(90)),
		AbortIncompleteMultipartUploadAfter: awscdk.Duration_Days(jsii.Number(1)),
	}}
	p.Metrics = &[]*awss3.BucketMetrics{{Id: jsii.String(FailuresMetrics)}}
	return awss3.NewBucket(stack, jsii.String("Failures"), p)
}

// addRollup adds the function that makes minutes and hours of events, every minute.
func (d *Data) addRollup(props Props) {
	retention := props.Stage.Retention
	days := func(n int) *string { return jsii.String(strconv.Itoa(n)) }
	d.Rollup = constructs.NewGoFunction(d.Stack, "Rollup", &constructs.GoFunctionProps{
		Name:        "rollup",
		Description: "Keeps the events by minute and hour, and drops what is past its retention",
		Stage:       props.Stage,
		Size:        props.Stage.Rollup,
		Dir:         props.Functions,
		Network:     d.DatabaseNetwork,
		Environment: map[string]*string{
			"DATABASE_SECRET_ARN":   d.DatabaseSecret.SecretArn(),
			"RETENTION_EVENT_DAYS":  days(retention.EventDays),
			"RETENTION_MINUTE_DAYS": days(retention.MinuteDays),
			"RETENTION_HOUR_DAYS":   days(retention.HourDays),
		},
	})
	d.DatabaseSecret.GrantRead(d.Rollup.Role, nil)
	awsevents.NewRule(d.Stack, jsii.String("RollupSchedule"), &awsevents.RuleProps{
		Description: jsii.String("Makes minutes and hours of events"),
		Schedule:    awsevents.Schedule_Rate(awscdk.Duration_Minutes(jsii.Number(1))),
		Targets: &[]awsevents.IRuleTarget{awseventstargets.NewLambdaFunction(d.Rollup.Function, &awseventstargets.LambdaFunctionProps{
			// One that is missed is made up for by the next.
			RetryAttempts: jsii.Number(0),
		})},
	})
}

// exportBucket holds files that can be fetched for some minutes.
func exportBucket(stack awscdk.Stack, stage config.Stage) awss3.Bucket {
	p := privateBucket(stage)
	p.LifecycleRules = &[]*awss3.LifecycleRule{{
		Expiration:                          awscdk.Duration_Days(jsii.Number(1)),
		AbortIncompleteMultipartUploadAfter: awscdk.Duration_Days(jsii.Number(1)),
	}}
	return awss3.NewBucket(stack, jsii.String("Exports"), p)
}

// BridgeStates begins the keys of the bridge's states, one for each length of window.
const BridgeStates = "shardstate/bridge-"

// DetectStates begins the keys of the detector's states.
const DetectStates = "shardstate/detect/"

// stateBucket holds one object for each consumer and shard. It has no versions:
// only the newest state is true.
func stateBucket(stack awscdk.Stack, stage config.Stage) awss3.Bucket {
	p := privateBucket(stage)
	// An object is written with each batch, so one that is older than the stream's
	// records is of a shard that is closed, or as good as empty: no record below its
	// watermark can come again, and the bridge forgets a silent machine after an hour
	// anyway, the detector a silent series after 14 days. The rules are theirs; a
	// consumer that remembers longer has its own.
	const margin = 30
	rules := []*awss3.LifecycleRule{}
	for _, prefix := range []string{BridgeStates, DetectStates} {
		rules = append(rules, &awss3.LifecycleRule{
			Prefix:     jsii.String(prefix),
			Expiration: awscdk.Duration_Days(jsii.Number(math.Ceil(stage.Stream.Retention.Hours()/24) + margin)),
		})
	}
	p.LifecycleRules = &rules
	return awss3.NewBucket(stack, jsii.String("States"), p)
}

// privateBucket is what all buckets have.
func privateBucket(stage config.Stage) *awss3.BucketProps {
	return &awss3.BucketProps{
		BlockPublicAccess: awss3.BlockPublicAccess_BLOCK_ALL(),
		Encryption:        awss3.BucketEncryption_S3_MANAGED,
		EnforceSSL:        jsii.Bool(true),
		MinimumTLSVersion: jsii.Number(1.2),
		RemovalPolicy:     constructs.RemovalPolicy(stage.Removal),
	}
}
