package stacks_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/insighthub/insighthub/cdk/config"
)

// checkAudit checks the schedule and the permissions of the self-check.
func checkAudit(t *testing.T, a assembly) {
	t.Helper()
	rule := resource{}
	for _, r := range a.ofType("AWS::Events::Rule") {
		if strings.HasPrefix(r.ID, "Audit/") {
			rule = r
		}
	}
	if rule.Properties["ScheduleExpression"] != "rate(1 hour)" || !strings.Contains(text(rule.Properties["Targets"]), "AuditFunction") {
		t.Errorf("schedule %v, want rate(1 hour) of the audit function", rule.Properties)
	}
	for _, policy := range a.ofType("AWS::IAM::Policy") {
		if !strings.HasPrefix(policy.ID, "Audit/") {
			continue
		}
		document := text(policy.Properties["PolicyDocument"])
		for _, what := range []string{"s3:DeleteObject", "kinesis:", "secretsmanager:", "dynamodb:"} {
			if strings.Contains(document, what) {
				t.Errorf("the self-check may %s: %s", what, document)
			}
		}
		// It writes to its own bucket, below four prefixes, and receipts of archived months for
		// the roll-up.
		writes := regexp.MustCompile(`\{"Action":"s3:PutObject".*?\}\]\}|\{"Action":"s3:PutObject".*`)
		for _, statement := range writes.FindAllString(document, -1) {
			statement, _, _ = strings.Cut(statement, `"Action":"s3:GetObject"`)
			if strings.Contains(statement, "Failures") || strings.Count(statement, "States") != 1 ||
				!strings.Contains(statement, "/trail-archived/*") || strings.Count(statement, "/audit-") != 4 {
				t.Errorf("the self-check may write %s, want four prefixes of its own bucket and the receipts", statement)
			}
		}
	}
	found := false
	const once = `"Action":"s3:PutObject","Condition":{"Null":{"s3:if-none-match":"true"}},"Effect":"Deny"`
	for _, p := range a.ofType("AWS::S3::BucketPolicy") {
		found = found || strings.HasPrefix(p.ID, "Audit/") && strings.Contains(text(p.Properties), once)
	}
	if !found {
		t.Error("no bucket policy denies replacing an object")
	}
}

// checkRecords checks the object lock, lifecycle and policy of the self-check's bucket.
func checkRecords(t *testing.T, a assembly, stage config.StageName) {
	t.Helper()
	for _, b := range a.ofType("AWS::S3::Bucket") {
		locked := b.Properties["ObjectLockEnabled"] != nil || b.Properties["ObjectLockConfiguration"] != nil
		if audits := strings.HasPrefix(b.ID, "Audit/"); locked != audits {
			t.Errorf("%s: locked %t, want %t", b.ID, locked, audits)
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
			t.Errorf("%s: lock %s, versioning %v; want %s and versioning", b.ID, text(lock), b.Properties["VersioningConfiguration"], want)
		}
		// Only reports expire.
		rules := text(b.Properties["LifecycleConfiguration"])
		if strings.Count(rules, `"Prefix"`) != 1 || !strings.Contains(rules, `"Prefix":"audit-reports/"`) ||
			!strings.Contains(rules, `"ExpirationInDays":400`) {
			t.Errorf("%s: lifecycle %s, want one rule for reports of 400 days", b.ID, rules)
		}
	}
	for _, p := range a.ofType("AWS::S3::BucketPolicy") {
		if !strings.HasPrefix(p.ID, "Audit/") {
			continue
		}
		denied := regexp.MustCompile(`\{"Action":\["s3:DeleteObject","s3:DeleteObjectVersion"\],"Effect":"Deny",` +
			`"Principal":\{"AWS":"\*"\},"Resource":\[.*?audit-anchors/\*.*?audit-keys/\*`)
		if !denied.MatchString(text(p.Properties)) {
			t.Errorf("bucket policy %s, want it to deny deleting heads and keys", text(p.Properties))
		}
	}
}
