package detect

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/directory"
)

// metrics are the counters and gauges of the detector.
type metrics struct {
	events, anomalies, notifications, exports *prometheus.CounterVec
	rejected                                  prometheus.Counter
	series                                    *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		events: counter("insighthub_detect_events_total",
			"Events read, by outcome; the events of a failed invocation count again when it is retried.", "outcome"),
		anomalies: counter("insighthub_anomalies_total", "Anomalies found, by kind and severity.", "kind", "severity"),
		notifications: counter("insighthub_detect_notifications_total",
			"Anomalies and ends by outcome of their notification: sent, failed, or left out above the limit of an invocation.", "outcome"),
		exports: counter("insighthub_detect_scores_exported_total",
			"Anomaly scores by outcome of their export: written, failed, or left out above the limit of an invocation.", "outcome"),
		rejected: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "insighthub_detect_rejected_anomalies_total", Help: "Anomalies that the database rejected permanently.",
		}),
		series: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "insighthub_detect_series", Help: "Series of the shard that are scored or watched by rules.",
		}, []string{"shard"}),
	}
	for vec, outcomes := range map[*prometheus.CounterVec][]string{
		m.events:        {"scored", "unscored", "late", "bad", "refused", "held"},
		m.notifications: {"sent", "failed", "left_out"},
		m.exports:       {"written", "failed", "left_out"},
	} {
		for _, outcome := range outcomes {
			vec.WithLabelValues(outcome)
		}
	}
	for _, kind := range []directory.AnomalyKind{
		directory.ByScore, directory.ByMachine, directory.ByThreshold, directory.ByRate, directory.ByNoData,
	} {
		m.anomalies.WithLabelValues(string(kind), string(directory.Warning))
	}
	m.anomalies.WithLabelValues(string(directory.ByScore), string(directory.Info))
	for _, c := range []prometheus.Collector{m.events, m.anomalies, m.notifications, m.exports, m.rejected, m.series} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("metrics of the detector: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) add(shard string, c *counts, found []directory.Anomaly, series int, err error) {
	r := &c.report
	for outcome, n := range map[string]int{
		"scored": r.Scored, "unscored": r.Unscored, "late": r.Late, "bad": r.Bad, "refused": r.Refused, "held": r.Held,
	} {
		m.events.WithLabelValues(outcome).Add(float64(n))
	}
	for outcome, n := range map[string]int{"sent": c.notified.sent, "failed": c.notified.failed, "left_out": c.notified.leftOut} {
		m.notifications.WithLabelValues(outcome).Add(float64(n))
	}
	for outcome, n := range map[string]int{"written": c.exported.sent, "failed": c.exported.failed, "left_out": c.exported.leftOut} {
		m.exports.WithLabelValues(outcome).Add(float64(n))
	}
	if err != nil { // a retry finds the same anomalies
		return
	}
	m.rejected.Add(float64(c.stored.Rejected))
	m.series.WithLabelValues(shard).Set(float64(series))
	for i := range found {
		m.anomalies.WithLabelValues(string(found[i].Kind), string(found[i].Severity)).Inc()
	}
}
