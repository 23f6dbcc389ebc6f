package stacks

import (
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskinesis"
	cdkconstructs "github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/constructs"
)

// Telemetry is the stack of the stream and its consumers.
type Telemetry struct {
	Stack  awscdk.Stack
	Stream awskinesis.Stream
	Store  constructs.GoFunction
	Bridge constructs.GoFunction
	Detect constructs.GoFunction
	// Clock puts ticks on the stream.
	Clock constructs.GoFunction
	// Anomalies is the bus on which Detect publishes anomalies.
	Anomalies awsevents.EventBus

	retention time.Duration // of the stream
}

// NewTelemetry adds the stack to scope.
func NewTelemetry(scope cdkconstructs.Construct, props Props, data Data) Telemetry {
	stage := props.Stage
	stack := newStack(scope, props, "Telemetry", "the stream of events and its consumers")
	t := Telemetry{Stack: stack, Stream: newStream(stack, stage), retention: stage.Stream.Retention}

	t.addStore(props, data)
	t.addBridge(props, data)
	t.addDetect(props, data)
	t.addClock(props)
	t.watch(constructs.NewAlarms(stack, "Alarms", stage.AlarmEmail), data)
	output(stack, "AnomalyBus", t.Anomalies.EventBusName(), "EventBridge bus of detected anomalies; attach your own rules")
	output(stack, "StreamName", t.Stream.StreamName(), "Kinesis stream of encoded batches of events")
	return t
}

// addStore adds the consumer that writes events to the database.
func (t *Telemetry) addStore(props Props, data Data) {
	settings := props.Stage.Store
	t.Store = data.newFunction(t.Stack, props, function{
		ID: "Store", Name: "store",
		Description: "Writes the stream's events to the database",
		Size:        settings.Function,
		Environment: map[string]*string{
			"FAILURE_BUCKET": data.Failures.BucketName(),
			"STATE_BUCKET":   data.States.BucketName(),
		},
	})
	data.allowPublishNames(t.Store)
	// The function writes poison records to the bucket that is Lambda's on-failure
	// destination.
	t.Store.Allow([]string{"s3:PutObject"}, data.Failures.ArnForObjects(jsii.String("poison/*")))
	t.consume("StoreConsumer", t.Store, settings.Function, settings.Consumer, data)
}

// addBridge adds the consumer that writes KPIs to Prometheus.
func (t *Telemetry) addBridge(props Props, data Data) {
	settings := props.Stage.Bridge
	t.Bridge = data.newFunction(t.Stack, props, function{
		ID: "Bridge", Name: "bridge",
		Description: "Computes KPIs from the stream's events and writes them to Prometheus",
		Size:        settings.Function,
		Environment: map[string]*string{
			"STREAM_NAME":      t.Stream.StreamName(),
			"STATE_BUCKET":     data.States.BucketName(),
			"WINDOW_SECONDS":   seconds(settings.KPIWindow),
			"LATENESS_SECONDS": seconds(settings.Lateness),
		},
	})
	data.allowStates(t.Bridge, BridgeStates)
	t.consume("BridgeConsumer", t.Bridge, settings.Function, settings.Consumer, data)
}

// addClock adds the function that puts ticks on each shard of the stream, every minute.
func (t *Telemetry) addClock(props Props) {
	t.Clock = newFunction(t.Stack, props, function{
		ID: "Clock", Name: "clock",
		Description: "Puts ticks on the stream, by which its consumers notice silence",
		Size:        props.Stage.Clock,
		Environment: map[string]*string{"STREAM_NAME": t.Stream.StreamName()},
	})
	t.Clock.Allow([]string{"kinesis:ListShards", "kinesis:PutRecords"}, t.Stream.StreamArn())
	awsevents.NewRule(t.Stack, jsii.String("ClockSchedule"), &awsevents.RuleProps{
		Description: jsii.String("Puts ticks on the stream"),
		Schedule:    awsevents.Schedule_Rate(awscdk.Duration_Minutes(jsii.Number(1))),
		Targets: &[]awsevents.IRuleTarget{awseventstargets.NewLambdaFunction(t.Clock.Function, &awseventstargets.LambdaFunctionProps{
			// The next run does the work of a failed one.
			RetryAttempts: jsii.Number(0),
		})},
	})
}

// consume adds an event source mapping that invokes f with the stream's records. size
// and settings are f's.
func (t *Telemetry) consume(id string, f constructs.GoFunction, size config.Function, settings config.Consumer, data Data) {
	constructs.NewKinesisConsumer(t.Stack, id, &constructs.KinesisConsumerProps{
		Stream:    t.Stream,
		Retention: t.retention,
		Function:  f,
		Timeout:   size.Timeout,
		Settings:  settings,
		Failures:  data.Failures,
	})
}

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
	for _, c := range []struct {
		name        string
		function    constructs.GoFunction
		description string
	}{
		{"Store", t.Store, "The newest event in the database is more than a minute old, for 3 minutes: " +
			"the store function does not keep up with the stream."},
		{"Bridge", t.Bridge, "The newest event in the KPIs is more than a minute old, for 3 minutes: " +
			"the bridge function does not keep up with the stream, or Prometheus is unavailable."},
		{"Detect", t.Detect, "The newest event that was scored for anomalies is more than a minute old, for 3 minutes: " +
			"the detect function does not keep up with the stream, or the database is unavailable."},
	} {
		alarms.AddFunction(c.name, c.function)
		alarms.Add(c.name+"Behind", constructs.Watch{
			Metric:      c.function.Metric(jsii.String("IteratorAge"), constructs.EveryMinute("Maximum")),
			Description: c.description,
			Above:       60_000,
			Minutes:     3,
		})
	}
	alarms.AddFunction("Clock", t.Clock)
	alarms.Add("StreamFull", constructs.Watch{
		Metric:      t.Stream.MetricPutRecordsThrottledRecords(constructs.EveryMinute("Sum")),
		Description: "The stream throttled records in each of 3 minutes: it needs more shards.",
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
		Description: "Records that could not be processed were written to the failure bucket.",
	})
}
