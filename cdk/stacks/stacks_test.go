package stacks_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/constructs"
	"github.com/insighthub/insighthub/cdk/stacks"
)

func TestDev(t *testing.T) {
	a := synthesise(t, stage(t, config.Dev))
	t.Run("functions", func(t *testing.T) { checkFunctions(t, a) })
	t.Run("environment", func(t *testing.T) { checkEnvironment(t, a) })
	t.Run("store", func(t *testing.T) {
		checkConsumer(t, a, "Store", map[string]any{"BatchSize": 50.0, "MaximumBatchingWindowInSeconds": 0.0})
	})
	t.Run("bridge", func(t *testing.T) {
		checkConsumer(t, a, "Bridge", map[string]any{"BatchSize": 1000.0, "MaximumBatchingWindowInSeconds": 1.0})
		checkBridge(t, a)
	})
	t.Run("detect", func(t *testing.T) {
		checkConsumer(t, a, "Detect", map[string]any{"BatchSize": 2000.0, "MaximumBatchingWindowInSeconds": 3.0})
		checkDetect(t, a)
	})
	t.Run("clock", func(t *testing.T) { checkClock(t, a) })
	t.Run("order", func(t *testing.T) { checkOrder(t, a) })
	t.Run("api", func(t *testing.T) { checkAPI(t, a) })
	t.Run("capacity", func(t *testing.T) { checkCapacity(t, a, stage(t, config.Dev)) })
	t.Run("deny list", func(t *testing.T) { checkDenials(t, a) })
	t.Run("refusals", func(t *testing.T) { checkRefusals(t, a) })
	t.Run("tokens", func(t *testing.T) { checkTokens(t, a) })
	t.Run("privileges", func(t *testing.T) { checkPrivileges(t, a) })
	t.Run("storage", func(t *testing.T) { checkStorage(t, a, "Delete") })
	t.Run("states", func(t *testing.T) { checkStates(t, a, stage(t, config.Dev).Stream.Retention) })
	t.Run("zones", func(t *testing.T) { checkZones(t, a) })
	t.Run("monitoring", func(t *testing.T) { checkMonitoring(t, a, "Delete") })
	t.Run("audit", func(t *testing.T) {
		checkAudit(t, a)
		checkRecords(t, a, config.Dev)
	})
	t.Run("migrations", func(t *testing.T) { checkMigrations(t, a) })
	t.Run("roles", func(t *testing.T) { checkRoles(t, a) })
}

func TestStagingAndProd(t *testing.T) {
	for _, name := range []config.StageName{config.Staging, config.Prod} {
		t.Run(string(name), func(t *testing.T) {
			a := synthesise(t, stage(t, name))
			checkFunctions(t, a)
			checkCapacity(t, a, stage(t, name))
			checkPrivileges(t, a)
			checkStorage(t, a, "Retain")
			checkMonitoring(t, a, "Retain")
			checkZones(t, a)
			checkRecords(t, a, name)
			if n := len(a.ofType("AWS::DLM::LifecyclePolicy")); n != 1 {
				t.Errorf("%d backup policies, want 1", n)
			}
		})
	}
}

// TestPinnedStage gives a stage an account: the CDK must not look up or invent anything.
func TestPinnedStage(t *testing.T) {
	a := synthesise(t, pinnedStage(t))
	checkZones(t, a)
	if !strings.Contains(a.Raw["Data"], `"eu-central-1c"`) {
		t.Error("the template lacks the configured availability zones")
	}
	checkCriticalMail(t, a)
	checkAlarmActions(t, a, 1)
}

