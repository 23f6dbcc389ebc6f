package stacks

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsaps"
	cdkconstructs "github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/constructs"
)

// Monitoring is the stack of the figures: a managed Prometheus and its rules. It
// stands by itself, so that a change of the stream's consumers, or of a rule, leaves
// what was measured alone.
type Monitoring struct {
	Stack     awscdk.Stack
	Workspace awsaps.CfnWorkspace
}

// NewMonitoring adds the stack to scope, or says which rules can not be read.
func NewMonitoring(scope cdkconstructs.Construct, props Props) (Monitoring, error) {
	stage := props.Stage
	stack := newStack(scope, props, "Monitoring", "the figures and their rules")
	m := Monitoring{Stack: stack}
	m.Workspace = awsaps.NewCfnWorkspace(stack, jsii.String("Workspace"), &awsaps.CfnWorkspaceProps{
		Alias: jsii.String("insighthub-" + string(stage.Name)),
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
	output(stack, "WorkspaceEndpoint", m.Workspace.AttrPrometheusEndpoint(), "Address of Prometheus's API, for signed requests")
	return m, nil
}

// addRules makes a namespace of each file, since a namespace is replaced as a whole.
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
	// maxFunctionSeries bounds them. Each execution environment adds up to 100 series
	// that count for some hours: room for a thousand environments in that time, and
	// ones that crash and start in a loop do not take the place of the figures.
	maxFunctionSeries = 100_000
)

// Answer tells a function where the workspace answers queries, and lets it ask.
func (m Monitoring) Answer(f constructs.GoFunction) {
	f.AddEnvironment(jsii.String("PROMETHEUS_URL"), m.Workspace.AttrPrometheusEndpoint(), nil)
	f.AddEnvironment(jsii.String("PROMETHEUS_SIGV4"), jsii.String("true"), nil)
	f.Allow([]string{"aps:QueryMetrics"}, m.Workspace.AttrArn())
}

// Receive tells a function where the workspace takes samples, and lets it write them.
func (m Monitoring) Receive(f constructs.GoFunction) {
	// The endpoint ends with a slash.
	f.AddEnvironment(jsii.String("REMOTE_WRITE_URL"), jsii.String(*m.Workspace.AttrPrometheusEndpoint()+"api/v1/remote_write"), nil)
	f.AddEnvironment(jsii.String("REMOTE_WRITE_SIGV4"), jsii.String("true"), nil)
	f.Allow([]string{"aps:RemoteWrite"}, m.Workspace.AttrArn())
}
