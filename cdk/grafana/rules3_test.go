package grafana_test

import (
	"os/exec"
	"slices"
	"testing"

	"github.com/insighthub/insighthub/cdk/local/prometheus/prometheustest"
)

// TestRulesInPrometheus3 runs the rules' tests with Prometheus 3, which evaluates some
// expressions differently, such as the ends of ranges.
func TestRulesInPrometheus3(t *testing.T) {
	tool := prometheustest.Promtool(prometheustest.Server3(t))
	for _, arguments := range [][]string{
		slices.Concat([]string{"check", "rules", "--lint=all", "--lint-fatal"}, files(t, "rules/*.yaml")),
		slices.Concat([]string{"test", "rules"}, files(t, "rules/tests/*.yaml")),
	} {
		if out, err := exec.CommandContext(t.Context(), tool, arguments...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", arguments[0], err, out)
		}
	}
}
