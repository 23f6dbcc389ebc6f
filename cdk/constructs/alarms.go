package constructs

import (
	"fmt"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatchactions"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
)

// Alarms is a group of CloudWatch alarms that notify topics when they start and when they
// end.
type Alarms struct {
	Scope  constructs.Construct
	topics []awssns.ITopic
}

// NewAlarms adds an empty group of alarms to scope.
func NewAlarms(scope constructs.Construct, id string, topics ...awssns.ITopic) Alarms {
	return Alarms{Scope: constructs.NewConstruct(scope, jsii.String(id)), topics: topics}
}

// Watch is the condition of an alarm: a metric above a threshold, or below it.
type Watch struct {
	Metric awscloudwatch.IMetric
	// Description says what has happened, Do what to do.
	Description, Do string
	// Above is the threshold: the highest value without an alarm.
	Above float64
	// Below is another threshold: the lowest value without an alarm. It is used instead of
	// Above when it is not 0.
	Below float64
	// Minutes is for how many consecutive periods the metric has to be beyond; 0 means 1.
	Minutes int
	// Silence says that a metric without data raises the alarm. Otherwise nothing has
	// happened.
	Silence bool
	// Actions are done in addition to the notification.
	Actions []awscloudwatch.IAlarmAction
}

// Add adds an alarm.
func (a Alarms) Add(id string, w Watch) {
	p := &awscloudwatch.AlarmProps{
		AlarmDescription:   jsii.String(w.Description + " " + w.Do),
		Metric:             w.Metric,
		Threshold:          jsii.Number(w.Above),
		ComparisonOperator: awscloudwatch.ComparisonOperator_GREATER_THAN_THRESHOLD,
		EvaluationPeriods:  jsii.Number(max(w.Minutes, 1)),
		TreatMissingData:   awscloudwatch.TreatMissingData_NOT_BREACHING,
	}
	if w.Below != 0 {
		p.Threshold, p.ComparisonOperator = jsii.Number(w.Below), awscloudwatch.ComparisonOperator_LESS_THAN_THRESHOLD
	}
	if w.Silence {
		p.TreatMissingData = awscloudwatch.TreatMissingData_BREACHING
	}
	alarm := awscloudwatch.NewAlarm(a.Scope, jsii.String(id), p)
	for _, topic := range a.topics {
		action := awscloudwatchactions.NewSnsAction(topic)
		alarm.AddAlarmAction(action)
		alarm.AddOkAction(action)
	}
	alarm.AddAlarmAction(w.Actions...)
}

// AddFunction adds alarms of a function: its errors, its throttled invocations, and a
// concurrency near the limit that size reserves.
func (a Alarms) AddFunction(name string, f GoFunction, size config.Function) {
	a.Add(name+"Errors", Watch{
		Metric:      f.MetricErrors(EveryMinute("Sum")),
		Description: "The function " + name + " failed in each of 3 minutes.",
		Do:          "Read its log: the last error names the cause.",
		Minutes:     3,
	})
	a.Add(name+"Throttles", Watch{
		Metric:      f.MetricThrottles(EveryMinute("Sum")),
		Description: "The function " + name + " was throttled in each of 3 minutes: no concurrency was left.",
		Do:          "Look for a flood of requests in the access log; if the load is real raise its reserved concurrency.",
		Minutes:     3,
	})
	// Of less than 4, one more is the limit itself, which the throttles show.
	if n := size.ReservedConcurrency; n >= 4 {
		a.Add(name+"Concurrency", Watch{
			Metric:      f.Metric(jsii.String("ConcurrentExecutions"), EveryMinute("Maximum")),
			Description: fmt.Sprintf("The function %s used more than 80 %% of its %d environments in each of 5 minutes.", name, n),
			Do:          "Its duration shows whether the load rose or what it waits for became slow.",
			Above:       float64(n) * 0.8,
			Minutes:     5,
		})
	}
}

// AddSchedule adds an alarm of a function that did not run for twice its interval.
func (a Alarms) AddSchedule(name string, f GoFunction, every time.Duration) {
	a.Add(name+"NotRun", Watch{
		Metric: f.MetricInvocations(&awscloudwatch.MetricOptions{
			Statistic: jsii.String("Sum"), Period: Duration(max(5*time.Minute, every)),
		}),
		Description: "The function " + name + " did not run, although a schedule invokes it.",
		Do:          "Check that its rule in EventBridge is enabled and may invoke it.",
		Below:       1,
		Minutes:     2,
		Silence:     true,
	})
}

// AddDeadLetters adds an alarm of a queue that is empty unless something is wrong.
func (a Alarms) AddDeadLetters(name string, queue awssqs.IQueue, description, do string) {
	a.Add(name, Watch{
		Metric:      queue.MetricApproximateNumberOfMessagesVisible(EveryMinute("Maximum")),
		Description: description,
		Do:          do,
	})
}

// AddRecovery adds alarms of a machine that AWS moves to other hardware, or restarts.
func (a Alarms) AddRecovery(name string, machine awsec2.Instance) {
	metric := func(check string) awscloudwatch.IMetric {
		return Metric("AWS/EC2", check, "Maximum", map[string]*string{"InstanceId": machine.InstanceId()})
	}
	a.Add(name+"System", Watch{
		Metric:      metric("StatusCheckFailed_System"),
		Description: "The hardware or network of the machine " + name + " failed for 2 minutes; AWS moves it to other hardware.",
		Do:          "If the alarm does not end in 10 minutes stop and start the machine.",
		Minutes:     2,
		Actions:     []awscloudwatch.IAlarmAction{awscloudwatchactions.NewEc2Action(awscloudwatchactions.Ec2InstanceAction_RECOVER)},
	})
	a.Add(name+"Instance", Watch{
		Metric:      metric("StatusCheckFailed_Instance"),
		Description: "The operating system of the machine " + name + " did not respond for 3 minutes; it is restarted.",
		Do:          "If it happens again replace the machine: give it a newer image.",
		Minutes:     3,
		Actions:     []awscloudwatch.IAlarmAction{awscloudwatchactions.NewEc2Action(awscloudwatchactions.Ec2InstanceAction_REBOOT)},
	})
}

// Metric returns a metric with a period of one minute.
func Metric(namespace, name, statistic string, dimensions map[string]*string) awscloudwatch.Metric {
	return awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
		Namespace: jsii.String(namespace), MetricName: jsii.String(name), DimensionsMap: &dimensions,
		Statistic: jsii.String(statistic), Period: awscdk.Duration_Minutes(jsii.Number(1)),
	})
}

// EveryMinute returns the options of a metric with a period of one minute.
func EveryMinute(statistic string) *awscloudwatch.MetricOptions {
	return &awscloudwatch.MetricOptions{
		Statistic: jsii.String(statistic),
		Period:    awscdk.Duration_Minutes(jsii.Number(1)),
	}
}