// TestExistingDatabase synthesises a stage with an existing database, which has no network
// and no instance.
func TestExistingDatabase(t *testing.T) {
	a := synthesise(t, existingDatabase(t))
	for _, r := range a.Resources {
		if strings.HasPrefix(r.ID, "Signaling/") {
			continue // its network is another one
		}
		if strings.HasPrefix(r.Type, "AWS::EC2::") || strings.HasPrefix(r.Type, "AWS::AutoScaling::") {
			t.Errorf("%s is a %s, want none", r.ID, r.Type)
		}
	}
	if got := environment(a.functions()["migrate"])["DATABASE_SECRET_ARN"]; got != existingSecret {
		t.Errorf("migrate: DATABASE_SECRET_ARN = %v, want %s", got, existingSecret)
	}
	checkRoles(t, a)
	fanOut := a.one(t, "AWS::Kinesis::StreamConsumer")
	_, id, _ := strings.Cut(fanOut.ID, "/")
	source := text(mappingOf(t, a, "Store").Properties["EventSourceArn"])
	if !strings.Contains(source, id) {
		t.Errorf("the mapping reads %s, want the consumer %s", source, id)
	}
	checkPrivileges(t, a)
}

func TestInvalidStage(t *testing.T) {
	s := stage(t, config.Dev)
	s.Store.BatchSize = 0
	s.Log.RetentionDays = 4
	_, err := stacks.NewPlatform(nil, stacks.Props{Stage: s})
	if err == nil || !strings.Contains(err.Error(), "batch size 0") || !strings.Contains(err.Error(), "retention of 4 days") {
		t.Errorf("NewPlatform: %v, want both problems", err)
	}
}

func TestNoRules(t *testing.T) {
	props := stacks.Props{Stage: existingDatabase(t), Functions: builtFunctions(t), Rules: os.DirFS(t.TempDir())}
	_, err := stacks.NewPlatform(awscdk.NewApp(nil), props)
	if err == nil || !strings.Contains(err.Error(), "rules: no *.yaml") {
		t.Errorf("NewPlatform: %v, want the rules missing", err)
	}
}

func TestFunctionsNotBuilt(t *testing.T) {
	err := stacks.Assembly{Functions: t.TempDir()}.Synthesise()
	if err == nil || !strings.Contains(err.Error(), "audit, authorizer, bridge, clock, detect, ingest, migrate, refusals, rollup, store") {
		t.Errorf("Synthesise: %v, want the names of the functions", err)
	}
}

func TestLogRetentionKnowsEveryPeriod(t *testing.T) {
	for _, days := range config.LogRetentionDays() {
		if constructs.LogRetention(days) == "" {
			t.Errorf("no period of %d days", days)
		}
	}
}

