package stacks_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/stacks"
)

// TestAlarms checks that whatever can fail has an alarm, and that each alarm notifies people
// when it starts and when it ends.
func TestAlarms(t *testing.T) {
	for _, name := range []config.StageName{config.Dev, config.Staging, config.Prod} {
		t.Run(string(name), func(t *testing.T) {
			s := stage(t, name)
			s.AlarmTopicARN = "arn:aws:sns:eu-central-1:123456789012:incidents"
			a := synthesiseWith(t, s)
			checkAlarmActions(t, a, 2)
			checkWatched(t, a, s)
			if n := len(a.ofType("AWS::SNS::Subscription")); n != 1 {
				t.Errorf("%d subscriptions, want that of the e-mail address", n)
			}
		})
	}
}

// checkAlarmActions checks that each alarm notifies n topics in both directions.
func checkAlarmActions(t *testing.T, a assembly, n int) {
	t.Helper()
	for _, alarm := range a.ofType("AWS::CloudWatch::Alarm") {
		topics := func(property string) (found int) {
			for _, action := range list(alarm.Properties[property]) {
				if s := text(action); strings.Contains(s, ":sns:") || strings.Contains(s, "ExportsOutputRefAlarms") {
					found++
				}
			}
			return found
		}
		if topics("AlarmActions") != n || topics("OKActions") != n {
			t.Errorf("%s: actions %s and %s, want %d topics in each", alarm.ID,
				text(alarm.Properties["AlarmActions"]), text(alarm.Properties["OKActions"]), n)
		}
		if description, _ := alarm.Properties["AlarmDescription"].(string); strings.Count(description, ".") < 2 {
			t.Errorf("%s: description %q, want what has happened and what to do", alarm.ID, description)
		}
	}
}

// checkWatched checks that every function, schedule, queue, stream, machine, gateway and API
// has its alarms.
func checkWatched(t *testing.T, a assembly, s config.Stage) {
	t.Helper()
	metrics := map[string]string{} // of all alarms, by metric: their dimensions
	for _, alarm := range a.ofType("AWS::CloudWatch::Alarm") {
		name, _ := alarm.Properties["MetricName"].(string)
		part, _, _ := strings.Cut(alarm.ID, "/")
		metrics[name] += part + " " + text(alarm.Properties["Dimensions"]) + "\n"
	}
	want := func(r resource, names ...string) {
		t.Helper()
		part, id, _ := strings.Cut(r.ID, "/")
		for _, name := range names {
			if !regexp.MustCompile(`(?m)^` + part + ` .*"` + id + `"`).MatchString(metrics[name]) {
				t.Errorf("%s: no alarm of %s", r.ID, name)
			}
		}
	}
	scheduled := ""
	for _, rule := range a.ofType("AWS::Events::Rule") {
		if rule.Properties["ScheduleExpression"] != nil {
			scheduled += text(rule.Properties["Targets"])
		}
	}
	for name, f := range a.functions() {
		want(f, "Errors", "Throttles")
		if s.Functions()[name].ReservedConcurrency >= 4 {
			want(f, "ConcurrentExecutions")
		}
		if _, id, _ := strings.Cut(f.ID, "/"); strings.Contains(scheduled, `"`+id+`"`) {
			want(f, "Invocations")
		}
	}
	for _, m := range a.ofType("AWS::Lambda::EventSourceMapping") {
		for _, f := range a.functions() {
			if _, id, _ := strings.Cut(f.ID, "/"); strings.Contains(text(m.Properties["FunctionName"]), `"`+id+`"`) {
				want(f, "IteratorAge")
			}
		}
	}
	for kind, names := range map[string][]string{
		"AWS::SQS::Queue":                           {"ApproximateNumberOfMessagesVisible"},
		"AWS::Kinesis::Stream":                      {"PutRecords.ThrottledRecords", "ReadProvisionedThroughputExceeded"},
		"AWS::EC2::Instance":                        {"StatusCheckFailed_System", "StatusCheckFailed_Instance"},
		"AWS::EC2::NatGateway":                      {"ErrorPortAllocation"},
		"AWS::ApiGatewayV2::Api":                    {"5xx", "Latency"},
		"AWS::AutoScaling::AutoScalingGroup":        {"StatusCheckFailed", "CPUUtilization"},
		"AWS::ElastiCache::ReplicationGroup":        {"EngineCPUUtilization", "DatabaseMemoryUsagePercentage"},
		"AWS::ECS::Service":                         {"CPUUtilization", "MemoryUtilization"},
		"AWS::ElasticLoadBalancingV2::LoadBalancer": {"HealthyHostCount"},
	} {
		found := a.ofType(kind)
		live := kind == "AWS::ECS::Service" || strings.HasPrefix(kind, "AWS::ElasticLoadBalancingV2::")
		if live != (s.Live.Deployed() && live) && len(found) > 0 {
			t.Errorf("%s without a domain", kind)
		}
		if len(found) == 0 && kind != "AWS::EC2::Instance" && kind != "AWS::EC2::NatGateway" && live == s.Live.Deployed() {
			t.Errorf("no %s", kind)
		}
		for _, r := range found {
			want(r, names...)
		}
	}
	for _, name := range []string{"VolumeUsedPercent", "RootUsedPercent", "MemoryUsedPercent", "Connections", "CertificateDays"} {
		if !strings.Contains(metrics[name], `"`+string(s.Name)+`"`) {
			t.Errorf("no alarm of the database's %s in %s", name, s.Name)
		}
	}
	if burst := metrics["CPUCreditBalance"] != ""; burst != strings.HasPrefix(s.Database.InstanceType, "t") {
		t.Errorf("alarm of processor credits: %t with %s", burst, s.Database.InstanceType)
	}
}

