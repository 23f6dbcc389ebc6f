package stacks

import (
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
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

// clockEvery is the interval of the ticks.
const clockEvery = time.Minute

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
		Schedule:    awsevents.Schedule_Rate(constructs.Duration(clockEvery)),
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

// watch adds the alarms of the stream and its consumers.
func (t Telemetry) watch(alarms constructs.Alarms, data Data, stage config.Stage) {
	for _, c := range []struct {
		name            string
		function        constructs.GoFunction
		size            config.Function
		description, do string
	}{
		{
			"Store", t.Store, stage.Store.Function,
			"The newest event in the database is more than a minute old, for 3 minutes: the store function does not keep up.",
			"Nothing is lost while the stream retains it. Look at the database, then at the number of shards.",
		},
		{
			"Bridge", t.Bridge, stage.Bridge.Function,
			"The newest event in the KPIs is more than a minute old, for 3 minutes: the bridge function does not keep up.",
			"Look at its errors (is Prometheus unavailable?), then at the number of shards.",
		},
		{
			"Detect", t.Detect, stage.Detect.Function,
			"The newest event that was scored for anomalies is more than a minute old, for 3 minutes.",
			"Look at its errors (is the database unavailable?), then at its memory and the number of shards.",
		},
	} {
		alarms.AddFunction(c.name, c.function, c.size)
		alarms.Add(c.name+"Behind", constructs.Watch{
			Metric:      c.function.Metric(jsii.String("IteratorAge"), constructs.EveryMinute("Maximum")),
			Description: c.description,
			Do:          c.do,
			Above:       60_000,
			Minutes:     3,
		})
	}
	alarms.AddFunction("Clock", t.Clock, stage.Clock)
	alarms.AddSchedule("Clock", t.Clock, clockEvery)
	alarms.Add("StreamFull", constructs.Watch{
		Metric:      t.Stream.MetricPutRecordsThrottledRecords(constructs.EveryMinute("Sum")),
		Description: "The stream throttled records in each of 3 minutes: it needs more shards.",
		Do:          "Gateways repeat what was rejected. Raise the number of shards.",
		Minutes:     3,
	})
	alarms.Add("StreamReadsFull", constructs.Watch{
		Metric:      t.Stream.MetricReadProvisionedThroughputExceeded(constructs.EveryMinute("Average")),
		Description: "The consumers' reads of the stream were throttled in each of 10 minutes.",
		Do:          "Give the busiest consumer enhanced fan-out, or raise the number of shards.",
		Minutes:     10,
	})
	alarms.Add("RecordsGivenUp", constructs.Watch{
		Metric: constructs.Metric("AWS/S3", "PutRequests", "Sum", map[string]*string{
			"BucketName": data.Failures.BucketName(), "FilterId": jsii.String(FailuresMetrics),
		}),
		Description: "Records that could not be processed were written to the failure bucket.",
		Do:          "Their key and metadata name the consumer and the reason; they expire after 90 days.",
	})
}
