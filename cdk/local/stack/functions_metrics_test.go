package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/grafana"
	"github.com/insighthub/insighthub/cdk/local/template"
	"github.com/insighthub/insighthub/lib/eventually"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	functionmetrics "github.com/insighthub/insighthub/lib/lambda/metrics"
)

// measuredAssembly is the sample assembly with the repository's rules, evaluated every
// second, and with functions that write their own metrics as often.
func measuredAssembly(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	edit := func(file string, change func(resources map[string]any)) {
		raw, err := os.ReadFile(filepath.Join("testdata", "assembly", file))
		if err != nil {
			t.Fatal(err)
		}
		if file == "Flow.template.json" {
			raw = []byte(lenient(t, string(raw)))
		}
		if change != nil {
			var template map[string]any
			if err := json.Unmarshal(raw, &template); err != nil {
				t.Fatal(err)
			}
			change(template["Resources"].(map[string]any))
			if raw, err = json.Marshal(template); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, file), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write := func(resources map[string]any, endpoint map[string]any) {
		for _, r := range resources {
			resource, _ := r.(map[string]any)
			if resource["Type"] != "AWS::Lambda::Function" {
				continue
			}
			env := resource["Properties"].(map[string]any)["Environment"].(map[string]any)["Variables"].(map[string]any)
			env["METRICS_INTERVAL_SECONDS"] = "1"
			env["REMOTE_WRITE_URL"] = map[string]any{"Fn::Join": []any{"", []any{endpoint, "api/v1/remote_write"}}}
			env["REMOTE_WRITE_SIGV4"] = "true"
		}
	}
	edit("manifest.json", nil)
	edit("Flow.template.json", func(resources map[string]any) {
		write(resources, map[string]any{"Fn::ImportValue": "Data:MetricsEndpoint"})
	})
	edit("Data.template.json", func(resources map[string]any) {
		write(resources, map[string]any{"Fn::GetAtt": []any{"Metrics", "PrometheusEndpoint"}})
		files, err := fs.Glob(grafana.Rules(), "rules/*.yaml")
		if err != nil || len(files) == 0 {
			t.Fatalf("no rules: %v", err)
		}
		for i, file := range files {
			raw, err := fs.ReadFile(grafana.Rules(), file)
			if err != nil {
				t.Fatal(err)
			}
			resources[fmt.Sprint("Rules", i)] = map[string]any{"Type": "AWS::APS::RuleGroupsNamespace", "Properties": map[string]any{
				"Name":      strings.TrimSuffix(filepath.Base(file), ".yaml"),
				"Workspace": map[string]any{"Fn::GetAtt": []any{"Metrics", "Arn"}},
				"Data":      regexp.MustCompile(`interval: \w+`).ReplaceAllString(string(raw), "interval: 1s"),
			}}
		}
	})
	return dir
}

// ask returns the labels and the last finite value of each series in a query's result.
func ask(t *testing.T, s *Stack, q grafana.Query) []vector {
	t.Helper()
	now := float64(time.Now().UnixMilli()) / 1000
	form, path := url.Values{"query": {q.Expr}, "time": {fmt.Sprint(now)}}, "/api/v1/query"
	if !q.Instant {
		form, path = url.Values{"query": {q.Expr}, "start": {fmt.Sprint(now - 600)}, "end": {fmt.Sprint(now)}, "step": {"2"}},
			"/api/v1/query_range"
	}
	resp, err := http.Get(s.Info().Prometheus + path + "?" + form.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var response struct {
		Error string
		Data  struct {
			Result []struct {
				Metric map[string]string
				Value  []any
				Values [][]any
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&response); err != nil || response.Error != "" {
		t.Fatalf("%s: %v %s", q.Expr, err, response.Error)
	}
	var out []vector
	for _, r := range response.Data.Result {
		if len(r.Value) > 0 {
			r.Values = append(r.Values, r.Value)
		}
		for _, v := range slices.Backward(r.Values) {
			text, _ := v[1].(string)
			if value, err := strconv.ParseFloat(text, 64); err == nil && value-value == 0 { // neither NaN nor infinite
				out = append(out, vector{r.Metric, value})
				break
			}
		}
	}
	return out
}

type vector struct {
	labels map[string]string
	value  float64
}

// everyPanelShows runs the queries of all dashboards' panels and waits until each has a
// result from the samples of the bridge and the functions.
func everyPanelShows(t *testing.T, s *Stack, machine string) {
	t.Helper()
	boards, err := grafana.Dashboards()
	if err != nil || len(boards) != 4 {
		t.Fatalf("%d dashboards, %v", len(boards), err)
	}
	type question struct {
		board string
		grafana.Query
	}
	var left []question
	for _, board := range boards {
		queries, err := board.Queries(map[string]string{"site": ".*", "gateway": ".*", "machine": machine})
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range queries {
			left = append(left, question{board.File, q})
		}
	}
	all := len(left)
	eventually.NoError(t, fmt.Sprintf("a result of each of %d queries of panels", all), func() error {
		left = slices.DeleteFunc(left, func(q question) bool { return len(ask(t, s, q.Query)) > 0 })
		var empty []error
		for _, q := range left {
			empty = append(empty, fmt.Errorf("%s, panel %s shows nothing: %s", q.board, q.Panel, q.Expr))
		}
		return errors.Join(empty...)
	})
}

// functionsMeasure looks at the functions' own metrics: each is there, of the functions
// themselves, and they are not too many.
func functionsMeasure(t *testing.T, s *Stack) {
	t.Helper()
	instant := func(format string, args ...any) []vector {
		return ask(t, s, grafana.Query{Expr: fmt.Sprintf(format, args...), Instant: true})
	}
	stir(t, s)
	environment := regexp.MustCompile(`^\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}$`)
	rollup := func(f template.Function) bool { return f.Program == "rollup" }
	for _, name := range grafana.FunctionMetrics() {
		if name == "insighthub_trail_unsealed_seconds" && !slices.ContainsFunc(s.plan.Functions, rollup) {
			continue
		}
		found := instant("last_over_time(%s[1h])", name)
		if len(found) == 0 {
			t.Errorf("nobody writes %s", name)
		}
		for _, one := range found {
			if l := one.labels; l["job"] != lambdahost.Job || l["function"] == "" || !environment.MatchString(l["instance"]) {
				t.Errorf("%s of %v, want a function's environment", name, l)
			}
		}
	}
	count := func(format string, args ...any) map[string]float64 {
		of := make(map[string]float64)
		for _, one := range instant(format, args...) {
			of[one.labels["function"]] = one.value
		}
		return of
	}
	started := count("count by (function) (last_over_time(insighthub_invocations_total[1h]))")
	for _, f := range s.plan.Functions {
		if started[f.Program] == 0 {
			t.Errorf("nothing of the function %s", f.Program)
		}
	}
	// The bridge was killed twice.
	if started["bridge"] < 3 {
		t.Errorf("%v environments of the bridge, want one for each of its lives", started["bridge"])
	}
	rates := count("sum by (function) (rate(insighthub_invocations_total[5m]))")
	for _, name := range []string{"ingest", "store", "bridge"} {
		if rates[name] <= 0 {
			t.Errorf("%s: %v invocations a second", name, rates[name])
		}
	}
	for function, n := range count("max by (function) (count by (function, instance) (last_over_time({job=%q}[1h])))", lambdahost.Job) {
		if n > functionmetrics.SeriesPerInstance {
			t.Errorf("%v series of one environment of %s, want at most %d", n, function, functionmetrics.SeriesPerInstance)
		}
	}
}

// stir invokes idle functions until Prometheus has metrics of each: a function whose first
// flush timed out writes with its next invocation.
func stir(t *testing.T, s *Stack) {
	t.Helper()
	eventually.True(t, "metrics of all functions", func() bool {
		all, err := query(t.Context(), s.Info().Prometheus, "count by (function) (last_over_time(insighthub_invocations_total[1h]))")
		if err != nil {
			return false
		}
		have := make(map[string]bool)
		for _, one := range all {
			have[one.labels["function"]] = true
		}
		done := true
		for _, f := range s.plan.Functions {
			if have[f.Program] {
				continue
			}
			done = false
			payload := []byte("{}")
			if f.Program == "audit" {
				if payload, err = scheduledEvent(s.plan.Schedules[0], s.plan.Account, s.plan.Region, s.cfg.Now()); err != nil {
					t.Fatal(err)
				}
			}
			_, _ = program(t, s, f.Program).Invoke(t.Context(), payload) // whatever the response
		}
		return done
	})
}
