// Package prometheustest finds the Prometheus servers that tests run against.
package prometheustest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Server returns the server's program that the local stack runs too: that which
// INSIGHTHUB_TEST_PROMETHEUS names, else the unpacked one, else that of the PATH.
// Without any the test is skipped, and fails where INSIGHTHUB_TEST_REQUIRED is 1 or
// CI is true.
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
	const how = "no prometheus: run cdk/local/prometheus/install.sh .local/prometheus, or set INSIGHTHUB_TEST_PROMETHEUS to the server's path"
	if os.Getenv("CI") == "true" || os.Getenv("INSIGHTHUB_TEST_REQUIRED") == "1" {
		tb.Fatal(how)
	}
	tb.Skip(how)
	return ""
}

// Server3 returns the program of a Prometheus 3, which takes remote write 2.0 and
// native histograms: that which INSIGHTHUB_TEST_PROMETHEUS3 names, or the one that
// make prometheus3 builds. It takes minutes to build, so without it the test is
// skipped; but when the variable has any value, such as "required", it fails.
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
	const how = "no Prometheus 3: make prometheus3 builds it, or set INSIGHTHUB_TEST_PROMETHEUS3 to the server's path"
	if named != "" {
		tb.Fatal(how)
	}
	tb.Skip(how)
	return ""
}

// Promtool returns the promtool beside a server.
func Promtool(server string) string { return filepath.Join(filepath.Dir(server), "promtool") }

// unpacked returns the server in a folder of .local, "" when there is none.
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
