package constructs

import (
	"fmt"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2/awskinesis"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
)

// KinesisConsumerProps are the properties of a KinesisConsumer.
type KinesisConsumerProps struct {
	Stream    awskinesis.IStream
	Retention time.Duration // of the stream
	Function  GoFunction
	Timeout   time.Duration // of the function
	Settings  config.Consumer
	// Failures is the on-failure destination: Lambda writes the records that it no
	// longer retries there, complete, under aws/lambda/<mapping>/<shard>/. A queue or a
	// topic would receive their sequence numbers only.
	Failures awss3.IBucket
}

// KinesisConsumer is an event source mapping with every setting that decides
// whether records are lost or block their shard.
type KinesisConsumer struct {
	Scope   constructs.Construct
	Mapping awslambda.CfnEventSourceMapping
}

// NewKinesisConsumer adds a mapping to scope. It panics when the settings are not
// valid, as the CDK does.
//
// The mapping starts at the trim horizon: a new or recreated consumer first reads
// everything that the stream retains. It has no tumbling window: a function that
// needs state stores its own.
func NewKinesisConsumer(scope constructs.Construct, id string, props *KinesisConsumerProps) KinesisConsumer {
	if err := props.Settings.Validate(props.Timeout, props.Retention); err != nil {
		panic(fmt.Errorf("consumer %s: %w", id, err))
	}
	part := constructs.NewConstruct(scope, jsii.String(id))
	s := props.Settings
	mapping := awslambda.NewCfnEventSourceMapping(part, jsii.String("Mapping"), &awslambda.CfnEventSourceMappingProps{
		FunctionName:                   props.Function.FunctionArn(),
		EventSourceArn:                 source(part, props),
		StartingPosition:               jsii.String("TRIM_HORIZON"),
		BatchSize:                      jsii.Number(s.BatchSize),
		MaximumBatchingWindowInSeconds: jsii.Number(s.Window.Seconds()),
		ParallelizationFactor:          jsii.Number(s.Parallelization),
		BisectBatchOnFunctionError:     jsii.Bool(true),
		MaximumRetryAttempts:           jsii.Number(s.Retries),
		MaximumRecordAgeInSeconds:      jsii.Number(s.MaxRecordAge.Seconds()),
		FunctionResponseTypes:          jsii.Strings("ReportBatchItemFailures"),
		DestinationConfig: &awslambda.CfnEventSourceMapping_DestinationConfigProperty{
			OnFailure: &awslambda.CfnEventSourceMapping_OnFailureProperty{Destination: props.Failures.BucketArn()},
		},
	})
	// Lambda reads the stream and writes to the destination with the function's role.
	props.Function.Allow([]string{"s3:PutObject"}, props.Failures.ArnForObjects(jsii.String("aws/lambda/*")))
	props.Function.Allow([]string{"s3:ListBucket"}, props.Failures.BucketArn())
	mapping.Node().AddDependency(props.Function.Role)
	return KinesisConsumer{Scope: part, Mapping: mapping}
}

// source allows the function to read the stream and returns the ARN of the event
// source: the stream, or a consumer with enhanced fan-out.
func source(scope constructs.Construct, props *KinesisConsumerProps) *string {
	stream := props.Stream.StreamArn()
	props.Function.Allow([]string{
		"kinesis:DescribeStream",
		"kinesis:DescribeStreamSummary",
		"kinesis:GetRecords",
		"kinesis:GetShardIterator",
		"kinesis:ListShards",
	}, stream)
	if !props.Settings.EnhancedFanOut {
		return stream
	}
	fanOut := awskinesis.NewCfnStreamConsumer(scope, jsii.String("FanOut"), &awskinesis.CfnStreamConsumerProps{
		ConsumerName: scope.Node().Id(),
		StreamArn:    stream,
	}).AttrConsumerArn()
	props.Function.Allow([]string{"kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"}, fanOut)
	return fanOut
}