func checkFunctions(t *testing.T, a assembly) {
	t.Helper()
	found := a.functions()
	if diff := cmp.Diff(stacks.Functions(), slices.Sorted(maps.Keys(found))); diff != "" {
		t.Fatalf("functions (-want +got):\n%s", diff)
	}
	want := map[string]any{
		"Architectures": []any{"arm64"},
		"Runtime":       "provided.al2023",
		"Handler":       "bootstrap",
		"TracingConfig": map[string]any{"Mode": "Active"},
	}
	for name, f := range found {
		got := map[string]any{}
		for key := range want {
			got[key] = f.Properties[key]
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		logging := text(f.Properties["LoggingConfig"])
		if !strings.Contains(logging, `"LogFormat":"JSON"`) || !strings.Contains(logging, `"LogGroup"`) {
			t.Errorf("%s logs as %s, want JSON to a group of its own", name, logging)
		}
		env := environment(f)
		if env["INSIGHTHUB_FUNCTION"] != name || env["INSIGHTHUB_STAGE"] == nil || env["LOG_LEVEL"] == nil {
			t.Errorf("%s: environment %v", name, env)
		}
	}
	for _, group := range a.ofType("AWS::Logs::LogGroup") {
		if group.Properties["RetentionInDays"] == nil {
			t.Errorf("%s: no retention", group.ID)
		}
	}
}

// workspaceURL matches the workspace's remote-write URL.
var workspaceURL = regexp.MustCompile(
	`^\{"Fn::Join":\["",\[\{"Fn::ImportValue":"[^"]*WorkspacePrometheusEndpoint[^"]*"\},"api/v1/remote_write"\]\]\}$`)

func checkEnvironment(t *testing.T, a assembly) {
	t.Helper()
	want := map[string][]string{
		"access": {
			"DATABASE_CONNECTIONS", "DATABASE_SECRET_ARN", "SIGNING_KEYS", "STATE_BUCKET", "TOKEN_AUDIENCE", "TOKEN_ISSUER",
			"TRUSTED_ISSUERS",
		},
		"api": {
			"DATABASE_CONNECTIONS", "DATABASE_SECRET_ARN", "EXPORT_BUCKET", "PROMETHEUS_SIGV4", "PROMETHEUS_URL", "STATE_BUCKET",
			"TURN_SECRET_ARN",
		},
		"audit": {
			"API_URL", "AUDIT_BUCKET", "FAILURE_BUCKET", "LATENCY_BUDGET_MS", "PROMETHEUS_SIGV4", "PROMETHEUS_URL",
			"SIGNING_KEYS", "STATE_BUCKET", "TOKEN_AUDIENCE", "TOKEN_ISSUER", "TRAIL_MONTHS",
		},
		"authorizer": {"EVENT_BUS", "SIGNING_KEYS", "STATE_BUCKET", "TOKEN_AUDIENCE", "TOKEN_ISSUER", "TRUSTED_ISSUERS"},
		"bridge":     {"DATABASE_CONNECTIONS", "DATABASE_SECRET_ARN", "LATENESS_SECONDS", "STATE_BUCKET", "STREAM_NAME", "WINDOW_SECONDS"},
		"clock":      {"STREAM_NAME"},
		"detect":     {"DATABASE_CONNECTIONS", "DATABASE_SECRET_ARN", "EVENT_BUS", "MAX_SERIES", "STATE_BUCKET", "STREAM_NAME"},
		"ingest":     {"MAX_FUTURE_SECONDS", "MAX_INFLATED_BYTES", "RECORD_COMPRESSION", "RETENTION_DAYS", "STATE_BUCKET", "STREAM_NAME"},
		"migrate": {
			"ADMIN_SECRET_ARN", "DATABASE_SECRET_ARN", "ROLE_ACCESS_SECRET_ARN", "ROLE_API_SECRET_ARN",
			"ROLE_BRIDGE_SECRET_ARN", "ROLE_CONNECTIONS", "ROLE_DETECT_SECRET_ARN", "ROLE_REFUSALS_SECRET_ARN", "ROLE_ROLLUP_SECRET_ARN",
			"ROLE_STORE_SECRET_ARN",
		},
		"refusals": {"DATABASE_CONNECTIONS", "DATABASE_SECRET_ARN"},
		"rollup": {
			"DATABASE_CONNECTIONS", "DATABASE_SECRET_ARN", "RETENTION_ACCESS_DAYS", "RETENTION_EVENT_DAYS",
			"RETENTION_HOUR_DAYS", "RETENTION_MINUTE_DAYS",
			"STATE_BUCKET",
		},
		"store": {"DATABASE_CONNECTIONS", "DATABASE_SECRET_ARN", "FAILURE_BUCKET", "STATE_BUCKET"},
	}
	for name, f := range a.functions() {
		env := environment(f)
		for _, common := range []string{"GOMAXPROCS", "GOMEMLIMIT", "INSIGHTHUB_FUNCTION", "INSIGHTHUB_STAGE", "LOG_LEVEL"} {
			delete(env, common)
		}
		if url := text(env["REMOTE_WRITE_URL"]); !workspaceURL.MatchString(url) || env["REMOTE_WRITE_SIGV4"] != "true" {
			t.Errorf("%s writes to %s, want the workspace's address and signatures", name, url)
		}
		delete(env, "REMOTE_WRITE_URL")
		delete(env, "REMOTE_WRITE_SIGV4")
		if diff := cmp.Diff(want[name], slices.Sorted(maps.Keys(env))); diff != "" {
			t.Errorf("environment of %s (-want +got):\n%s", name, diff)
		}
	}
	for part, raw := range a.Raw {
		// Valkey has no other way to get its password; CloudFormation does not show it.
		want := map[string]int{"Signaling": 1}[part]
		if got := strings.Count(raw, "resolve:secretsmanager"); got != want {
			t.Errorf("%s: the template resolves the values of %d secrets, want %d", part, got, want)
		}
	}
}

// checkOrder expects that those who read the stream are deployed before the one that writes
// to it: a newer record may have a flag that an older reader rejects (ADR 33).
func checkOrder(t *testing.T, a assembly) {
	t.Helper()
	if !slices.Contains(a.After["Api"], "Telemetry") {
		t.Errorf("the stack Api is deployed after %v, want Telemetry among them", a.After["Api"])
	}
	for stack, functions := range map[string][]string{"Telemetry": {"Store", "Bridge", "Detect"}, "Api": {"Ingest"}} {
		for _, name := range functions {
			if !slices.ContainsFunc(a.Resources, func(r resource) bool {
				return r.Type == "AWS::Lambda::Function" && strings.HasPrefix(r.ID, stack+"/"+name)
			}) {
				t.Errorf("the stack %s has no function %s", stack, name)
			}
		}
	}
}

func environment(f resource) map[string]any {
	env, _ := f.Properties["Environment"].(map[string]any)
	variables, _ := env["Variables"].(map[string]any)
	return maps.Clone(variables)
}

// checkConsumer compares all settings of an event source mapping: each of them decides
// whether records are lost or block their shard.
func checkConsumer(t *testing.T, a assembly, name string, want map[string]any) {
	t.Helper()
	mapping := mappingOf(t, a, name)
	got := maps.Clone(mapping.Properties)
	for _, reference := range []string{"FunctionName", "EventSourceArn"} {
		if !strings.Contains(text(got[reference]), "Fn::GetAtt") {
			t.Errorf("%s = %v, want a resource of the stack", reference, got[reference])
		}
		delete(got, reference)
	}
	failures := regexp.MustCompile(`^\{"OnFailure":\{"Destination":\{"Fn::ImportValue":"[^"]*Failures[^"]*Arn`)
	if destination := text(got["DestinationConfig"]); !failures.MatchString(destination) {
		t.Errorf("on-failure destination %s, want the failure bucket", destination)
	}
	delete(got, "DestinationConfig")
	maps.Copy(want, map[string]any{
		"BisectBatchOnFunctionError": true,
		"FunctionResponseTypes":      []any{"ReportBatchItemFailures"},
		"MaximumRecordAgeInSeconds":  43200.0,
		"MaximumRetryAttempts":       1000.0,
		"ParallelizationFactor":      1.0,
		"StartingPosition":           "TRIM_HORIZON",
		// And no TumblingWindowInSeconds.
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mapping (-want +got):\n%s", diff)
	}
	// Lambda checks the function's permissions when the mapping is created.
	if !slices.ContainsFunc(mapping.DependsOn, func(id string) bool { return strings.Contains(id, "Policy") }) {
		t.Errorf("the mapping depends on %v, want the function's policy", mapping.DependsOn)
	}
}

// mappingOf returns the event source mapping of a consumer.
func mappingOf(t *testing.T, a assembly, name string) resource {
	t.Helper()
	var found []resource
	for _, m := range a.ofType("AWS::Lambda::EventSourceMapping") {
		if strings.HasPrefix(m.ID, "Telemetry/"+name+"Consumer") {
			found = append(found, m)
		}
	}
	if len(found) != 1 || !strings.Contains(text(found[0].Properties["FunctionName"]), `"`+name+"Function") {
		t.Fatalf("mappings %v, want one of %s", found, name)
	}
	return found[0]
}

// checkBridge checks the environment and permissions that the bridge alone has.
func checkBridge(t *testing.T, a assembly) {
	t.Helper()
	env := environment(a.functions()["bridge"])
	if env["WINDOW_SECONDS"] != "5" || env["LATENESS_SECONDS"] != "2" {
		t.Errorf("environment %v, want windows of 5 s and 2 s of lateness", env)
	}
	allowed, others := map[string]bool{}, false
	for _, policy := range a.ofType("AWS::IAM::Policy") {
		document := text(policy.Properties["PolicyDocument"])
		if !strings.HasPrefix(policy.ID, "Telemetry/Bridge") {
			// The self-check reads all states, and writes none.
			others = others || strings.Contains(document, "shardstate/bridge") && !strings.HasPrefix(policy.ID, "Audit/")
			continue
		}
		for _, want := range []string{
			`"Action":\["s3:GetObject","s3:PutObject"\],"Effect":"Allow",` +
				`"Resource":\{"Fn::Join":\["",\[\{"Fn::ImportValue":"[^"]*States[^"]*Arn[^"]*"\},"/shardstate/bridge-\*"`,
			`"Action":"s3:ListBucket","Effect":"Allow","Resource":\[?[^\]]*\{"Fn::ImportValue":"[^"]*States`,
			`"kinesis:ListShards"`,
			`"secretsmanager:GetSecretValue"`,
		} {
			allowed[want] = allowed[want] || regexp.MustCompile(want).MatchString(document)
		}
	}
	for want, ok := range allowed {
		if !ok {
			t.Errorf("the bridge's policy lacks %s", want)
		}
	}
	if len(allowed) == 0 {
		t.Error("the bridge has no policy")
	}
	if others {
		t.Error("another function may read or write the bridge's states")
	}
}

// checkDenials wants that those who see tokens may read the deny list, that those who take
// something away may replace it, and that nobody else writes it or deletes it.
func checkDenials(t *testing.T, a assembly) {
	t.Helper()
	const read, write = `"s3:GetObject"`, `["s3:GetObject","s3:PutObject"]`
	got := map[string]string{}
	statement := regexp.MustCompile(`"Action":("[^"]*"|\[[^\]]*\]),"Effect":"Allow","Resource":[^}]*\}?[^}]*\}?,?"/access/denied\.json"`)
	for _, policy := range a.ofType("AWS::IAM::Policy") {
		for _, found := range statement.FindAllStringSubmatch(text(policy.Properties["PolicyDocument"]), -1) {
			name, _, _ := strings.Cut(policy.ID, "Role")
			got[name] += found[1]
		}
	}
	for id, actions := range got {
		want := write
		if strings.HasPrefix(id, "Api/Authorizer") || strings.HasPrefix(id, "Api/Ingest") || strings.HasPrefix(id, "Signaling/") {
			want = read
		}
		if actions != want {
			t.Errorf("%s: got %s, want %s", id, actions, want)
		}
	}
	for _, id := range []string{"Api/Authorizer", "Api/Ingest", "Api/Access", "Api/Resources", "Data/Rollup", "Signaling/Service"} {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(got)), func(name string) bool { return strings.HasPrefix(name, id) }) {
			t.Errorf("%s may not read the deny list: got %v", id, got)
		}
	}
	if len(got) != 6 {
		t.Errorf("got %v, want five functions and a service", got)
	}
}

