// Package prometheustest finds the Prometheus servers that tests run against.
package prometheustest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Server returns the path of the server that the local stack runs too:
// INSIGHTHUB_TEST_PROMETHEUS, else the unpacked one, else that of the PATH. Without any
// the test is skipped, and fails if INSIGHTHUB_TEST_REQUIRED is 1 or CI is true.
func Server(tb testing.TB) string {
	tb.Helper()
	if path := os.Getenv("INSIGHTHUB_TEST_PROMETHEUS"); path != "" {
		return path
	}
	if path := unpacked("prometheus"); path != "" {
		return path
	}
	if path, err := exec.LookPath("prometheus"); err == nil {
		return path
	}
	const how = "Prometheus is not installed: run cdk/local/prometheus/install.sh .local/prometheus, " +
		"or set INSIGHTHUB_TEST_PROMETHEUS to the server's path"
	if os.Getenv("CI") == "true" || os.Getenv("INSIGHTHUB_TEST_REQUIRED") == "1" {
		tb.Fatal(how)
	}
	tb.Skip(how)
	return ""
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
	if path := unpacked("prometheus3"); path != "" {
		return path
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

// unpacked returns the server in a folder of .local, "" if it is missing.
func unpacked(folder string) string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
			continue
		}
		path := filepath.Join(dir, ".local", folder, "bin", "prometheus")
		if _, err := os.Stat(path); err == nil {
			return path
		}
		return ""
	}
	return ""
}
