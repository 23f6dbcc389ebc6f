package stacks

import (
	"strconv"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssnssubscriptions"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/constructs"
)

// addDetect adds the consumer that finds anomalies, and the bus on which it tells of
// them.
func (t *Telemetry) addDetect(props Props, data Data) {
	stage := props.Stage
	t.Anomalies = awsevents.NewEventBus(t.Stack, jsii.String("Anomalies"), &awsevents.EventBusProps{
		Description: jsii.String("Anomalies: source insighthub.detect, detail-type anomaly"),
	})
	t.Detect = constructs.NewGoFunction(t.Stack, "Detect", &constructs.GoFunctionProps{
		Name:        "detect",
		Description: "Finds anomalies in the stream's events and raises alarms",
		Stage:       stage,
		Size:        stage.Detect.Function,
		Dir:         props.Functions,
		Network:     data.DatabaseNetwork,
		Environment: map[string]*string{
			// The stream's name, for the lineage of its shards.
			"STREAM_NAME":         t.Stream.StreamName(),
			"STATE_BUCKET":        data.States.BucketName(),
			"DATABASE_SECRET_ARN": data.DatabaseSecret.SecretArn(),
			"EVENT_BUS":           t.Anomalies.EventBusName(),
			"MAX_SERIES":          jsii.String(strconv.Itoa(stage.Detect.MaxSeries)),
		},
	})
	data.DatabaseSecret.GrantRead(t.Detect.Role, nil)
	t.Detect.Allow([]string{"s3:GetObject", "s3:PutObject"}, data.States.ArnForObjects(jsii.String(DetectStates+"*")))
	// Without it S3 says of a state that is not there yet that access is denied.
	t.Detect.Allow([]string{"s3:ListBucket"}, data.States.BucketArn())
	t.Detect.Allow([]string{"events:PutEvents"}, t.Anomalies.EventBusArn())
	constructs.NewKinesisConsumer(t.Stack, "DetectConsumer", &constructs.KinesisConsumerProps{
		Stream:    t.Stream,
		Retention: stage.Stream.Retention,
		Function:  t.Detect,
		Timeout:   stage.Detect.Timeout,
		Settings:  stage.Detect.Consumer,
		Failures:  data.Failures,
	})
	if stage.AlarmEmail != "" {
		t.mailCritical(stage.AlarmEmail)
	}
}

// mailCritical sends critical anomalies by mail. It is also the example of a rule:
// EventBridge delivers at least once, and detail.id is the same each time.
func (t *Telemetry) mailCritical(address string) {
	topic := awssns.NewTopic(t.Stack, jsii.String("CriticalAnomalies"), &awssns.TopicProps{EnforceSSL: jsii.Bool(true)})
	topic.AddSubscription(awssnssubscriptions.NewEmailSubscription(jsii.String(address), nil))
	rule := awsevents.NewCfnRule(t.Stack, jsii.String("CriticalAnomaliesRule"), &awsevents.CfnRuleProps{
		Description:  jsii.String("Mails critical anomalies"),
		EventBusName: t.Anomalies.EventBusName(),
		EventPattern: map[string]any{
			"source":      []string{"insighthub.detect"},
			"detail-type": []string{"anomaly"},
			"detail":      map[string]any{"severity": []string{"critical"}},
		},
		Targets: []any{&awsevents.CfnRule_TargetProperty{
			Id:  jsii.String("Mail"),
			Arn: topic.TopicArn(),
			InputTransformer: &awsevents.CfnRule_InputTransformerProperty{
				InputPathsMap: map[string]*string{
					"site": jsii.String("$.detail.site"), "device": jsii.String("$.detail.device"),
					"time": jsii.String("$.detail.time"), "message": jsii.String("$.detail.message"),
				},
				InputTemplate: jsii.String(`"Critical anomaly of <device> at <site>, <time>: <message>"`),
			},
		}},
	})
	topic.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("events.amazonaws.com"), nil)},
		Actions:    jsii.Strings("sns:Publish"),
		Resources:  &[]*string{topic.TopicArn()},
		Conditions: &map[string]any{"ArnEquals": map[string]any{"aws:SourceArn": rule.AttrArn()}},
	}))
}
