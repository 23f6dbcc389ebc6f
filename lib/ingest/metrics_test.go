package ingest

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A status that is not in statuses is counted, too.
func TestMetricsOfAnyStatus(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	m, err := newMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	m.add(418, time.Millisecond)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	codes := make(map[string]float64)
	for _, f := range families {
		for _, one := range f.GetMetric() {
			if f.GetName() == "insighthub_ingest_requests_total" {
				codes[one.GetLabel()[0].GetValue()] = one.GetCounter().GetValue()
			}
		}
	}
	if len(codes) != len(statuses())+1 || codes["418"] != 1 || codes["202"] != 0 {
		t.Errorf("got %v, want one 418 and zeros of %v", codes, statuses())
	}
	if _, err := newMetrics(registry); err == nil {
		t.Error("registered twice: got no error")
	}
}

// BenchmarkMetrics is what the handler's own metrics cost a request.
func BenchmarkMetrics(b *testing.B) {
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		m.add(202, 3*time.Millisecond)
	}
}
