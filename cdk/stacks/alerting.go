package stacks

import (
	"fmt"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssnssubscriptions"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/constructs"
)

// newTopic adds the topic by which CloudWatch's alarms, the alerts of Prometheus and
// critical anomalies reach people. Its ARN stays the same whoever subscribes.
func newTopic(stack awscdk.Stack, stage config.Stage) awssns.Topic {
	// Not encrypted unless by a customer's key: CloudWatch cannot publish to a topic that is
	// encrypted with an AWS managed key.
	topic := awssns.NewTopic(stack, jsii.String("Alarms"), &awssns.TopicProps{
		DisplayName: jsii.String("InsightHub " + string(stage.Name)), EnforceSSL: jsii.Bool(true),
	})
	if stage.AlarmEmail != "" {
		topic.AddSubscription(awssnssubscriptions.NewEmailSubscription(jsii.String(stage.AlarmEmail), nil))
	}
	// A topic with a policy of its own lacks the default one, which lets the account's
	// services publish.
	allow := func(service string, condition string, pattern *string, actions ...string) {
		topic.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
			Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String(service), nil)},
			Actions:    jsii.Strings(actions...),
			Resources:  &[]*string{topic.TopicArn()},
			Conditions: &map[string]any{
				condition:      map[string]any{"aws:SourceArn": pattern},
				"StringEquals": map[string]any{"aws:SourceAccount": stack.Account()},
			},
		}))
	}
	arn := func(service, resource string) *string {
		return stack.FormatArn(&awscdk.ArnComponents{
			Service: jsii.String(service), Resource: jsii.String(resource), ArnFormat: awscdk.ArnFormat_COLON_RESOURCE_NAME,
			ResourceName: jsii.String("*"),
		})
	}
	allow("cloudwatch.amazonaws.com", "ArnLike", arn("cloudwatch", "alarm"), "sns:Publish")
	allow("events.amazonaws.com", "ArnLike", stack.FormatArn(&awscdk.ArnComponents{
		Service: jsii.String("events"), Resource: jsii.String("rule"), ResourceName: jsii.String("*"),
	}), "sns:Publish")
	allow("aps.amazonaws.com", "ArnLike", stack.FormatArn(&awscdk.ArnComponents{
		Service: jsii.String("aps"), Resource: jsii.String("workspace"), ResourceName: jsii.String("*"),
	}), "sns:Publish", "sns:GetTopicAttributes")
	return topic
}

// topics returns what an alarm of a stack notifies: the stage's topic, and one that exists
// already, if the stage names one.
func (m Monitoring) topics(stack awscdk.Stack, stage config.Stage) []awssns.ITopic {
	topics := []awssns.ITopic{m.Topic}
	if arn := stage.AlarmTopicARN; arn != "" {
		topics = append(topics, awssns.Topic_FromTopicArn(stack, jsii.String("AlarmTopic"), jsii.String(arn)))
	}
	return topics
}

// alertmanagerDefinition returns the definition of the workspace's Alertmanager, which sends
// the alerts of cdk/grafana/rules to topics: critical ones after 30 s and again every hour,
// others after 2 minutes and twice a day.
//
// The format is Alertmanager's configuration and its templates in one YAML document; its
// only receiver is SNS (Amazon Managed Service for Prometheus, User Guide).
func alertmanagerDefinition(region *string, topics []awssns.ITopic) *string {
	var b strings.Builder
	b.WriteString(`template_files:
  insighthub: |
    {{ define "insighthub.subject" }}{{ .Status | toUpper }} {{ .CommonLabels.alertname }} {{ .CommonLabels.site }}{{ end }}
    {{ define "insighthub.message" }}{{ range .Alerts }}{{ .Status | toUpper }} {{ .Labels.severity }}: {{ .Annotations.summary }}
    {{ .Annotations.description }}
    since {{ .StartsAt }}

    {{ end }}What to do: docs/RUNBOOK.md{{ end }}
alertmanager_config: |
  templates:
    - insighthub
  route:
    receiver: people
    group_by: [alertname, site]
    group_wait: 2m
    group_interval: 5m
    repeat_interval: 12h
    routes:
      - matchers: ['severity="critical"']
        receiver: people
        group_wait: 30s
        repeat_interval: 1h
  inhibit_rules:
    - source_matchers: ['alertname="BridgeSilent"']
      target_matchers: ['alertname="GatewaySilent"']
  receivers:
    - name: people
      sns_configs:
`)
	for _, topic := range topics {
		fmt.Fprintf(&b, `        - topic_arn: %s
          sigv4:
            region: %s
          send_resolved: true
          subject: '{{ template "insighthub.subject" . }}'
          message: '{{ template "insighthub.message" . }}'
          attributes:
            severity: '{{ .CommonLabels.severity }}'
`, *topic.TopicArn(), *region)
	}
	return jsii.String(b.String())
}

