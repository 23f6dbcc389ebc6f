package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/eventually"
)

// scheduleAudit adds the self-check, its bucket and its schedule to an assembly that has the
// functions behind the API.
func scheduleAudit(t *testing.T, assembly string) {
	t.Helper()
	type object = map[string]any
	file := filepath.Join(assembly, "Flow.template.json")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var template object
	if err := json.Unmarshal(raw, &template); err != nil {
		t.Fatal(err)
	}
	resources := template["Resources"].(object)
	issuer := resources["Authorizer"].(object)["Properties"].(object)["Environment"].(object)["Variables"].(object)
	resources["Records"] = object{"Type": "AWS::S3::Bucket", "Properties": object{}}
	resources["Audit"] = object{
		"Type": "AWS::Lambda::Function", "Metadata": object{"insighthub:package": "functions/audit"},
		"Properties": object{
			"Runtime": "provided.al2023", "Role": "arn:aws:iam::000000000000:role/r", "MemorySize": 512, "Timeout": 60,
			"Environment": object{"Variables": object{
				"INSIGHTHUB_FUNCTION": "audit", "API_URL": issuer["TOKEN_ISSUER"], "AUDIT_BUCKET": object{"Ref": "Records"},
				"FAILURE_BUCKET": object{"Fn::ImportValue": "Data:Bucket"}, "STATE_BUCKET": object{"Fn::ImportValue": "Data:States"},
				"PROMETHEUS_URL": object{"Fn::ImportValue": "Data:MetricsEndpoint"}, "PROMETHEUS_SIGV4": "true",
				"TOKEN_ISSUER": issuer["TOKEN_ISSUER"], "TOKEN_AUDIENCE": issuer["TOKEN_AUDIENCE"], "SIGNING_KEYS": issuer["SIGNING_KEYS"],
				"METRICS_INTERVAL_SECONDS": issuer["METRICS_INTERVAL_SECONDS"], "REMOTE_WRITE_URL": issuer["REMOTE_WRITE_URL"],
				"REMOTE_WRITE_SIGV4": "true",
			}},
		},
	}
	resources["AuditSchedule"] = object{"Type": "AWS::Events::Rule", "Properties": object{
		"ScheduleExpression": "rate(1 hour)", "Targets": []any{object{
			"Id":  "Audit",
			"Arn": object{"Fn::GetAtt": []string{"Audit", "Arn"}},
		}},
	}}
	if raw, err = json.Marshal(template); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// auditIt runs the audit against the whole stack, as its command and as its function:
// nothing fails; and when somebody has written to the trail past the platform, that does.
func auditIt(t *testing.T, s *Stack, cfg Config) {
	t.Helper()
	command := func(args ...string) (int, string) {
		cmd := exec.CommandContext(t.Context(), filepath.Join(cfg.Functions, "audit", "bootstrap"),
			append([]string{"run", "-state", cfg.State}, args...)...)
		out, _ := cmd.CombinedOutput()
		return cmd.ProcessState.ExitCode(), string(out)
	}
	// On a slow machine a stack may have a backlog after its start, which fails the self-check.
	repeat := func(what string, audit func() (bool, string)) {
		t.Helper()
		eventually.NoError(t, what, func() error {
			good, out := audit()
			if good {
				return nil
			}
			time.Sleep(2 * time.Second)
			return errors.New(out)
		})
	}
	repeat("the self-check", func() (bool, string) {
		code, out := command()
		return code == 0 && strings.Contains(out, ", 0 fail in "), fmt.Sprintf("exit code %d:\n%s", code, out)
	})
	event, err := scheduledEvent(s.plan.Schedules[0], s.plan.Account, s.plan.Region, s.cfg.Now())
	if err != nil {
		t.Fatal(err)
	}
	repeat("the scheduled self-check", func() (bool, string) {
		result, err := program(t, s, "audit").Invoke(t.Context(), event)
		return err == nil && result.FunctionError == "" && strings.Contains(string(result.Payload), `"fail":0`),
			fmt.Sprintf("%s %v", result.Payload, err)
	})
	conn, err := pgx.Connect(t.Context(), cfg.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	set := func(object string) {
		_, err := conn.Exec(t.Context(), `ALTER TABLE trail DISABLE TRIGGER ALL;
			UPDATE trail SET object = '`+object+`' || substr(object, 2) WHERE seq = 2;
			ALTER TABLE trail ENABLE TRIGGER ALL`)
		if err != nil {
			t.Fatal(err)
		}
	}
	var first string
	if err := conn.QueryRow(t.Context(), "SELECT substr(object, 1, 1) FROM trail WHERE seq = 2").Scan(&first); err != nil {
		t.Fatal(err)
	}
	set("#")
	if code, out := command("-signed"); code != 1 || !strings.Contains(out, "entry 2:") {
		t.Errorf("self-check of a changed trail: got exit code %d, want 1 and entry 2:\n%s", code, out)
	}
	set(first)
	repeat("the self-check of the restored trail", func() (bool, string) {
		code, out := command("-signed")
		return code == 0, fmt.Sprintf("exit code %d:\n%s", code, out)
	})
}
