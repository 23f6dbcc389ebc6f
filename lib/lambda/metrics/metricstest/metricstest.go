// Package metricstest holds a function's metrics against the conventions, and reads
// what its invocations cost.
package metricstest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"github.com/insighthub/insighthub/lib/lambda/metrics"
)

// Check fails the test unless the registry
//
//   - has each of the named metrics from the start, and no counter of the platform's
//     own that does not begin at 0;
//   - follows Prometheus's conventions on names and units, by promtool's judgement;
//   - has no more series than one environment may have.
//
// It is for the registry of a function that has not been invoked, or a handler that
// has such a one (metrics.Function).
func Check(tb testing.TB, registry any, names ...string) {
	tb.Helper()
	gatherer, ok := registry.(prometheus.Gatherer)
	if !ok {
		tb.Fatalf("a %T has no metrics", registry)
	}
	families, err := gatherer.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	series := 0
	for _, f := range families {
		names = slices.DeleteFunc(names, func(name string) bool { return name == f.GetName() })
		for _, m := range f.GetMetric() {
			series += seriesOf(f.GetType(), m)
			if c := m.GetCounter(); c.GetValue() != 0 && strings.HasPrefix(f.GetName(), "insighthub_") {
				tb.Errorf("%s begins with %v", f.GetName(), c.GetValue())
			}
		}
	}
	if len(names) > 0 {
		tb.Errorf("not there from the start: %v", names)
	}
	if series > metrics.SeriesPerInstance {
		tb.Errorf("%d series, want at most %d", series, metrics.SeriesPerInstance)
	}
	conventions(tb, gatherer)
}

// seriesOf counts what Prometheus makes of a metric.
func seriesOf(kind dto.MetricType, m *dto.Metric) int {
	switch kind {
	case dto.MetricType_SUMMARY:
		return 0 // not sent
	case dto.MetricType_HISTOGRAM, dto.MetricType_GAUGE_HISTOGRAM:
		return len(m.GetHistogram().GetBucket()) + len([]string{"+Inf", "sum", "count"})
	case dto.MetricType_COUNTER, dto.MetricType_GAUGE, dto.MetricType_UNTYPED:
	}
	return 1
}

func conventions(tb testing.TB, gatherer prometheus.Gatherer) {
	tb.Helper()
	page := httptest.NewRecorder()
	request := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/metrics", http.NoBody)
	promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{}).ServeHTTP(page, request)
	check := exec.CommandContext(tb.Context(), promtool(tb), "check", "metrics") //nolint:gosec // the path is the developer's own
	check.Stdin = page.Body
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		tb.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// promtool returns the program: that beside the server which INSIGHTHUB_TEST_PROMETHEUS
// names, else the unpacked one, else that of the PATH. Without any the test is skipped,
// and fails where INSIGHTHUB_TEST_REQUIRED is 1 or CI is true.
func promtool(tb testing.TB) string {
	tb.Helper()
	getenv := os.Getenv //nolint:forbidigo // this is a part of tests
	if v := getenv("INSIGHTHUB_TEST_PROMETHEUS"); v != "" {
		return filepath.Join(filepath.Dir(v), "promtool")
	}
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		path := filepath.Join(dir, ".local", "prometheus", "bin", "promtool")
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	if path, err := exec.LookPath("promtool"); err == nil {
		return path
	}
	const how = "no promtool: run cdk/local/prometheus/install.sh .local/prometheus, or set INSIGHTHUB_TEST_PROMETHEUS to the server's path"
	if getenv("CI") == "true" || getenv("INSIGHTHUB_TEST_REQUIRED") == "1" {
		tb.Fatal(how)
	}
	tb.Skip(how)
	return ""
}
