package stacks

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsaps"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	cdkconstructs "github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/constructs"
)

// Monitoring is the stack of the managed Prometheus and its rules. It is separate, so
// that no change of a consumer or a rule touches the stored samples.
type Monitoring struct {
	Stack     awscdk.Stack
	Workspace awsaps.CfnWorkspace
	// Topic notifies people of alarms, alerts and critical anomalies.
	Topic awssns.Topic
}

// NewMonitoring adds the stack to scope. It fails when rules cannot be read.
func NewMonitoring(scope cdkconstructs.Construct, props Props) (Monitoring, error) {
	stage := props.Stage
	stack := newStack(scope, props, "Monitoring", "Prometheus and its rules")
	m := Monitoring{Stack: stack, Topic: newTopic(stack, stage)}
	m.Workspace = awsaps.NewCfnWorkspace(stack, jsii.String("Workspace"), &awsaps.CfnWorkspaceProps{
		AlertManagerDefinition: alertmanagerDefinition(stack.Region(), m.topics(stack, stage)),
		Alias:                  jsii.String("insighthub-" + string(stage.Name)),
		WorkspaceConfiguration: &awsaps.CfnWorkspace_WorkspaceConfigurationProperty{
			RetentionPeriodInDays: jsii.Number(stage.Monitoring.RetentionDays),
			LimitsPerLabelSets: []any{&awsaps.CfnWorkspace_LimitsPerLabelSetProperty{
				LabelSet: []any{&awsaps.CfnWorkspace_LabelProperty{Name: jsii.String("job"), Value: jsii.String(functionsJob)}},
				Limits:   &awsaps.CfnWorkspace_LimitsPerLabelSetEntryProperty{MaxSeries: jsii.Number(maxFunctionSeries)},
			}},
		},
	})
	m.Workspace.ApplyRemovalPolicy(constructs.RemovalPolicy(stage.Removal), nil)
	if err := m.addRules(props.Rules); err != nil {
		return m, err
	}
	output(stack, "AlarmTopicArn", m.Topic.TopicArn(), "ARN of the topic of alarms, alerts and critical anomalies; subscribe to it")
	output(stack, "WorkspaceEndpoint", m.Workspace.AttrPrometheusEndpoint(), "URL of the Prometheus API, for requests signed with SigV4")
	return m, nil
}

// addRules adds a namespace for each file, since a namespace is replaced as a whole.
func (m Monitoring) addRules(rules fs.FS) error {
	names, err := fs.Glob(rules, "*.yaml")
	if err == nil && len(names) == 0 {
		err = errors.New("no *.yaml")
	}
	if err != nil {
		return fmt.Errorf("rules: %w", err)
	}
	for _, name := range names {
		data, err := fs.ReadFile(rules, name)
		if err != nil {
			return fmt.Errorf("rules: %w", err)
		}
		name = strings.TrimSuffix(name, path.Ext(name))
		awsaps.NewCfnRuleGroupsNamespace(m.Stack, jsii.String("Rules-"+name), &awsaps.CfnRuleGroupsNamespaceProps{
			Name:      jsii.String(name),
			Workspace: m.Workspace.AttrArn(),
			Data:      jsii.String(string(data)),
		})
	}
	return nil
}

const (
	// functionsJob is the label job of the functions' own metrics (lib/lambda/host).
	functionsJob = "insighthub"
	// maxFunctionSeries is the limit of their number. Each execution environment adds up
	// to 100 series, which count as active for some hours: enough for a thousand
	// environments in that time, while environments in a crash loop cannot use up the
	// series of the KPIs.
	maxFunctionSeries = 100_000
)

// AllowQuery gives a function the workspace's URL and allows it to query.
func (m Monitoring) AllowQuery(f constructs.GoFunction) {
	f.AddEnvironment(jsii.String("PROMETHEUS_URL"), m.Workspace.AttrPrometheusEndpoint(), nil)
	f.AddEnvironment(jsii.String("PROMETHEUS_SIGV4"), jsii.String("true"), nil)
	f.Allow([]string{"aps:QueryMetrics"}, m.Workspace.AttrArn())
}

// AllowRemoteWrite gives a function the workspace's remote-write URL and allows it to
// write samples.
func (m Monitoring) AllowRemoteWrite(f constructs.GoFunction) {
	// The endpoint ends with a slash.
	f.AddEnvironment(jsii.String("REMOTE_WRITE_URL"), jsii.String(*m.Workspace.AttrPrometheusEndpoint()+"api/v1/remote_write"), nil)
	f.AddEnvironment(jsii.String("REMOTE_WRITE_SIGV4"), jsii.String("true"), nil)
	f.Allow([]string{"aps:RemoteWrite"}, m.Workspace.AttrArn())
}
