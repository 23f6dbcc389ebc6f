package stacks_test

import (
	"regexp"
	"strings"
	"testing"
)

// checkAudit looks at when the audit runs, and at what it may do.
func checkAudit(t *testing.T, a assembly) {
	t.Helper()
	rule := resource{}
	for _, r := range a.ofType("AWS::Events::Rule") {
		if strings.HasPrefix(r.ID, "Audit/") {
			rule = r
		}
	}
	if rule.Properties["ScheduleExpression"] != "rate(1 hour)" || !strings.Contains(text(rule.Properties["Targets"]), "AuditFunction") {
		t.Errorf("the schedule is %v", rule.Properties)
	}
	for _, policy := range a.ofType("AWS::IAM::Policy") {
		if !strings.HasPrefix(policy.ID, "Audit/") {
			continue
		}
		document := text(policy.Properties["PolicyDocument"])
		for _, what := range []string{"s3:DeleteObject", "kinesis:", "secretsmanager:", "dynamodb:"} {
			if strings.Contains(document, what) {
				t.Errorf("the audit may %s: %s", what, document)
			}
		}
		// It writes to its own bucket only, below three prefixes.
		for _, statement := range regexp.MustCompile(`\{"Action":"s3:PutObject".*?\}\]\}|\{"Action":"s3:PutObject".*`).FindAllString(document, -1) {
			statement, _, _ = strings.Cut(statement, `"Action":"s3:GetObject"`)
			if strings.Contains(statement, "Failures") || strings.Contains(statement, "States") || strings.Count(statement, "/audit-") != 3 {
				t.Errorf("the audit may write: %s", statement)
			}
		}
	}
	found := false
	for _, p := range a.ofType("AWS::S3::BucketPolicy") {
		found = found || strings.HasPrefix(p.ID, "Audit/") &&
			regexp.MustCompile(`"Action":"s3:PutObject","Condition":\{"Null":\{"s3:if-none-match":"true"\}\},"Effect":"Deny"`).MatchString(text(p.Properties))
	}
	if !found {
		t.Error("what was kept can be replaced")
	}
}
