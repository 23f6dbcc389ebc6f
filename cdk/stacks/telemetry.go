package stacks

import (
	"strconv"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskinesis"
	cdkconstructs "github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/constructs"
)

// Telemetry is the stack of the stream and of those who read it.
type Telemetry struct {
	Stack  awscdk.Stack
	Stream awskinesis.Stream
	Store  constructs.GoFunction
	Bridge constructs.GoFunction
	Detect constructs.GoFunction
	// Anomalies is the bus on which it tells of what it finds.
	Anomalies awsevents.EventBus
}

// NewTelemetry adds the stack to scope.
func NewTelemetry(scope cdkconstructs.Construct, props Props, data Data) Telemetry {
	stage := props.Stage
	stack := newStack(scope, props, "Telemetry", "the stream of events and its consumers")
	t := Telemetry{Stack: stack, Stream: newStream(stack, stage)}

	t.addStore(props, data)
	t.addBridge(props, data)
	t.addDetect(props, data)
	t.watch(constructs.NewAlarms(stack, "Alarms", stage.AlarmEmail), data)
	output(stack, "AnomalyBus", t.Anomalies.EventBusName(), "Event bus on which anomalies are told of, for rules of one's own")
	output(stack, "StreamName", t.Stream.StreamName(), "Stream of encoded batches of events")
	return t
}

// addStore adds the consumer that writes events into the database.
func (t *Telemetry) addStore(props Props, data Data) {
	stage := props.Stage
	t.Store = constructs.NewGoFunction(t.Stack, "Store", &constructs.GoFunctionProps{
		Name:        "store",
		Description: "Writes the stream's events into the database",
		Stage:       stage,
		Size:        stage.Store.Function,
		Dir:         props.Functions,
		Network:     data.DatabaseNetwork,
		Environment: map[string]*string{
			"DATABASE_SECRET_ARN":  data.DatabaseSecret.SecretArn(),
			"DATABASE_CONNECTIONS": jsii.String(strconv.Itoa(stage.Store.Connections)),
			"FAILURE_BUCKET":       data.Failures.BucketName(),
		},
	})
	data.DatabaseSecret.GrantRead(t.Store.Role, nil)
	// What the function itself cannot read it puts beside what Lambda gives up.
	t.Store.Allow([]string{"s3:PutObject"}, data.Failures.ArnForObjects(jsii.String("poison/*")))
	constructs.NewKinesisConsumer(t.Stack, "StoreConsumer", &constructs.KinesisConsumerProps{
		Stream:    t.Stream,
		Retention: stage.Stream.Retention,
		Function:  t.Store,
		Timeout:   stage.Store.Timeout,
		Settings:  stage.Store.Consumer,
		Failures:  data.Failures,
	})
}

// addBridge adds the consumer that writes figures to Prometheus.
func (t *Telemetry) addBridge(props Props, data Data) {
	stage := props.Stage
	t.Bridge = constructs.NewGoFunction(t.Stack, "Bridge", &constructs.GoFunctionProps{
		Name:        "bridge",
		Description: "Reduces the stream's events to figures and writes them to Prometheus",
		Stage:       stage,
		Size:        stage.Bridge.Function,
		Dir:         props.Functions,
		Network:     data.DatabaseNetwork,
		Environment: map[string]*string{
			// The stream's name, for the lineage of its shards.
			"STREAM_NAME":         t.Stream.StreamName(),
			"STATE_BUCKET":        data.States.BucketName(),
			"DATABASE_SECRET_ARN": data.DatabaseSecret.SecretArn(),
			"WINDOW_SECONDS":      seconds(stage.Bridge.KPIWindow),
			"LATENESS_SECONDS":    seconds(stage.Bridge.Lateness),
		},
	})
	data.DatabaseSecret.GrantRead(t.Bridge.Role, nil)
	t.Bridge.Allow([]string{"s3:GetObject", "s3:PutObject"}, data.States.ArnForObjects(jsii.String(BridgeStates+"*")))
	// Without it S3 says of a state that is not there yet that access is denied.
	t.Bridge.Allow([]string{"s3:ListBucket"}, data.States.BucketArn())
	constructs.NewKinesisConsumer(t.Stack, "BridgeConsumer", &constructs.KinesisConsumerProps{
		Stream:    t.Stream,
		Retention: stage.Stream.Retention,
		Function:  t.Bridge,
		Timeout:   stage.Bridge.Timeout,
		Settings:  stage.Bridge.Consumer,
		Failures:  data.Failures,
	})
}

// seconds is d as functions read it.
func seconds(d time.Duration) *string { return jsii.String(strconv.Itoa(int(d.Seconds()))) }

func newStream(stack awscdk.Stack, stage config.Stage) awskinesis.Stream {
	p := &awskinesis.StreamProps{
		StreamMode:      awskinesis.StreamMode_ON_DEMAND,
		RetentionPeriod: awscdk.Duration_Hours(jsii.Number(stage.Stream.Retention.Hours())),
		Encryption:      awskinesis.StreamEncryption_MANAGED,
		RemovalPolicy:   constructs.RemovalPolicy(stage.Removal),
	}
	if stage.Stream.Mode == config.Provisioned {
		p.StreamMode = awskinesis.StreamMode_PROVISIONED
		p.ShardCount = jsii.Number(stage.Stream.Shards)
	}
	return awskinesis.NewStream(stack, jsii.String("Stream"), p)
}

func (t Telemetry) watch(alarms constructs.Alarms, data Data) {
	alarms.AddFunction("Store", t.Store)
	alarms.Add("StoreBehind", constructs.Watch{
		Metric:      t.Store.Metric(jsii.String("IteratorAge"), constructs.EveryMinute("Maximum")),
		Description: "The newest event in the database is more than a minute old, for 3 minutes: the store function does not keep up.",
		Above:       60_000,
		Minutes:     3,
	})
	alarms.AddFunction("Bridge", t.Bridge)
	alarms.Add("BridgeBehind", constructs.Watch{
		Metric:      t.Bridge.Metric(jsii.String("IteratorAge"), constructs.EveryMinute("Maximum")),
		Description: "The newest event in the figures is more than a minute old, for 3 minutes: the bridge function does not keep up, or Prometheus is away.",
		Above:       60_000,
		Minutes:     3,
	})
	alarms.AddFunction("Detect", t.Detect)
	alarms.Add("DetectBehind", constructs.Watch{
		Metric:      t.Detect.Metric(jsii.String("IteratorAge"), constructs.EveryMinute("Maximum")),
		Description: "The newest event that was looked at for anomalies is more than a minute old, for 3 minutes: the detect function does not keep up, or the database is away.",
		Above:       60_000,
		Minutes:     3,
	})
	alarms.Add("StreamFull", constructs.Watch{
		Metric:      t.Stream.MetricPutRecordsThrottledRecords(constructs.EveryMinute("Sum")),
		Description: "The stream refused records in each of 3 minutes: it needs more shards.",
		Minutes:     3,
	})
	alarms.Add("RecordsGivenUp", constructs.Watch{
		Metric: awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
			Namespace:  jsii.String("AWS/S3"),
			MetricName: jsii.String("PutRequests"),
			DimensionsMap: &map[string]*string{
				"BucketName": data.Failures.BucketName(),
				"FilterId":   jsii.String(FailuresMetrics),
			},
			Statistic: jsii.String("Sum"),
			Period:    awscdk.Duration_Minutes(jsii.Number(1)),
		}),
		Description: "Records that could not be stored went to the failure bucket.",
	})
}
