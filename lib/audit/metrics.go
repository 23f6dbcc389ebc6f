package audit

import (
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the metrics of the last self-check: insighthub_audit_checks{result} and
// insighthub_audit_last_run_timestamp_seconds. They are registered with the first
// report: without one there is no value to export.
type Metrics struct {
	Registry prometheus.Registerer

	once    sync.Once
	failed  error
	checks  *prometheus.GaugeVec
	lastRun prometheus.Gauge
}

// Set sets the metrics to a report.
func (m *Metrics) Set(r Report) error {
	m.once.Do(func() { m.failed = m.register() })
	if m.failed != nil {
		return fmt.Errorf("metrics of the self-check: %w", m.failed)
	}
	for result, n := range r.Counts {
		m.checks.WithLabelValues(string(result)).Set(float64(n))
	}
	m.lastRun.Set(float64(r.Started.UnixMilli()) / 1000)
	return nil
}

func (m *Metrics) register() error {
	m.checks = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "insighthub_audit_checks", Help: "Findings of the last self-check, by result.",
	}, []string{"result"})
	m.lastRun = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "insighthub_audit_last_run_timestamp_seconds", Help: "Time at which the last self-check started.",
	})
	if err := m.Registry.Register(m.checks); err != nil {
		return err
	}
	return m.Registry.Register(m.lastRun)
}
