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

// Alarms is a group of CloudWatch alarms that notify an e-mail address, if there is one.
type Alarms struct {
	Scope  constructs.Construct
	action awscloudwatchactions.SnsAction // nil without an address
}

// NewAlarms adds an empty group of alarms to scope. email may be empty.
func NewAlarms(scope constructs.Construct, id, email string) Alarms {
	a := Alarms{Scope: constructs.NewConstruct(scope, jsii.String(id))}
	if email == "" {
		return a
	}
	// Not encrypted: alarms contain no telemetry, and CloudWatch cannot publish to a
	// topic that is encrypted with an AWS managed key.
	topic := awssns.NewTopic(a.Scope, jsii.String("Topic"), &awssns.TopicProps{EnforceSSL: jsii.Bool(true)})
	topic.AddSubscription(awssnssubscriptions.NewEmailSubscription(jsii.String(email), nil))
	a.action = awscloudwatchactions.NewSnsAction(topic)
	return a
}

// Watch is the condition of an alarm: a metric above a threshold.
type Watch struct {
	Metric      awscloudwatch.IMetric
	Description string
	// Above is the threshold: the highest value without an alarm.
	Above float64
	// Minutes is for how many consecutive periods the metric has to be above; 0 means 1.
	Minutes int
}

// Add adds an alarm. A metric without data raises none: nothing has happened.
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

// AddFunction adds alarms of a function's errors and throttled invocations.
func (a Alarms) AddFunction(name string, f GoFunction) {
	a.Add(name+"Errors", Watch{
		Metric:      f.MetricErrors(EveryMinute("Sum")),
		Description: "The function " + name + " failed in each of 3 minutes.",
		Minutes:     3,
	})
	a.Add(name+"Throttles", Watch{
		Metric:      f.MetricThrottles(EveryMinute("Sum")),
		Description: "The function " + name + " was throttled in each of 3 minutes: no concurrency was left.",
		Minutes:     3,
	})
}

// EveryMinute returns the options of a metric with a period of one minute.
func EveryMinute(statistic string) *awscloudwatch.MetricOptions {
	return &awscloudwatch.MetricOptions{
		Statistic: jsii.String(statistic),
		Period:    awscdk.Duration_Minutes(jsii.Number(1)),
	}
}