// TestRecovery checks that AWS repairs a NAT machine without a person.
func TestRecovery(t *testing.T) {
	a := synthesiseWith(t, stage(t, config.Dev))
	actions := ""
	for _, alarm := range a.ofType("AWS::CloudWatch::Alarm") {
		if strings.Contains(alarm.ID, "NAT") {
			actions += text(alarm.Properties["AlarmActions"])
		}
	}
	for _, action := range []string{":ec2:recover", ":ec2:reboot"} {
		if !strings.Contains(actions, action) {
			t.Errorf("actions of the NAT machine's alarms %s, want %s", actions, action)
		}
	}
}

// TestAlarmTarget checks that staging and prod are not synthesised when alarms would reach
// nobody, and that the address can come from outside of the repository.
func TestAlarmTarget(t *testing.T) {
	for _, name := range []config.StageName{config.Staging, config.Prod} {
		s := stage(t, name)
		s.AlarmEmail = ""
		_, err := stacks.NewPlatform(nil, stacks.Props{Stage: s})
		if err == nil || !strings.Contains(err.Error(), "INSIGHTHUB_ALARM_EMAIL") {
			t.Errorf("%s without a target: error %v, want one that says how to set it", name, err)
		}
	}
	for _, s := range config.Stages() {
		if s.AlarmEmail != "" {
			t.Errorf("%s: the repository contains the address %q", s.Name, s.AlarmEmail)
		}
	}
	out := t.TempDir()
	err := stacks.Assembly{
		Stage: "prod", Out: out, Functions: builtFunctions(t), Rules: rulesDir, Settings: "../../cdk.json",
		Getenv: func(name string) string {
			return map[string]string{"INSIGHTHUB_ALARM_EMAIL": "operations@example.com"}[name]
		},
	}.Synthesise()
	if err != nil {
		t.Fatal(err)
	}
	if endpoint := readAssembly(t, out).one(t, "AWS::SNS::Subscription").Properties["Endpoint"]; endpoint != "operations@example.com" {
		t.Errorf("subscription of %v, want the address of the environment", endpoint)
	}
}

