package stacks_test

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/stacks"
)

// checkCapacity checks that nothing which anybody may call can take what others need: each
// function has a concurrency of its own, each route a throttle of its own, and all of them
// together fit into the account and the database.
func checkCapacity(t *testing.T, a assembly, stage config.Stage) {
	t.Helper()
	checkReserved(t, a, stage)
	checkConnections(t, a, stage)
	checkThrottles(t, a, stage)
}

// checkReserved adds up what the templates reserve.
func checkReserved(t *testing.T, a assembly, stage config.Stage) {
	t.Helper()
	if diff := cmp.Diff(stacks.Functions(), slices.Sorted(maps.Keys(stage.Functions()))); diff != "" {
		t.Errorf("functions with a size (-deployed +configured):\n%s", diff)
	}
	sum := 0.0
	for name, f := range a.functions() {
		reserved, _ := f.Properties["ReservedConcurrentExecutions"].(float64)
		if reserved < 1 {
			t.Errorf("%s reserves no concurrency", name)
		}
		sum += reserved
	}
	if most := 1000.0 - 100; sum > most {
		t.Errorf("%v concurrent executions are reserved, want at most %v of an account's default quota", sum, most)
	}
}

// checkConnections adds up the connections that all environments of all functions can open.
func checkConnections(t *testing.T, a assembly, stage config.Stage) {
	t.Helper()
	sum := 0
	limits := stage.DatabaseConnections()
	for name, f := range a.functions() {
		connections, hasOne := environment(f)["DATABASE_CONNECTIONS"].(string)
		if name == "migrate" { // its single connection is no setting
			connections, hasOne = "1", true
		}
		if _, uses := environment(f)["DATABASE_SECRET_ARN"]; uses != hasOne {
			t.Errorf("%s: uses the database: %v, is told how many connections it may open: %v", name, uses, hasOne)
		}
		if !hasOne {
			continue
		}
		n, err := strconv.Atoi(connections)
		reserved, _ := f.Properties["ReservedConcurrentExecutions"].(float64)
		if err != nil || n*int(reserved) > limits[name] {
			t.Errorf("%s: %v environments × %s connections, want at most %d", name, reserved, connections, limits[name])
		}
		sum += n * int(reserved)
	}
	if most := config.MaxDatabaseConnections / 2; sum > most {
		t.Errorf("%d connections, want at most %d: a deployment doubles them", sum, most)
	}
}

// checkThrottles compares the stage's settings with the routes.
func checkThrottles(t *testing.T, a assembly, stage config.Stage) {
	t.Helper()
	front := a.one(t, "AWS::ApiGatewayV2::Stage")
	settings, _ := front.Properties["RouteSettings"].(map[string]any)
	open, all, burst := 0.0, 0.0, 0.0
	var keys []string
	for _, route := range a.ofType("AWS::ApiGatewayV2::Route") {
		key, _ := route.Properties["RouteKey"].(string)
		keys = append(keys, key)
		of, _ := settings[key].(map[string]any)
		r, _ := of["ThrottlingRateLimit"].(float64)
		b, _ := of["ThrottlingBurstLimit"].(float64)
		if r < 1 || b < 1 {
			t.Errorf("%s has no throttle of its own: %v", key, of)
		}
		all += r
		burst += b
		if slices.Contains(stacks.OpenRoutes(), key) || slices.Contains(stacks.OtherMethods(), key) {
			open += r
		}
		_, id, _ := strings.Cut(route.ID, "/")
		if !slices.Contains(front.DependsOn, id) {
			t.Errorf("the stage does not depend on %s: API Gateway rejects settings of a route that does not exist", route.ID)
		}
	}
	slices.Sort(keys)
	if diff := cmp.Diff(keys, slices.Sorted(maps.Keys(settings))); diff != "" {
		t.Errorf("settings are of routes that do not exist (-routes +settings):\n%s", diff)
	}
	if all > 10_000 || burst > 5_000 {
		t.Errorf("all routes together: %v requests/s in bursts of %v, want at most an account's 10,000 and 5,000", all, burst)
	}
	telemetry, _ := settings["POST /v1/telemetry"].(map[string]any)
	if rate, _ := telemetry["ThrottlingRateLimit"].(float64); 10*open > float64(stage.API.RequestsPerSecond) || open > rate/4 {
		t.Errorf("open routes: %v requests/s beside %v of telemetry, want far fewer", open, rate)
	}
}

// TestNewAccount synthesises dev, as the command does, for an account of which nothing can be
// reserved.
func TestNewAccount(t *testing.T) {
	out := t.TempDir()
	command := stacks.Assembly{
		Stage: "dev", Out: out, Functions: builtFunctions(t), Rules: rulesDir, Settings: "../../cdk.json",
		AccountConcurrency: "10", Getenv: func(string) string { return "" },
	}
	if err := command.Synthesise(); err == nil || !strings.Contains(err.Error(), "want at most the account's 10; ask AWS for more") {
		t.Errorf("a limit of 10: %v, want an error that says what to do", err)
	}
	command.AccountConcurrency = "none"
	if err := command.Synthesise(); err == nil || !strings.Contains(err.Error(), "want a number") {
		t.Errorf("a limit of none: %v, want an error", err)
	}
	command.AccountConcurrency = "0"
	if err := command.Synthesise(); err != nil {
		t.Fatal(err)
	}
	a := readAssembly(t, out)
	for name, f := range a.functions() {
		if n := f.Properties["ReservedConcurrentExecutions"]; n != nil {
			t.Errorf("%s reserves %v, want nothing", name, n)
		}
	}
	checkThrottles(t, a, stage(t, config.Dev))
}
