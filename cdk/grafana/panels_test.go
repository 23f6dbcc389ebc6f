package grafana_test

import (
	"context"
	"encoding/json"
	"fmt"
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

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	sdk "github.com/grafana/grafana-foundation-sdk/go/prometheus"

	"github.com/insighthub/insighthub/cdk/grafana"
	"github.com/insighthub/insighthub/cdk/local/prometheus"
)

// series is one series of a query's result.
type series struct {
	Metric map[string]string
	Value  [2]any   // of an instant query
	Values [][2]any // of a range query
}

func (s series) last() string {
	if len(s.Values) > 0 {
		return s.Values[len(s.Values)-1][1].(string)
	}
	return s.Value[1].(string)
}

type server struct{ url string }

func (s server) get(t *testing.T, path string, form url.Values, into any) {
	t.Helper()
	res, err := http.Get(s.url + path + "?" + form.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var response struct {
		Error string
		Data  json.RawMessage
	}
	if err := json.NewDecoder(res.Body).Decode(&response); err != nil || response.Error != "" {
		t.Errorf("%s: %v %s", form, err, response.Error)
		return
	}
	if err := json.Unmarshal(response.Data, into); err != nil {
		t.Fatal(err)
	}
}

func (s server) query(t *testing.T, q sdk.Dataquery, expr string, end time.Time) []series {
	t.Helper()
	var data struct{ Result []series }
	at := func(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }
	if q.Instant != nil && *q.Instant {
		s.get(t, "/api/v1/query", url.Values{"query": {expr}, "time": {at(end)}}, &data)
	} else {
		form := url.Values{"query": {expr}, "start": {at(end.Add(-30 * time.Minute))}, "end": {at(end)}, "step": {"5"}}
		s.get(t, "/api/v1/query_range", form, &data)
	}
	return data.Result
}

// startWithFleet runs Prometheus with the repository's rules, evaluated every second instead
// of every 15, on two minutes of data, until each rule has been evaluated.
func startWithFleet(t *testing.T) server {
	t.Helper()
	needPrometheus(t)
	rules := t.TempDir()
	for _, file := range files(t, "rules/*.yaml") {
		content := regexp.MustCompile(`interval: \w+`).ReplaceAllString(read(t, file), "interval: 1s")
		if err := os.WriteFile(filepath.Join(rules, filepath.Base(file)), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	p, err := prometheus.Start(ctx, prometheus.Config{
		Binary: tree + "/bin/prometheus", DataDir: t.TempDir(), Rules: []string{filepath.Join(rules, "*.yaml")},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	newFleet(time.Now()).write(t, p.URL())

	s := server{p.URL()}
	giveUp := time.Now().Add(2 * time.Minute)
	// evaluated waits until each group of rules has been evaluated from now on.
	evaluated := func() {
		for since := time.Now(); time.Now().Before(giveUp); time.Sleep(100 * time.Millisecond) {
			type group struct{ LastEvaluation time.Time }
			var rules struct{ Groups []group }
			s.get(t, "/api/v1/rules", nil, &rules)
			pending := slices.IndexFunc(rules.Groups, func(g group) bool { return g.LastEvaluation.Before(since) })
			if len(rules.Groups) > 0 && pending < 0 {
				return
			}
		}
	}
	// A rule that queries the metric of another group may have been evaluated before it.
	missing := recorded(t)
	for len(missing) > 0 && time.Now().Before(giveUp) {
		evaluated()
		missing = slices.DeleteFunc(missing, func(name string) bool {
			var data struct{ Result []series }
			s.get(t, "/api/v1/query", url.Values{"query": {name}}, &data)
			return len(data.Result) > 0
		})
	}
	for _, name := range missing {
		t.Errorf("no rule recorded %s", name)
	}
	evaluated()
	return s
}

// TestEveryPanelShowsSomething parses and runs each query of each panel in a real server,
// for the whole fleet and for one machine.
func TestEveryPanelShowsSomething(t *testing.T) {
	s := startWithFleet(t)
	now := time.Now()
	choices := []map[string]string{
		{"site": ".*", "gateway": ".*", "machine": "press-01"},
		{"site": "plant-1", "gateway": "(gw-1|gw-2)", "machine": "press-01"},
	}
	for _, board := range build(t) {
		var doc strings.Builder
		fmt.Fprintf(&doc, "# %s\n\n%s\n\nThe panels' data in a run of the test, for all sites and gateways, "+
			"on two minutes of a fleet of eight machines.\n", *board.Model.Title, *board.Model.Description)
		for i, choice := range choices {
			for _, p := range panels(board.Model) {
				if i == 0 {
					fmt.Fprintf(&doc, "\n## %s\n\n%s Unit: `%s`.\n\n| series | latest value |\n| --- | --- |\n",
						*p.Title, *p.Description, *p.FieldConfig.Defaults.Unit)
				}
				for _, q := range queries(t, p) {
					expr := board.Substitute(q.Expr, choice)
					var formatted string
					s.get(t, "/api/v1/format_query", url.Values{"query": {expr}}, &formatted)
					result := slices.DeleteFunc(s.query(t, q, expr, now), func(s series) bool {
						return s.last() == "NaN" || strings.HasSuffix(s.last(), "Inf")
					})
					if len(result) == 0 {
						t.Errorf("%s, panel %s, with %v: no result of %s", board.File, *p.Title, choice, expr)
					}
					if i == 0 {
						describe(&doc, q, result)
					}
				}
			}
		}
		if *update {
			path := filepath.Join("../../docs/dashboards", strings.TrimSuffix(filepath.Base(board.File), ".json")+".md")
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(doc.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		variables(t, s, board)
	}
}

// describe writes the first series of a query.
func describe(doc *strings.Builder, q sdk.Dataquery, result []series) {
	const most = 8
	for i, one := range result {
		if i == most {
			fmt.Fprintf(doc, "| … %d more | |\n", len(result)-most)
			break
		}
		name := regexp.MustCompile(`\{\{(\w+)\}\}`).ReplaceAllStringFunc(*q.LegendFormat, func(label string) string {
			return one.Metric[strings.Trim(label, "{}")]
		})
		if q.Format != nil && *q.Format == sdk.PromQueryFormatTable {
			for _, label := range []string{"site", "gateway", "device", "metric"} {
				if one.Metric[label] != "" {
					name += " " + one.Metric[label]
				}
			}
		}
		value, _ := strconv.ParseFloat(one.last(), 64)
		fmt.Fprintf(doc, "| %s | %.5g |\n", name, value)
	}
}

// variables checks that each query variable has values.
func variables(t *testing.T, s server, board grafana.Dashboard) {
	t.Helper()
	for _, v := range board.Model.Templating.List {
		if v.Type != dashboard.VariableTypeQuery {
			continue
		}
		m := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`).FindStringSubmatch(*v.Query.String)
		if m == nil {
			t.Errorf("%s, variable %s: %s", board.File, v.Name, *v.Query.String)
			continue
		}
		var found []map[string]string
		selector := board.Substitute(m[1], map[string]string{"site": ".*", "gateway": ".*"})
		s.get(t, "/api/v1/series", url.Values{"match[]": {selector}}, &found)
		if !slices.ContainsFunc(found, func(labels map[string]string) bool { return labels[m[2]] != "" }) {
			t.Errorf("%s, variable %s: no values", board.File, v.Name)
		}
	}
}