// TestTopicPolicy checks that the services that notify may publish: a topic with a policy
// of its own lacks the default one.
func TestTopicPolicy(t *testing.T) {
	a := synthesiseWith(t, stage(t, config.Prod))
	for _, p := range a.ofType("AWS::SNS::TopicPolicy") {
		policy := text(p.Properties["PolicyDocument"])
		for _, service := range []string{"cloudwatch", "events", "aps"} {
			if !strings.Contains(policy, `"Service":"`+service+`.amazonaws.com"`) {
				t.Errorf("%s: %s may not publish: %s", p.ID, service, policy)
			}
		}
		if strings.Count(policy, "aws:SourceAccount") != 3 || strings.Count(policy, "aws:SourceArn") != 3 {
			t.Errorf("%s: %s, want conditions on the source's account and ARN", p.ID, policy)
		}
	}
}

// TestAlertmanager reads the definition of the workspace's Alertmanager as Alertmanager does,
// and writes a notification with its template.
func TestAlertmanager(t *testing.T) {
	a := synthesiseWith(t, stage(t, config.Prod))
	parts, _ := a.one(t, "AWS::APS::Workspace").Properties["AlertManagerDefinition"].(map[string]any)
	var definition struct {
		Templates map[string]string `yaml:"template_files"`
		Config    string            `yaml:"alertmanager_config"`
	}
	if err := yaml.Unmarshal([]byte(joined(parts)), &definition); err != nil {
		t.Fatal(err)
	}
	type route struct {
		Receiver string
		Matchers []string
		GroupBy  []string `yaml:"group_by"`
		Routes   []route
	}
	var c struct {
		Templates []string
		Route     route
		Receivers []struct {
			Name string
			SNS  []struct {
				Topic    string `yaml:"topic_arn"`
				Resolved bool   `yaml:"send_resolved"`
				SigV4    struct{ Region string }
				Subject  string
				Message  string
			} `yaml:"sns_configs"`
		}
	}
	if err := yaml.Unmarshal([]byte(definition.Config), &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Receivers) != 1 || len(c.Receivers[0].SNS) != 1 {
		t.Fatalf("receivers %+v, want one with one topic", c.Receivers)
	}
	sns := c.Receivers[0].SNS[0]
	if !strings.HasPrefix(sns.Topic, "<Alarms") || sns.SigV4.Region != "<AWS::Region>" || !sns.Resolved {
		t.Errorf("receiver %+v, want the stage's topic, signatures and resolved alerts", sns)
	}
	for _, r := range append(c.Route.Routes, c.Route) {
		if r.Receiver != c.Receivers[0].Name {
			t.Errorf("route to %q, want %q", r.Receiver, c.Receivers[0].Name)
		}
	}
	for _, severity := range severities(t) {
		if !slices.Contains([]string{"critical", "warning"}, severity) {
			t.Errorf("a rule has the severity %q, which has no route of its own", severity)
		}
	}
	if diff := cmp.Diff([]string{`severity="critical"`}, c.Route.Routes[0].Matchers); diff != "" {
		t.Errorf("matchers (-want +got):\n%s", diff)
	}
	type alert struct {
		Status, StartsAt    string
		Labels, Annotations map[string]string
	}
	notification := struct {
		Status       string
		CommonLabels map[string]string
		Alerts       []alert
	}{"firing", map[string]string{"alertname": "GatewaySilent", "site": "plant-1"}, []alert{{
		Status: "firing", StartsAt: "2026-11-30 12:00", Labels: map[string]string{"severity": "critical"},
		Annotations: map[string]string{"summary": "gw-1 is silent", "description": "No event arrived."},
	}}}
	texts := template.New("").Funcs(template.FuncMap{"toUpper": strings.ToUpper})
	for _, name := range c.Templates {
		template.Must(texts.Parse(definition.Templates[name]))
	}
	var subject, message strings.Builder
	if err := template.Must(texts.New("s").Parse(sns.Subject)).Execute(&subject, notification); err != nil {
		t.Fatal(err)
	}
	if err := template.Must(texts.New("m").Parse(sns.Message)).Execute(&message, notification); err != nil {
		t.Fatal(err)
	}
	// SNS: at most 100 characters of ASCII without line ends.
	if subject.String() != "FIRING GatewaySilent plant-1" {
		t.Errorf("subject %q", subject.String())
	}
	want := "FIRING critical: gw-1 is silent\nNo event arrived.\nsince 2026-11-30 12:00\n\nWhat to do: docs/RUNBOOK.md"
	if !strings.Contains(message.String(), want) {
		t.Errorf("message %q, want %q", message.String(), want)
	}
}

