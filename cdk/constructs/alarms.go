package constructs

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatchactions"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssnssubscriptions"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// Alarms watches metrics and, when someone is to be told, tells them.
type Alarms struct {
	Scope  constructs.Construct
	action awscloudwatchactions.SnsAction // nil: the alarms only show
}

// NewAlarms adds a place for alarms to scope. email may be empty.
func NewAlarms(scope constructs.Construct, id, email string) Alarms {
	a := Alarms{Scope: constructs.NewConstruct(scope, jsii.String(id))}
	if email == "" {
		return a
	}
	// Not encrypted with a key: alarms hold no telemetry, and CloudWatch cannot
	// publish to a topic under AWS's own key.
	topic := awssns.NewTopic(a.Scope, jsii.String("Topic"), &awssns.TopicProps{EnforceSSL: jsii.Bool(true)})
	topic.AddSubscription(awssnssubscriptions.NewEmailSubscription(jsii.String(email), nil))
	a.action = awscloudwatchactions.NewSnsAction(topic)
	return a
}

// Watch says when a metric is too high.
type Watch struct {
	Metric      awscloudwatch.IMetric
	Description string
	// Above is the highest value that is well.
	Above float64
	// Minutes is for how many periods in a row it has to be above; 0 means 1.
	Minutes int
}

// Add adds an alarm. A metric without data is well: nothing has happened.
func (a Alarms) Add(id string, w Watch) {
	alarm := awscloudwatch.NewAlarm(a.Scope, jsii.String(id), &awscloudwatch.AlarmProps{
		AlarmDescription:   jsii.String(w.Description),
		Metric:             w.Metric,
		Threshold:          jsii.Number(w.Above),
		ComparisonOperator: awscloudwatch.ComparisonOperator_GREATER_THAN_THRESHOLD,
		EvaluationPeriods:  jsii.Number(max(w.Minutes, 1)),
		TreatMissingData:   awscloudwatch.TreatMissingData_NOT_BREACHING,
	})
	if a.action != nil {
		alarm.AddAlarmAction(a.action)
	}
}

// AddFunction watches a function for errors and for invocations refused.
func (a Alarms) AddFunction(name string, f GoFunction) {
	a.Add(name+"Errors", Watch{
		Metric:      f.MetricErrors(EveryMinute("Sum")),
		Description: "The function " + name + " failed in each of 3 minutes.",
		Minutes:     3,
	})
	a.Add(name+"Throttles", Watch{
		Metric:      f.MetricThrottles(EveryMinute("Sum")),
		Description: "The function " + name + " had no concurrency left in each of 3 minutes.",
		Minutes:     3,
	})
}

// EveryMinute reads a metric by the minute.
func EveryMinute(statistic string) *awscloudwatch.MetricOptions {
	return &awscloudwatch.MetricOptions{
		Statistic: jsii.String(statistic),
		Period:    awscdk.Duration_Minutes(jsii.Number(1)),
	}
}