// watch adds the alarms of all stacks. They are added last, because the topic is in the
// stack Monitoring, which knows nothing of the others.
func (p Platform) watch(stage config.Stage) {
	alarms := func(stack awscdk.Stack) constructs.Alarms {
		return constructs.NewAlarms(stack, "Alarms", p.Monitoring.topics(stack, stage)...)
	}
	p.Data.watch(alarms(p.Data.Stack), stage)
	p.Telemetry.watch(alarms(p.Telemetry.Stack), p.Data, stage)
	p.API.watch(alarms(p.API.Stack), stage)
	p.Audit.watch(alarms(p.Audit.Stack), stage)
	p.Signaling.watch(alarms(p.Signaling.Stack), stage)
	p.Telemetry.notifyCritical(p.Monitoring.Topic)
	p.API.watchKeys(p.Monitoring.Topic)
}

// watch adds the alarms of the stack Data.
func (d Data) watch(alarms constructs.Alarms, stage config.Stage) {
	alarms.AddFunction("Migrate", d.Migrate, stage.Migrate)
	alarms.AddFunction("Rollup", d.Rollup, stage.Rollup)
	alarms.AddSchedule("Rollup", d.Rollup, rollupEvery)
	alarms.Add("RollupBehind", constructs.Watch{
		Metric: d.Rollup.MetricDuration(constructs.EveryMinute("Maximum")),
		Description: "The roll-up used its whole time in each of 10 minutes: it does not keep up, and minutes, hours " +
			"and the seal of the audit trail lag behind.",
		Do:      "Look for a load of late events, and at the database's processor and volume.",
		Above:   0.9 * float64(stage.Rollup.Timeout.Milliseconds()),
		Minutes: 10,
	})
	if d.database != nil {
		d.database.Watch(alarms, stage.Database)
	}
	if d.nat != nil {
		for _, machine := range *d.nat.GatewayInstances() {
			alarms.AddRecovery("NAT", machine)
		}
	}
	for i, gateway := range d.natGateways {
		alarms.Add(fmt.Sprintf("NATPorts%d", i+1), constructs.Watch{
			Metric:      constructs.Metric("AWS/NATGateway", "ErrorPortAllocation", "Sum", map[string]*string{"NatGatewayId": gateway}),
			Description: "The NAT gateway had no port for new connections in each of 3 minutes.",
			Do:          "Find who opens so many: the functions' traces show connections that are not reused.",
			Minutes:     3,
		})
	}
}

// watch adds the alarms of the API.
func (a *API) watch(alarms constructs.Alarms, stage config.Stage) {
	alarms.AddFunction("Ingest", a.Ingest, stage.Ingest.Function)
	alarms.AddFunction("Authorizer", a.Authorizer, stage.API.Authorizer)
	alarms.AddFunction("Access", a.Access, stage.API.Access)
	alarms.AddFunction("Resources", a.Resources, stage.API.Resources)
	a.watchRefusals(alarms, stage)
	alarms.Add("ServerErrors", constructs.Watch{
		Metric:      a.HTTP.MetricServerError(constructs.EveryMinute("Sum")),
		Description: "The API returned server errors (5xx) in each of 3 minutes.",
		Do:          "The access log has the route, the alarms of the functions and of the database the cause.",
		Minutes:     3,
	})
	alarms.Add("Latency", constructs.Watch{
		Metric:      a.HTTP.MetricLatency(constructs.EveryMinute("p99")),
		Description: "One in a hundred requests took longer than 5 s, for 10 minutes.",
		Do:          "The access log has the routes; look at the database's processor and at the functions' concurrency.",
		Above:       5000,
		Minutes:     10,
	})
}

// watchKeys notifies of changes of the account's KMS keys that would end signing and
// verifying. CloudTrail, which must be on in the account, reports them within minutes.
func (a *API) watchKeys(topic awssns.ITopic) {
	awsevents.NewRule(a.Stack, jsii.String("KeyChanges"), &awsevents.RuleProps{
		Description: jsii.String("Notifies of keys that are disabled, or are to be deleted"),
		EventPattern: &awsevents.EventPattern{
			Source:     jsii.Strings("aws.kms"),
			DetailType: jsii.Strings("AWS API Call via CloudTrail"),
			Detail: &map[string]any{
				"eventName": []string{"DisableKey", "ScheduleKeyDeletion", "PutKeyPolicy"},
			},
		},
		Targets: &[]awsevents.IRuleTarget{awseventstargets.NewSnsTopic(topic, &awseventstargets.SnsTopicProps{
			Message: awsevents.RuleTargetInput_FromText(jsii.String(
				"KMS: " + *awsevents.EventField_FromPath(jsii.String("$.detail.eventName")) + " by " +
					*awsevents.EventField_FromPath(jsii.String("$.detail.userIdentity.arn")))),
		})},
	})
}

// watch adds the alarms of the self-check.
func (a Audit) watch(alarms constructs.Alarms, stage config.Stage) {
	alarms.AddFunction("Audit", a.Function, stage.Audit.Function)
	alarms.AddSchedule("Audit", a.Function, stage.Audit.Every)
	alarms.Add("AuditFailed", constructs.Watch{
		Metric: a.Function.MetricErrors(&awscloudwatch.MetricOptions{
			Statistic: jsii.String("Sum"), Period: constructs.Duration(stage.Audit.Every),
		}),
		Description: "The self-check did not end.",
		Do:          "Read its log. What it finds is reported by the alert SelfCheckFailed.",
	})
}