// joined returns a text with its references as <id>.
func joined(join map[string]any) string {
	arguments, _ := join["Fn::Join"].([]any)
	var b strings.Builder
	for _, part := range list(arguments[1]) {
		if reference, ok := part.(map[string]any); ok {
			fmt.Fprintf(&b, "<%v>", reference["Ref"])
		} else {
			fmt.Fprint(&b, part)
		}
	}
	return b.String()
}

type alertRule struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

func alertRules(t *testing.T) []alertRule {
	t.Helper()
	raw, err := os.ReadFile(rulesDir + "/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Groups []struct{ Rules []alertRule } }
	if err := yaml.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	var rules []alertRule
	for _, g := range file.Groups {
		rules = append(rules, g.Rules...)
	}
	return rules
}

func severities(t *testing.T) (all []string) {
	t.Helper()
	for _, r := range alertRules(t) {
		all = append(all, r.Labels["severity"])
	}
	return all
}

// TestRunbook compares the tables of docs/RUNBOOK.md with the alarms of the templates and
// the alerts of the rules (-update writes them).
func TestRunbook(t *testing.T) {
	var b strings.Builder
	b.WriteString("## Alarms of CloudWatch\n| alarm | condition | what it means, what to do |\n| --- | --- | --- |\n")
	rows := map[string]bool{}
	for _, name := range []config.StageName{config.Dev, config.Prod} {
		for _, alarm := range synthesiseWith(t, stage(t, name)).ofType("AWS::CloudWatch::Alarm") {
			part, id, _ := strings.Cut(alarm.ID, "/")
			id = regexp.MustCompile(`^Alarms(\w+?)[0-9A-F]{8}$`).ReplaceAllString(id, "$1")
			p := alarm.Properties
			statistic := p["Statistic"]
			if statistic == nil {
				statistic = p["ExtendedStatistic"]
			}
			sign := map[any]string{"GreaterThanThreshold": ">", "LessThanThreshold": "<"}[p["ComparisonOperator"]]
			minutes, _ := p["Period"].(float64)
			rows[fmt.Sprintf("| %s: %s | %v (%v) %s %v, %v × %v min | %v |\n", part, id, p["MetricName"], statistic, sign,
				p["Threshold"], p["EvaluationPeriods"], minutes/60, p["AlarmDescription"])] = true
		}
	}
	for _, row := range sortedRows(rows) {
		b.WriteString(row)
	}
	b.WriteString("\n## Alerts of Prometheus\n| alert | severity | after | what it means |\n| --- | --- | --- | --- |\n")
	for _, r := range alertRules(t) {
		labels := regexp.MustCompile(`\{\{ \$(labels\.)?(\w+)[^}]*\}\}`).ReplaceAllString(r.Annotations["summary"], "*$2*")
		fmt.Fprintf(&b, "| %s | %s | %s | %s. %s |\n", r.Alert, r.Labels["severity"], r.For, labels, r.Annotations["description"])
	}
	const path, start, end = "../../docs/RUNBOOK.md", "<!-- alarms: start -->\n", "<!-- alarms: end -->"
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(raw), start)
	table, after, ok := strings.Cut(rest, end)
	if !ok {
		t.Fatalf("%s lacks the lines %q and %q", path, start, end)
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+start+b.String()+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(table, "\n"), strings.Split(b.String(), "\n")); diff != "" {
		t.Errorf("docs/RUNBOOK.md (-document +templates; go test ./cdk/stacks -run TestRunbook -update):\n%s", diff)
	}
}

func sortedRows(rows map[string]bool) []string {
	all := make([]string, 0, len(rows))
	for row := range rows {
		all = append(all, row)
	}
	slices.Sort(all)
	return all
}