func checkAPI(t *testing.T, a assembly) {
	t.Helper()
	authorizer := a.one(t, "AWS::ApiGatewayV2::Authorizer").Properties
	want := map[string]any{
		"AuthorizerPayloadFormatVersion": "2.0",
		"AuthorizerResultTtlInSeconds":   300.0,
		"AuthorizerType":                 "REQUEST",
		"EnableSimpleResponses":          true,
		"IdentitySource":                 []any{"$request.header.Authorization"},
	}
	for key, value := range want {
		if diff := cmp.Diff(value, authorizer[key]); diff != "" {
			t.Errorf("authorizer: %s (-want +got):\n%s", key, diff)
		}
	}
	var keys []string
	for _, route := range a.ofType("AWS::ApiGatewayV2::Route") {
		closed := route.Properties["AuthorizationType"] == "CUSTOM" && route.Properties["AuthorizerId"] != nil
		key, _ := route.Properties["RouteKey"].(string)
		if closed == (slices.Contains(stacks.OpenRoutes(), key) || slices.Contains(stacks.OtherMethods(), key)) {
			t.Errorf("%s: requires a token: %v, want %v", key, closed, !closed)
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	wantKeys := append(slices.Concat(stacks.OpenRoutes(), stacks.OtherMethods()),
		"ANY /v1/{path+}", "POST /v1/sites/{site}/exports", "POST /v1/telemetry")
	slices.Sort(wantKeys)
	if diff := cmp.Diff(wantKeys, keys); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	for _, i := range a.ofType("AWS::ApiGatewayV2::Integration") {
		if version := i.Properties["PayloadFormatVersion"]; version != "2.0" {
			t.Errorf("payload format %v, want 2.0", version)
		}
	}
	front := a.one(t, "AWS::ApiGatewayV2::Stage").Properties
	if front["AccessLogSettings"] == nil || !strings.Contains(text(front["DefaultRouteSettings"]), "ThrottlingRateLimit") {
		t.Errorf("stage %v, want access logs and throttling", front)
	}
}

// checkPrivileges checks the IAM policy of each function.
func checkPrivileges(t *testing.T, a assembly) {
	t.Helper()
	// These actions do not support resource-level permissions.
	unlimited := regexp.MustCompile(`^(xray:Put(TraceSegments|TelemetryRecords)|` +
		`ecr:GetAuthorizationToken|` +
		`ec2:(Create|Describe|Delete)NetworkInterfaces?|ec2:DescribeSubnets|ec2:(Una|A)ssignPrivateIpAddresses|cloudwatch:PutMetricData)$`)
	byFunction := map[string]string{}
	for _, policy := range a.ofType("AWS::IAM::Policy") {
		document, _ := policy.Properties["PolicyDocument"].(map[string]any)
		statements, _ := document["Statement"].([]any)
		for _, s := range statements {
			statement, _ := s.(map[string]any)
			for _, action := range list(statement["Action"]) {
				name, _ := action.(string)
				if strings.Contains(name, "*") {
					t.Errorf("%s allows %s", policy.ID, name)
				}
				if slices.Contains(list(statement["Resource"]), any("*")) && !unlimited.MatchString(name) {
					t.Errorf("%s allows %s on every resource", policy.ID, name)
				}
			}
		}
		byFunction[policy.ID] = text(document)
	}
	writes := regexp.MustCompile(`"Action":("aps:RemoteWrite"|\["aps:QueryMetrics","aps:RemoteWrite"\]),"Effect":"Allow",` +
		`"Resource":\{"Fn::ImportValue":"[^"]*WorkspaceArn[^"]*"\}`)
	ours := regexp.MustCompile(`^(Api/(Ingest|Authorizer|Access|Resources|Refusals)|` +
		`Telemetry/(Store|Bridge|Detect|Clock)|Data/(Migrate|Rollup)|Audit/Audit)`)
	queries := regexp.MustCompile(`^(Api/Resources|Audit/)`)
	secrets := regexp.MustCompile(`^(Api/(Access|Resources|Refusals)|Telemetry/(Store|Bridge|Detect)|Data/(Migrate|Rollup|Database)|` +
		`Signaling/(ServiceRole|TurnServerAgent))`)
	for id, document := range byFunction {
		if ours.MatchString(id) != writes.MatchString(document) || strings.Count(document, "aps:") > 1 != queries.MatchString(id) {
			t.Errorf("%s: policy %s, want remote write for functions, and queries for the API and the self-check", id, document)
		}
		if kinesis := regexp.MustCompile(`kinesis:\w+`).FindAllString(document, -1); strings.HasPrefix(id, "Api/Ingest") {
			if diff := cmp.Diff([]string{"kinesis:PutRecords"}, kinesis); diff != "" {
				t.Errorf("ingest may (-want +got):\n%s", diff)
			}
		} else if strings.HasPrefix(id, "Telemetry/Clock") {
			if diff := cmp.Diff([]string{"kinesis:ListShards", "kinesis:PutRecords"}, kinesis); diff != "" {
				t.Errorf("clock may (-want +got):\n%s", diff)
			}
		} else if slices.Contains(kinesis, "kinesis:PutRecords") {
			t.Errorf("%s may write to the stream", id)
		}
		mayReadSecret := strings.Contains(document, "secretsmanager:GetSecretValue")
		if needsSecret := secrets.MatchString(id); mayReadSecret != needsSecret {
			t.Errorf("%s: may read a secret: %v, want %v", id, mayReadSecret, needsSecret)
		}
		kms := regexp.MustCompile(`kms:\w+`).FindAllString(document, -1)
		var wantKMS []string
		switch {
		case strings.HasPrefix(id, "Api/Authorizer"), strings.HasPrefix(id, "Signaling/ServiceRole"):
			wantKMS = []string{"kms:GetPublicKey"}
		case strings.HasPrefix(id, "Api/Access"), strings.HasPrefix(id, "Audit/"):
			wantKMS = []string{"kms:GetPublicKey", "kms:Sign"}
		}
		if !slices.Equal(kms, wantKMS) {
			t.Errorf("%s: actions %v on the signing keys, want %v", id, kms, wantKMS)
		}
	}
}

// list returns v as a list: IAM allows a single element without brackets.
func list(v any) []any {
	if l, ok := v.([]any); ok {
		return l
	}
	return []any{v}
}

// checkMigrations checks that migrations run after the database exists and whenever they
// change.
func checkMigrations(t *testing.T, a assembly) {
	t.Helper()
	trigger := a.one(t, "Custom::Trigger")
	if handler := text(trigger.Properties["HandlerArn"]); !strings.Contains(handler, "MigrateFunctionCurrentVersion") {
		t.Errorf("the trigger runs %s, want the function's version", handler)
	}
	if !slices.ContainsFunc(trigger.DependsOn, func(id string) bool { return strings.HasPrefix(id, "DatabaseGroup") }) {
		t.Errorf("the trigger depends on %v, want the database", trigger.DependsOn)
	}
}

// checkMonitoring compares each rule file with its namespace, byte by byte.
func checkMonitoring(t *testing.T, a assembly, deletion string) {
	t.Helper()
	workspace := a.one(t, "AWS::APS::Workspace")
	if workspace.DeletionPolicy != deletion || !strings.HasPrefix(workspace.ID, "Monitoring/") {
		t.Errorf("%s: deletion policy %q, want %q in a stack of its own", workspace.ID, workspace.DeletionPolicy, deletion)
	}
	if retention := text(workspace.Properties["WorkspaceConfiguration"]); !strings.Contains(retention, `"RetentionPeriodInDays":`) {
		t.Errorf("workspace %s, want a retention", retention)
	} else if !strings.Contains(retention, `"LabelSet":[{"Name":"job","Value":"insighthub"}],"Limits":{"MaxSeries":100000}`) {
		t.Errorf("workspace %s, want a limit of the functions' series", retention)
	}
	files, err := filepath.Glob(filepath.Join(rulesDir, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no rules: %v", err)
	}
	want, got := map[string]any{}, map[string]any{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want[strings.TrimSuffix(filepath.Base(file), ".yaml")] = string(raw)
	}
	_, id, _ := strings.Cut(workspace.ID, "/")
	for _, r := range a.ofType("AWS::APS::RuleGroupsNamespace") {
		if arn := text(r.Properties["Workspace"]); arn != `{"Fn::GetAtt":["`+id+`","Arn"]}` {
			t.Errorf("%s belongs to %s, want the workspace", r.ID, arn)
		}
		name, _ := r.Properties["Name"].(string)
		got[name] = r.Properties["Data"]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}
