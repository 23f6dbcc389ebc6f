package stacks_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/insighthub/insighthub/cdk/config"
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

// checkRecords looks at what protects the audit's bucket from who may delete.
func checkRecords(t *testing.T, a assembly, stage config.StageName) {
	t.Helper()
	for _, b := range a.ofType("AWS::S3::Bucket") {
		locked := b.Properties["ObjectLockEnabled"] != nil || b.Properties["ObjectLockConfiguration"] != nil
		if audits := strings.HasPrefix(b.ID, "Audit/"); locked != audits {
			t.Errorf("%s: locked %t", b.ID, locked)
		}
		if !locked {
			continue
		}
		want := map[config.StageName]string{
			config.Dev:     `{"DefaultRetention":{"Days":1,"Mode":"GOVERNANCE"}}`,
			config.Staging: `{"DefaultRetention":{"Days":30,"Mode":"GOVERNANCE"}}`,
			config.Prod:    `{"DefaultRetention":{"Days":365,"Mode":"COMPLIANCE"}}`,
		}[stage]
		lock, _ := b.Properties["ObjectLockConfiguration"].(map[string]any)
		if b.Properties["ObjectLockEnabled"] != true || lock["ObjectLockEnabled"] != "Enabled" || text(lock["Rule"]) != want ||
			text(b.Properties["VersioningConfiguration"]) != `{"Status":"Enabled"}` {
			t.Errorf("%s: %s, versions %v, want %s", b.ID, text(lock), b.Properties["VersioningConfiguration"], want)
		}
		// Nothing that is to stay expires.
		rules := text(b.Properties["LifecycleConfiguration"])
		if strings.Count(rules, `"Prefix"`) != 1 || !strings.Contains(rules, `"Prefix":"audit-reports/"`) || !strings.Contains(rules, `"ExpirationInDays":400`) {
			t.Errorf("%s: %s", b.ID, rules)
		}
	}
	for _, p := range a.ofType("AWS::S3::BucketPolicy") {
		if !strings.HasPrefix(p.ID, "Audit/") {
			continue
		}
		statement := regexp.MustCompile(`\{"Action":\["s3:DeleteObject","s3:DeleteObjectVersion"\],"Effect":"Deny","Principal":\{"AWS":"\*"\},"Resource":\[.*?audit-anchors/\*.*?audit-keys/\*`)
		if !statement.MatchString(text(p.Properties)) {
			t.Errorf("what was kept can be hidden: %s", text(p.Properties))
		}
	}
}
