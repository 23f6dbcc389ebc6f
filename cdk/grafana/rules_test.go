package grafana_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/cdk/grafana"
	"github.com/insighthub/insighthub/cdk/local/process/processtest"
)

const tree = "../../.local/prometheus"

func needPrometheus(t *testing.T) {
	t.Helper()
	processtest.NeedFile(t, tree+"/bin/prometheus", "run cdk/local/prometheus/install.sh .local/prometheus")
}

func promtool(t *testing.T, arguments ...string) {
	t.Helper()
	needPrometheus(t)
	out, err := exec.CommandContext(t.Context(), tree+"/bin/promtool", arguments...).CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
}

func files(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("no %s (%v)", pattern, err)
	}
	return found
}

// TestProductionRulesAreAsDefined compares the file with the definitions of the KPIs.
func TestProductionRulesAreAsDefined(t *testing.T) {
	const path = "rules/production.yaml"
	if *update {
		if err := os.WriteFile(path, []byte(grafana.ProductionRules()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(grafana.ProductionRules(), read(t, path)); diff != "" {
		t.Errorf("%s is not as defined (go test ./cdk/grafana -update writes it): %s", path, diff)
	}
}

func TestCheckRules(t *testing.T) {
	promtool(t, append([]string{"check", "rules", "--lint=all", "--lint-fatal"}, files(t, "rules/*.yaml")...)...)
}

func TestRules(t *testing.T) {
	promtool(t, append([]string{"test", "rules"}, files(t, "rules/tests/*.yaml")...)...)
}

// TestAlertsAreTested checks that each alert fires in the test of the alerts.
func TestAlertsAreTested(t *testing.T) {
	alerts, tests := read(t, "rules/alerts.yaml"), read(t, "rules/tests/alerts_test.yaml")
	for _, m := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(alerts, -1) {
		if !regexp.MustCompile(`alertname: ` + m[1] + `\n\s+eval_time: \w+\n\s+exp_alerts:\n`).MatchString(tests) {
			t.Errorf("no test in which %s fires", m[1])
		}
	}
}

func TestRulesAreEmbedded(t *testing.T) {
	var names []string
	err := fs.WalkDir(grafana.Rules(), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := files(t, "rules/*.yaml"); !slices.Equal(names, want) {
		t.Errorf("got embedded files %v, want %v", names, want)
	}
}

// identifier matches the name of a metric in an expression.
var identifier = regexp.MustCompile(`\b(?:insighthub[_:][a-z0-9_:]+|process_[a-z_]+|ALERTS)\b`)

// recorded lists the names that the rules record.
func recorded(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, file := range files(t, "rules/*.yaml") {
		for _, m := range regexp.MustCompile(`(?m)record: (\S+)$`).FindAllStringSubmatch(read(t, file), -1) {
			out = append(out, m[1])
		}
	}
	return out
}

func known(t *testing.T) []string {
	t.Helper()
	return slices.Concat(grafana.KPIMetrics(), grafana.AnomalyMetrics(), grafana.FunctionMetrics(), grafana.ServerMetrics(), recorded(t))
}

// TestRulesNameKnownMetrics checks all names, including those in comments.
func TestRulesNameKnownMetrics(t *testing.T) {
	names := known(t)
	for _, file := range slices.Concat(files(t, "rules/*.yaml"), files(t, "rules/tests/*.yaml")) {
		for _, name := range identifier.FindAllString(read(t, file), -1) {
			if !slices.Contains(names, name) {
				t.Errorf("%s: unknown metric %s", file, name)
			}
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func trim(s, suffix string) string { return strings.TrimSuffix(s, suffix) }
