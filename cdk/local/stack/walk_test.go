package stack

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/insighthub/insighthub/docs/contracttest"
)

// serveAPI adds the functions behind the API to an assembly, and their routes.
func serveAPI(t *testing.T, assembly string) {
	t.Helper()
	file := filepath.Join(assembly, "Flow.template.json")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var template struct {
		Resources map[string]any
		Outputs   map[string]any `json:",omitempty"`
	}
	if err := json.Unmarshal(raw, &template); err != nil {
		t.Fatal(err)
	}
	type object = map[string]any
	variables := func(name string) object {
		return template.Resources[name].(object)["Properties"].(object)["Environment"].(object)["Variables"].(object)
	}
	issuer := variables("Authorizer")
	add := func(id, name string, environment object) {
		environment["INSIGHTHUB_FUNCTION"], environment["INSIGHTHUB_STAGE"], environment["LOG_LEVEL"] = name, "dev", "info"
		for _, metrics := range []string{"METRICS_INTERVAL_SECONDS", "REMOTE_WRITE_URL", "REMOTE_WRITE_SIGV4"} {
			environment[metrics] = issuer[metrics]
		}
		environment["DATABASE_SECRET_ARN"] = object{"Fn::ImportValue": "Data:DatabaseRole" + strings.ToUpper(name[:1]) + name[1:]}
		template.Resources[id] = object{
			"Type": "AWS::Lambda::Function", "Metadata": object{"insighthub:package": "functions/" + name},
			"Properties": object{
				"Runtime": "provided.al2023", "Role": "arn:aws:iam::000000000000:role/r", "MemorySize": 512, "Timeout": 20,
				"Environment": object{"Variables": environment},
			},
		}
		template.Resources[id+"Integration"] = object{"Type": "AWS::ApiGatewayV2::Integration", "Properties": object{
			"ApiId": object{"Ref": "Api"}, "IntegrationType": "AWS_PROXY", "PayloadFormatVersion": "2.0",
			"IntegrationUri": object{"Fn::GetAtt": []string{id, "Arn"}},
		}}
	}
	add("Access", "access", object{
		"TOKEN_ISSUER": issuer["TOKEN_ISSUER"], "TOKEN_AUDIENCE": issuer["TOKEN_AUDIENCE"], "SIGNING_KEYS": issuer["SIGNING_KEYS"],
		"STATE_BUCKET": object{"Fn::ImportValue": "Data:States"},
	})
	add("Resources", "api", object{
		"EXPORT_BUCKET": object{"Fn::ImportValue": "Data:Bucket"}, "PROMETHEUS_URL": object{"Fn::ImportValue": "Data:MetricsEndpoint"},
		"PROMETHEUS_SIGV4": "true", "STATE_BUCKET": object{"Fn::ImportValue": "Data:States"},
	})
	for _, key := range contracttest.Open(t).OpenOperations() {
		target := "Access"
		if strings.HasSuffix(key, ".yaml") || strings.HasSuffix(key, "/docs") {
			target = "Resources"
		}
		template.Resources["Route"+key] = object{"Type": "AWS::ApiGatewayV2::Route", "Properties": object{
			"ApiId": object{"Ref": "Api"}, "RouteKey": key, "AuthorizationType": "NONE",
			"Target": object{"Fn::Join": []any{"/", []any{"integrations", object{"Ref": target + "Integration"}}}},
		}}
	}
	template.Resources["RouteRest"] = object{"Type": "AWS::ApiGatewayV2::Route", "Properties": object{
		"ApiId": object{"Ref": "Api"}, "RouteKey": "ANY /v1/{path+}", "AuthorizationType": "CUSTOM", "AuthorizerId": object{"Ref": "Guard"},
		"Target": object{"Fn::Join": []any{"/", []any{"integrations", object{"Ref": "ResourcesIntegration"}}}},
	}}
	if raw, err = json.Marshal(template); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// walkThrough runs the commands of docs/API_CONTRACTS.md against the stack of a state folder.
func walkThrough(t *testing.T, state string) {
	t.Helper()
	document, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "API_CONTRACTS.md"))
	if err != nil {
		t.Error(err)
		return
	}
	script := "set -eu -o pipefail\n"
	blocks := regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(string(document), -1)
	for _, block := range blocks {
		script += block[1]
	}
	dir := t.TempDir()
	if err := os.Symlink(state, filepath.Join(dir, ".local")); err != nil {
		t.Error(err)
		return
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("docs/API_CONTRACTS.md: %v\n%s", err, out)
	}
	for _, want := range []string{
		`"status":412`, `"value":71.25`, `press-1,temperature`, `"unit":"Cel"`, `"inherited":false`, `"kind":"threshold"`,
		`"action":"site.create"`, `"action":"gateway.register"`, `"action":"kpi_config.set"`, `"action":"alarm_rule.create"`,
		`"action":"export.create"`,
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("docs/API_CONTRACTS.md: the output does not have %s\n%s", want, out)
		}
	}
	if len(blocks) < 10 {
		t.Errorf("docs/API_CONTRACTS.md: got %d blocks, want at least 10", len(blocks))
	}
}
