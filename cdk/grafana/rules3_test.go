package grafana_test

import (
	"os/exec"
	"slices"
	"testing"

	"github.com/insighthub/insighthub/cdk/local/prometheus/prometheustest"
)

// Prometheus 3 evaluates some things otherwise, such as the ends of ranges: the rules
// have to mean the same to it.
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
