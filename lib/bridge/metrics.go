package bridge

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// metrics count what the function has done.
type metrics struct {
	invocations, events, samples *prometheus.CounterVec
	skipped                      prometheus.Counter
	seconds                      *prometheus.CounterVec
	stateBytes                   prometheus.Gauge
	// The difference of these two is how far a shard is behind. Both only grow, so
	// the greatest of all instances is true, whoever had the shard before.
	handled, arrival *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		invocations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "insighthub_bridge_invocations_total", Help: "Invocations of the bridge, by how they ended.",
		}, []string{"outcome"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "insighthub_bridge_events_total", Help: "Events that the bridge has read, by what became of them; those of failed invocations are read again.",
		}, []string{"outcome"}),
		samples: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "insighthub_bridge_samples_total", Help: "Samples sent, by what the receiver made of them.",
		}, []string{"outcome"}),
		skipped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "insighthub_bridge_poison_records_total", Help: "Records, or parts of aggregated ones, that could not be decoded.",
		}),
		seconds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "insighthub_bridge_phase_seconds_total", Help: "Time spent in each phase of the invocations.",
		}, []string{"phase"}),
		stateBytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "insighthub_bridge_state_bytes", Help: "Size of the state that was saved last.",
		}),
		handled: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "insighthub_bridge_handled_timestamp_seconds", Help: "When an invocation with records of the shard ended last, whether it succeeded or not.",
		}, []string{"shard"}),
		arrival: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "insighthub_bridge_arrival_timestamp_seconds", Help: "Arrival on the stream of the shard's newest record that is done, or else of the oldest that is not.",
		}, []string{"shard"}),
	}
	for _, outcome := range []string{"done", "failed"} {
		m.invocations.WithLabelValues(outcome)
	}
	for _, outcome := range []string{"written", "rejected", "known"} {
		m.samples.WithLabelValues(outcome)
	}
	for _, c := range []prometheus.Collector{m.invocations, m.events, m.samples, m.skipped, m.seconds, m.stateBytes, m.handled, m.arrival} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("metrics of the bridge: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) add(v *invocation, w *writer, records []telemetry.Record, now time.Time, err error) {
	outcome, reached := "done", records[len(records)-1].Arrival
	if err != nil {
		outcome, reached = "failed", records[0].Arrival
	}
	shard := string(v.shard)
	m.handled.WithLabelValues(shard).Set(seconds(now))
	if !reached.IsZero() {
		m.arrival.WithLabelValues(shard).Set(seconds(reached))
	}
	m.invocations.WithLabelValues(outcome).Inc()
	for name, n := range map[string]int{
		"accepted": v.report.Accepted, "duplicate": v.report.Duplicates, "late": v.report.Late, "early": v.report.Early,
		"refused": v.report.Refused, "unverified": v.report.Unverified, "crowded": v.report.Crowded,
	} {
		m.events.WithLabelValues(name).Add(float64(n))
	}
	for name, n := range map[string]int{"written": w.written, "rejected": w.rejected, "known": w.known} {
		m.samples.WithLabelValues(name).Add(float64(n))
	}
	m.skipped.Add(float64(v.poison))
	for name, d := range map[string]float64{
		"load": v.load.Seconds(), "observe": max(0, v.observe.Seconds()), "write": w.spent.Seconds(), "save": v.save.Seconds(),
	} {
		m.seconds.WithLabelValues(name).Add(d)
	}
	if v.size > 0 {
		m.stateBytes.Set(float64(v.size))
	}
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
