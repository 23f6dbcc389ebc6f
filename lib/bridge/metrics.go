package bridge

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count events and samples by their outcome.
type metrics struct {
	events, samples, rejections *prometheus.CounterVec
	invalid                     prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "insighthub_bridge_events_total",
			Help: "Events that the bridge has read, by outcome; those of failed invocations are counted again.",
		}, []string{"outcome"}),
		samples: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "insighthub_bridge_samples_total",
			Help: "Samples by the receiver's response; of a duplicate it has that time or a newer one, one not sent is sent again.",
		}, []string{"outcome"}),
		rejections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "insighthub_bridge_rejections_total",
			Help: "Samples that the receiver did not accept, duplicates among them, by the kind of its reason.",
		}, []string{"reason"}),
		invalid: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "insighthub_bridge_invalid_kpi_configs",
			Help: "KPI configurations with problems: nothing is computed for their devices.",
		}),
	}
	for _, outcome := range []string{"written", "rejected", "duplicate", "not_sent"} {
		m.samples.WithLabelValues(outcome)
	}
	// From the start, as every counter: the first rejection is an increase then.
	for _, reason := range []string{"out_of_order", "conflict", "too_old", "too_new", "limit", "too_large", "invalid", "other"} {
		m.rejections.WithLabelValues(reason)
	}
	for _, c := range []prometheus.Collector{m.events, m.samples, m.rejections, m.invalid} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("metrics of the bridge: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) add(c *counts, w *writer, invalid int) {
	m.invalid.Set(float64(invalid))
	r := &c.report
	for outcome, n := range map[string]int{
		"accepted": r.Accepted, "duplicate": r.Duplicates, "late": r.Late, "early": r.Early,
		"refused": r.Refused, "unverified": r.Unverified, "crowded": r.Crowded,
	} {
		m.events.WithLabelValues(outcome).Add(float64(n))
	}
	for outcome, n := range map[string]int{
		"written": w.written, "rejected": w.rejected, "duplicate": w.duplicates, "not_sent": w.notSent,
	} {
		m.samples.WithLabelValues(outcome).Add(float64(n))
	}
	for reason, n := range w.reasons {
		m.rejections.WithLabelValues(reason).Add(float64(n))
	}
}
