package stacks

import (
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/jsii-runtime-go"
)

// addDetect adds the consumer that detects anomalies, and the bus on which it
// publishes them.
func (t *Telemetry) addDetect(props Props, data Data) {
	settings := props.Stage.Detect
	t.Anomalies = awsevents.NewEventBus(t.Stack, jsii.String("Anomalies"), &awsevents.EventBusProps{
		Description: jsii.String("Detected anomalies: source insighthub.detect, detail-type anomaly"),
	})
	t.Detect = data.newFunction(t.Stack, props, function{
		ID: "Detect", Name: "detect",
		Description: "Detects anomalies in the stream's events and raises alarms",
		Size:        settings.Function,
		Environment: map[string]*string{
			"STREAM_NAME":  t.Stream.StreamName(),
			"STATE_BUCKET": data.States.BucketName(),
			"EVENT_BUS":    t.Anomalies.EventBusName(),
			"MAX_SERIES":   number(settings.MaxSeries),
		},
	})
	data.allowStates(t.Detect, DetectStates)
	t.Detect.Allow([]string{"events:PutEvents"}, t.Anomalies.EventBusArn())
	t.consume("DetectConsumer", t.Detect, settings.Function, settings.Consumer, data)
}

// notifyCritical adds a rule that sends critical anomalies to the topic of the alarms. Rules
// of your own can look like it: EventBridge delivers at least once, and detail.id identifies
// a duplicate.
func (t Telemetry) notifyCritical(topic awssns.ITopic) {
	awsevents.NewCfnRule(t.Stack, jsii.String("CriticalAnomaliesRule"), &awsevents.CfnRuleProps{
		Description:  jsii.String("Sends critical anomalies to the topic of the alarms"),
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
}
