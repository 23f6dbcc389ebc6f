package detect

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// metrics count what the function has done.
type metrics struct {
	invocations, events, anomalies  *prometheus.CounterVec
	notifications, figures, seconds *prometheus.CounterVec
	poison, refused                 prometheus.Counter
	stateBytes                      prometheus.Gauge
	series                          *prometheus.GaugeVec
	// The difference of these two is how far a shard is behind. Both only grow, so
	// the greatest of all instances is true, whoever had the shard before.
	handled, arrival *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"shard"})
	}
	m := &metrics{
		invocations:   counter("insighthub_detect_invocations_total", "Invocations of the detector, by how they ended.", "outcome"),
		events:        counter("insighthub_detect_events_total", "Events that the detector has read, by what became of them; those of failed invocations are read again.", "outcome"),
		anomalies:     counter("insighthub_anomalies_total", "Anomalies that were found, by what found them.", "kind", "severity"),
		notifications: counter("insighthub_detect_notifications_total", "Anomalies, by whether others were told of them: sent, failed, or left out for they were too many.", "outcome"),
		figures:       counter("insighthub_detect_figures_total", "Anomalies, by whether their scores were written to be drawn: written, failed, or left out for they were too many.", "outcome"),
		seconds:       counter("insighthub_detect_phase_seconds_total", "Time spent in each phase of the invocations.", "phase"),
		poison: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "insighthub_detect_poison_records_total", Help: "Records, or parts of aggregated ones, that could not be decoded.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "insighthub_detect_refused_anomalies_total", Help: "Anomalies that the database will never take.",
		}),
		stateBytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "insighthub_detect_state_bytes", Help: "Size of the state that was saved last.",
		}),
		series:  gauge("insighthub_detect_series", "Series of the shard that are scored or watched by rules."),
		handled: gauge("insighthub_detect_handled_timestamp_seconds", "When an invocation with records of the shard ended last, whether it succeeded or not."),
		arrival: gauge("insighthub_detect_arrival_timestamp_seconds", "Arrival on the stream of the shard's newest record that is done, or else of the oldest that is not."),
	}
	for label, vec := range map[*prometheus.CounterVec][]string{
		m.invocations:   {"done", "failed"},
		m.events:        {"scored", "unscored", "late", "bad", "refused"},
		m.notifications: {"sent", "failed", "left_out"},
		m.figures:       {"written", "failed", "left_out"},
		m.seconds:       {"load", "fold", "keep", "save"},
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
	for _, c := range []prometheus.Collector{
		m.invocations, m.events, m.anomalies, m.notifications, m.figures, m.seconds, m.poison, m.refused, m.stateBytes, m.series, m.handled, m.arrival,
	} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("metrics of the detector: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) add(v *invocation, records []telemetry.Record, now time.Time, err error) {
	outcome, reached := "done", records[len(records)-1].Arrival
	if err != nil {
		outcome, reached = "failed", records[0].Arrival
	}
	shard := string(v.shard)
	m.handled.WithLabelValues(shard).Set(unix(now))
	if !reached.IsZero() {
		m.arrival.WithLabelValues(shard).Set(unix(reached))
	}
	m.invocations.WithLabelValues(outcome).Inc()
	for name, n := range map[string]int{
		"scored": v.report.Scored, "unscored": v.report.Watched, "late": v.report.Late, "bad": v.report.Bad, "refused": v.report.Refused,
	} {
		m.events.WithLabelValues(name).Add(float64(n))
	}
	for name, n := range map[string]int{"sent": v.told.told, "failed": v.told.failed, "left_out": v.told.left} {
		m.notifications.WithLabelValues(name).Add(float64(n))
	}
	for name, n := range map[string]int{"written": v.drawn.told, "failed": v.drawn.failed, "left_out": v.drawn.left} {
		m.figures.WithLabelValues(name).Add(float64(n))
	}
	m.poison.Add(float64(v.poison))
	for name, d := range map[string]time.Duration{"load": v.load, "fold": v.fold, "keep": v.keep, "save": v.save} {
		m.seconds.WithLabelValues(name).Add(d.Seconds())
	}
	if v.size > 0 {
		m.stateBytes.Set(float64(v.size))
	}
	if err != nil { // what a failed invocation found is found again
		return
	}
	m.refused.Add(float64(v.kept.Refused))
	m.series.WithLabelValues(shard).Set(float64(v.series))
	for i := range v.found {
		m.anomalies.WithLabelValues(string(v.found[i].Kind), string(v.found[i].Severity)).Inc()
	}
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
