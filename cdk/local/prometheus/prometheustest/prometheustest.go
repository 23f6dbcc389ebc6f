// Package prometheustest finds the Prometheus servers that tests run against.
package prometheustest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/insighthub/insighthub/cdk/local/process/processtest"
)

// Server returns the path of the server that the local stack runs too:
// INSIGHTHUB_TEST_PROMETHEUS, else the unpacked one, else that of the PATH. Without any
// the test is skipped, and fails if INSIGHTHUB_TEST_REQUIRED is 1 or CI is true.
func Server(tb testing.TB) string {
	tb.Helper()
	return processtest.Program(tb, "INSIGHTHUB_TEST_PROMETHEUS", "prometheus", "prometheus", "cdk/local/prometheus/install.sh")
}

// Server3 returns the path of a Prometheus 3, which accepts remote write 2.0 and native
// histograms: INSIGHTHUB_TEST_PROMETHEUS3, or the one that make prometheus3 builds. The
// build takes minutes, so without it the test is skipped; if the variable has any value,
// such as "required", the test fails.
func Server3(tb testing.TB) string {
	tb.Helper()
	named := os.Getenv("INSIGHTHUB_TEST_PROMETHEUS3")
	if named != "" && named != "required" {
		if _, err := os.Stat(named); err != nil {
			tb.Fatalf("INSIGHTHUB_TEST_PROMETHEUS3: %v", err)
		}
		return named
	}
	built := processtest.Local(tb, "prometheus3", "bin", "prometheus")
	if _, err := os.Stat(built); err == nil {
		return built
	}
	const how = "Prometheus 3 is not installed: run make prometheus3, or set INSIGHTHUB_TEST_PROMETHEUS3 to the server's path"
	if named != "" {
		tb.Fatal(how)
	}
	tb.Skip(how)
	return ""
}

// Promtool returns the promtool beside a server.
func Promtool(server string) string { return filepath.Join(filepath.Dir(server), "promtool") }
