package stack

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/insighthub/insighthub/loadtest/flood"
)

// throttleRoutes gives routes of an assembly their limits, as the stage dev has them.
func throttleRoutes(t *testing.T, assembly string, limits map[string][2]float64) {
	t.Helper()
	file := filepath.Join(assembly, "Flow.template.json")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var template map[string]any
	if err := json.Unmarshal(raw, &template); err != nil {
		t.Fatal(err)
	}
	settings := map[string]any{}
	for key, limit := range limits {
		settings[key] = map[string]any{"ThrottlingRateLimit": limit[0], "ThrottlingBurstLimit": limit[1]}
	}
	front := template["Resources"].(map[string]any)["Front"].(map[string]any)
	front["Properties"].(map[string]any)["RouteSettings"] = settings
	if raw, err = json.Marshal(template); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestFlood floods the login of a whole stack for two seconds, by the command of the
// benchmark: nearly all requests end at the throttle, the gateways' batches and the changes
// are accepted, and the trail hardly grows.
func TestFlood(t *testing.T) {
	needPrometheus(t)
	p, out := build(t), stateDir(t)
	assembly := measuredAssembly(t)
	serveAPI(t, assembly)
	throttleRoutes(t, assembly, map[string][2]float64{"POST /v1/login": {0.01, 5}}) // on a busy machine it takes minutes
	cmd := exec.CommandContext(t.Context(), p.loadtest, "flood", "-local", p.local, "-assembly", assembly, "-functions", p.functions,
		"-timescale", tree, "-prometheus", prometheusTree, "-out", out,
		"-duration", "2s", "-rate", "300", "-sources", "20", "-only", "/v1/login", "-ingest", "20", "-gateways", "4")
	if printed, err := cmd.CombinedOutput(); err != nil {
		log, _ := os.ReadFile(filepath.Join(out, "local.log"))
		t.Fatalf("%v\n%s%s", err, printed, log)
	}
	raw, err := os.ReadFile(filepath.Join(out, "flood.json"))
	if err != nil {
		t.Fatal(err)
	}
	var report flood.Report
	if err := json.Unmarshal(raw, &report); err != nil || len(report.Rows) != 2 {
		t.Fatalf("%d rows, %v, want the generator alone and the login:\n%s", len(report.Rows), err, raw)
	}
	login := report.Rows[1].Flooded
	passed := login.Flood.Sent - login.Flood.Statuses[http.StatusTooManyRequests]
	if login.Flood.Sent < 100 || passed < 1 || passed-login.Flood.Failed > 10 {
		t.Errorf("%+v: %d of the requests passed the throttle, want at least one and few", login.Flood, passed)
	}
	for _, row := range report.Rows {
		if row.Flooded.Unknown != 0 || row.Flooded.Changes == 0 || row.Flooded.Ingest.P99 == 0 {
			t.Errorf("%s: %+v: want every batch and change accepted", row.Endpoint, row.Flooded)
		}
	}
	if _, err := os.Stat(filepath.Join(out, "flood.md")); err != nil {
		t.Error(err)
	}
}
