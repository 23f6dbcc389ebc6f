package grafana_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"

	"github.com/insighthub/insighthub/cdk/grafana"
)

var update = flag.Bool("update", false, "write dashboards/*.json and docs/dashboards/*.md")

func build(t *testing.T) []grafana.Dashboard {
	t.Helper()
	boards, err := grafana.Dashboards()
	if err != nil {
		t.Fatal(err)
	}
	return boards
}

func TestFilesAreAsBuilt(t *testing.T) {
	var want []string
	for _, board := range build(t) {
		path := filepath.Join("dashboards", board.File)
		want = append(want, path)
		content, err := board.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(read(t, path), string(content)); diff != "" {
			t.Errorf("%s is not what the package builds (go test ./cdk/grafana -update writes it): %s", path, diff)
		}
	}
	slices.Sort(want)
	if got := files(t, "dashboards/*/*.json"); !slices.Equal(got, want) {
		t.Errorf("files %v, want %v", got, want)
	}
}

// TestFilesFitTheSchema decodes each file into the published types, which reject unknown
// members, down to the panels' own options.
func TestFilesFitTheSchema(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	for _, path := range files(t, "dashboards/*/*.json") {
		var model grafana.Model
		if err := problems(model.UnmarshalJSONStrict([]byte(read(t, path)))); err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if err := model.Validate(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		for _, p := range panels(model) {
			if err := problems(strictOptions(p)); err != nil {
				t.Errorf("%s: panel %q: %v", path, *p.Title, err)
			}
		}
	}
}

// problems returns err, or nil for the empty list of errors that the published types return
// without problems.
func problems(err error) error {
	var list cog.BuildErrors
	if errors.As(err, &list) && len(list) == 0 {
		return nil
	}
	return err
}

func strictOptions(p dashboard.Panel) error {
	options, err := json.Marshal(p.Options)
	if err != nil {
		return err
	}
	custom := []byte("{}")
	if p.FieldConfig != nil && p.FieldConfig.Defaults.Custom != nil {
		if custom, err = json.Marshal(p.FieldConfig.Defaults.Custom); err != nil {
			return err
		}
	}
	switch p.Type {
	case "stat":
		return (&stat.Options{}).UnmarshalJSONStrict(options)
	case "bargauge":
		return (&bargauge.Options{}).UnmarshalJSONStrict(options)
	case "table":
		if err := problems((&table.FieldConfig{}).UnmarshalJSONStrict(custom)); err != nil {
			return err
		}
		return (&table.Options{}).UnmarshalJSONStrict(options)
	case "timeseries":
		if err := problems((&timeseries.FieldConfig{}).UnmarshalJSONStrict(custom)); err != nil {
			return err
		}
		return (&timeseries.Options{}).UnmarshalJSONStrict(options)
	}
	return os.ErrInvalid
}

func panels(model grafana.Model) []dashboard.Panel {
	var out []dashboard.Panel
	for _, p := range model.Panels {
		if p.Panel != nil {
			out = append(out, *p.Panel)
		}
	}
	return out
}

func queries(t *testing.T, p dashboard.Panel) []prometheus.Dataquery {
	t.Helper()
	var out []prometheus.Dataquery
	for _, target := range p.Targets {
		switch q := target.(type) {
		case prometheus.Dataquery:
			out = append(out, q)
		case *prometheus.Dataquery:
			out = append(out, *q)
		default:
			t.Fatalf("panel %q: a query of type %T", *p.Title, target)
		}
	}
	return out
}

func TestDashboards(t *testing.T) {
	names := known(t)
	uids, used := map[string]bool{}, map[string]bool{}
	boards := build(t)
	for _, board := range boards {
		uids[*board.Model.Uid] = true
	}
	for _, board := range boards {
		variables := []string{"__url_time_range"}
		for _, v := range board.Model.Templating.List {
			variables = append(variables, v.Name)
		}
		for _, p := range panels(board.Model) {
			at := board.File + ", panel " + *p.Title
			if p.Description == nil || *p.Description == "" || p.FieldConfig.Defaults.Unit == nil || len(p.Targets) == 0 {
				t.Errorf("%s: want a description, a unit and a query", at)
			}
			if p.GridPos.X+p.GridPos.W > 24 {
				t.Errorf("%s: extends beyond the right edge", at)
			}
			for _, q := range queries(t, p) {
				for _, name := range identifier.FindAllString(q.Expr, -1) {
					used[name] = true
					if !slices.Contains(names, name) {
						t.Errorf("%s: unknown metric %s", at, name)
					}
				}
				for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(q.Expr, -1) {
					if !slices.Contains(variables, m[1]) {
						t.Errorf("%s: unknown variable %s", at, m[1])
					}
				}
				for _, m := range regexp.MustCompile(`insighthub:\w+:(?:ratio|sum|p\d+_)\w+(\{[^}]*)?`).FindAllStringSubmatch(q.Expr, -1) {
					if !strings.Contains(m[1], "level=") {
						t.Errorf("%s: %s has no level, so it counts several times", at, m[0])
					}
				}
			}
			for _, l := range p.FieldConfig.Defaults.Links {
				if l.Url == nil {
					t.Errorf("%s: a link without a URL", at)
					continue
				}
				url := *l.Url
				if target := regexp.MustCompile(`^/d/([\w-]+)`).FindStringSubmatch(url); target == nil || !uids[target[1]] {
					t.Errorf("%s: links to %s, want one of these dashboards", at, url)
				}
			}
		}
	}
	rules := ""
	for _, file := range files(t, "rules/*.yaml") {
		rules += read(t, file)
	}
	for _, name := range recorded(t) {
		if !used[name] && strings.Count(rules, name) == strings.Count(rules, "record: "+name+"\n") {
			t.Errorf("recorded metric %s is not used", name)
		}
	}
}
