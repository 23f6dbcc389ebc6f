package stacks_test

import (
	"regexp"
	"strings"
	"testing"
)

// checkDetect checks the environment and permissions that the detector alone has.
func checkDetect(t *testing.T, a assembly) {
	t.Helper()
	id := busOf(t, a, "Telemetry")
	env := environment(a.functions()["detect"])
	if got := text(env["EVENT_BUS"]); got != `{"Ref":"`+id+`"}` || env["MAX_SERIES"] != "20000" {
		t.Errorf("environment %v, want the bus and 20,000 series", env)
	}
	has := map[string]bool{}
	for _, policy := range a.ofType("AWS::IAM::Policy") {
		document := text(policy.Properties["PolicyDocument"])
		if !strings.HasPrefix(policy.ID, "Telemetry/Detect") {
			if strings.Contains(document, "shardstate/detect") || strings.Contains(document, id) ||
				strings.Contains(document, "events:") && !strings.HasPrefix(policy.ID, "Api/Authorizer") {
				t.Errorf("%s has a permission of the detector: %s", policy.ID, document)
			}
			continue
		}
		for _, want := range []string{
			`"Action":\["s3:GetObject","s3:PutObject"\],"Effect":"Allow",` +
				`"Resource":\{"Fn::Join":\["",\[\{"Fn::ImportValue":"[^"]*States[^"]*Arn[^"]*"\},"/shardstate/detect/\*"`,
			`"Action":"events:PutEvents","Effect":"Allow","Resource":\{"Fn::GetAtt":\["` + id + `","Arn"\]\}`,
			`"kinesis:ListShards"`,
			`"secretsmanager:GetSecretValue"`,
		} {
			has[want] = has[want] || regexp.MustCompile(want).MatchString(document)
		}
	}
	for want, ok := range has {
		if !ok {
			t.Errorf("the detector's policy lacks %s", want)
		}
	}
	if len(has) == 0 {
		t.Error("the detector has no policy")
	}
}

// checkCriticalMail checks that critical anomalies, and no others, reach the topic of the
// alarms.
func checkCriticalMail(t *testing.T, a assembly) {
	t.Helper()
	var rule resource
	for _, r := range a.ofType("AWS::Events::Rule") {
		if strings.HasPrefix(r.ID, "Telemetry/CriticalAnomalies") {
			rule = r
		}
	}
	want := `{"detail":{"severity":["critical"]},"detail-type":["anomaly"],"source":["insighthub.detect"]}`
	if got := text(rule.Properties["EventPattern"]); got != want {
		t.Errorf("pattern %s, want %s", got, want)
	}
	if targets := text(rule.Properties["Targets"]); !strings.Contains(targets, "InsightHub-Prod-Monitoring:ExportsOutputRefAlarms") {
		t.Errorf("targets %s, want the topic of the alarms", targets)
	}
}
