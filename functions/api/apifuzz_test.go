package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/insighthub/insighthub/docs/contracttest"
	"github.com/insighthub/insighthub/lib/api/apitest"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
	"github.com/insighthub/insighthub/loadtest/apifuzz"
)

// fuzzed is the function behind what API Gateway and the authorizer do, as a target.
type fuzzed struct {
	t       *testing.T
	p       *platform
	callers map[string]*lambdahttp.Caller
}

func (f fuzzed) Do(_ context.Context, r apifuzz.Request) (apifuzz.Response, error) {
	path, err := url.PathUnescape(r.Path) // API Gateway decodes one layer
	if err != nil {
		return apifuzz.Response{}, err
	}
	request := apitest.Request{
		Method: r.Method, Path: path, Query: r.Query, Headers: make(map[string]string), Body: string(r.Body), SourceIP: "192.0.2.7",
		Caller: f.callers[r.Caller],
	}
	for name, value := range r.Headers {
		request.Headers[strings.ToLower(name)] = value
	}
	got := apitest.Invoke(f.t, f.p.Handler, request)
	return apifuzz.Response{Status: got.Status, Headers: got.Headers, Body: []byte(got.Body)}, nil
}

// fuzzTarget returns the function over a database with one of everything at plant-1, and
// a function that creates what a deletion may delete.
func fuzzTarget(t *testing.T) (fuzzed, apifuzz.World, func(context.Context, string) (apifuzz.World, error)) {
	t.Helper()
	p := newPlatform(t)
	p.machines(t)
	p.site(t, "plant-2")
	p.register(t, "plant-2", "gw-2")
	p.addAnomalies(t, 1)
	now := telemetry.MicrosOf(time.Now())
	p.send(t, "plant-1", "gw-1", event("device-1", "metric-1", now-2_000_000, 1), event("device-1", "metric-1", now-1_000_000, 2))
	victim, target := p.person(t, "victim", "plant-1", "viewer"), p.person(t, "target", "plant-1", "viewer")
	world := apifuzz.World{
		Site: "plant-1", Gateway: "gw-1", Device: "device-1", Metric: "metric-1", User: target.Subject, Anomaly: "1", Unique: "t",
		Elsewhere: "plant-2",
	}
	rule := func() string {
		return p.Do(t, apitest.Administrator(), "POST", "/v1/sites/plant-1/alarm-rules",
			`{"gateway":"gw-1","device":"device-1","metric":"metric-1","kind":"threshold","high":90}`).Want(t, 201).Member(t, "id")
	}
	world.Rule = rule()
	var n atomic.Int64
	fresh := func(_ context.Context, operation string) (apifuzz.World, error) {
		w := world
		name := fmt.Sprintf("gone-%d", n.Add(1))
		add := func(table string) {
			timescaletest.Exec(t, p.DSN, "INSERT INTO "+table+" (gateway_id, name) SELECT id, $1 FROM gateway WHERE name = 'gw-1'", name)
		}
		switch operation {
		case "revokeGateway":
			w.Gateway = name
			p.register(t, "plant-1", name)
		case "removeGatewayKey":
			w.Gateway = name
			w.Key = p.register(t, "plant-1", name)
		case "removeDevice":
			w.Device = name
			add("device")
		case "removeMetric":
			w.Metric = name
			add("metric")
		case "removeKPIConfig":
			w.Device = name
			add("device")
			p.Do(t, apitest.Administrator(), "PUT", "/v1/sites/plant-1/gateways/gw-1/devices/"+name+"/kpi-config", machine(`{}`),
				"If-Match", "*").Want(t, 200)
		case "removeAlarmRule":
			w.Rule = rule()
		}
		return w, nil
	}
	return fuzzed{t, p, map[string]*lambdahttp.Caller{
		apifuzz.ViewerHere: victim, apifuzz.OperatorHere: apitest.Person("olga", "plant-1=operator"),
		apifuzz.AdminHere:       apitest.Person("alma", "plant-1=admin"),
		apifuzz.ViewerElsewhere: apitest.Person("vera", "plant-2=viewer"), apifuzz.AdminElsewhere: apitest.Person("mal", "plant-2=admin"),
		apifuzz.AdminEverywhere: apitest.Administrator(),
		apifuzz.GatewayHere:     apitest.Gateway("gw-1", "plant-1"), apifuzz.GatewayElsewhere: apitest.Gateway("gw-2", "plant-2"),
	}}, world, fresh
}

// apiOperations returns the ids of the operations that the function serves.
func apiOperations(t *testing.T, p *platform) []string {
	t.Helper()
	handler := resources(p.Pool, slog.New(slog.DiscardHandler), services{files: noFiles{}, kpis: p.kpis, ice: testICE()})
	served := make(map[string]bool)
	for _, pattern := range handler.Patterns() {
		served[pattern] = true
	}
	return contracttest.Open(t).IDs(func(operation string) bool { return served[operation] })
}

// TestMutatedRequests sends mutated valid requests to every operation of the function: each
// response is one of the contract, and a rejected change changes nothing. `make fuzz-api`
// sends more, to the whole stack.
func TestMutatedRequests(t *testing.T) {
	t.Parallel()
	target, world, fresh := fuzzTarget(t)
	report, err := apifuzz.Fuzz(t.Context(), apifuzz.Config{
		Target: target, World: world, Fresh: fresh, Operations: apiOperations(t, target.p), Requests: fuzzRequests, Seed: 1,
		Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	report.Print(&table)
	t.Log("\n" + table.String())
	for _, row := range report.Rows {
		if row.Valid >= 300 && row.Operation != "PUT /v1/me/password" { // the old one is wrong, so that it stays
			t.Errorf("%s: got %d to the valid request, want 2xx: the mutated ones would show little", row.Operation, row.Valid)
		}
	}
	for _, fault := range report.Faults {
		t.Errorf("%s: %s\n%s", fault.Operation, fault.Text, fault.First)
	}
}

// fuzzRequests is how many requests each operation gets.
const fuzzRequests = 40

// TestRoles requests every operation of the function as every caller, in every way: each
// outcome is that of the contract (x-role), and what a caller may not see looks like what
// does not exist, to the byte. `make fuzz-api` does so over the whole stack.
func TestRoles(t *testing.T) {
	t.Parallel()
	target, world, _ := fuzzTarget(t)
	cfg := apifuzz.Config{Target: target, World: world, Operations: apiOperations(t, target.p), Now: time.Now}
	// Tokens are API Gateway's and the authorizer's: here the callers begin behind them.
	callers := append(slices.Sorted(maps.Keys(target.callers)), apifuzz.Nobody)
	report, err := apifuzz.Matrix(t.Context(), cfg, callers)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	report.Print(&table)
	t.Log(table.String())
	n, wrong, err := apifuzz.Bodies(t.Context(), cfg)
	if err != nil || n < 60 {
		t.Errorf("got %d bodies, %v, want 60 or more", n, err)
	}
	for _, c := range wrong {
		t.Errorf("%s %s: got %s, want %s", c.Operation, c.Way, c.Got, c.Expected)
	}
	if n := len(report.Wrong) + len(report.Leaks); n > 0 || report.Combinations() < 500 {
		t.Errorf("%d combinations, %d differ from the contract", report.Combinations(), n)
	}
}
