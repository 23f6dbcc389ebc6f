package detect

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/directory"
)

// metrics count what the function has done.
type metrics struct {
	events, anomalies, notifications, figures *prometheus.CounterVec
	refused                                   prometheus.Counter
	series                                    *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		events:        counter("insighthub_detect_events_total", "Events that the detector has read, by what became of them; those of failed invocations are read again.", "outcome"),
		anomalies:     counter("insighthub_anomalies_total", "Anomalies found, by kind and severity.", "kind", "severity"),
		notifications: counter("insighthub_detect_notifications_total", "Anomalies by outcome of their notification: sent, failed, or left out because they were too many.", "outcome"),
		figures:       counter("insighthub_detect_figures_total", "Anomalies by outcome of the export of their scores: written, failed, or left out because they were too many.", "outcome"),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "insighthub_detect_refused_anomalies_total", Help: "Anomalies that the database rejected for good.",
		}),
		series: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "insighthub_detect_series", Help: "Series of the shard that are scored or watched by rules.",
		}, []string{"shard"}),
	}
	for label, vec := range map[*prometheus.CounterVec][]string{
		m.events:        {"scored", "unscored", "late", "bad", "refused"},
		m.notifications: {"sent", "failed", "left_out"},
		m.figures:       {"written", "failed", "left_out"},
	} {
		for _, value := range vec {
			label.WithLabelValues(value)
		}
	}
	for _, kind := range []directory.AnomalyKind{directory.ByScore, directory.ByMachine, directory.ByThreshold, directory.ByRate, directory.ByNoData} {
		m.anomalies.WithLabelValues(string(kind), string(directory.Warning))
		if kind == directory.ByScore {
			m.anomalies.WithLabelValues(string(kind), string(directory.Info))
		}
	}
	for _, c := range []prometheus.Collector{m.events, m.anomalies, m.notifications, m.figures, m.refused, m.series} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("metrics of the detector: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) add(shard string, c *counts, found []directory.Anomaly, series int, err error) {
	r := &c.report
	for outcome, n := range map[string]int{
		"scored": r.Scored, "unscored": r.Watched, "late": r.Late, "bad": r.Bad, "refused": r.Refused,
	} {
		m.events.WithLabelValues(outcome).Add(float64(n))
	}
	for outcome, n := range map[string]int{"sent": c.notified.sent, "failed": c.notified.failed, "left_out": c.notified.left} {
		m.notifications.WithLabelValues(outcome).Add(float64(n))
	}
	for outcome, n := range map[string]int{"written": c.exported.sent, "failed": c.exported.failed, "left_out": c.exported.left} {
		m.figures.WithLabelValues(outcome).Add(float64(n))
	}
	if err != nil { // what a failed invocation found is found again
		return
	}
	m.refused.Add(float64(c.kept.Refused))
	m.series.WithLabelValues(shard).Set(float64(series))
	for i := range found {
		m.anomalies.WithLabelValues(string(found[i].Kind), string(found[i].Severity)).Inc()
	}
}
