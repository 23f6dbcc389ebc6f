package stream

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// metrics are the metrics of all consumers; a name begins with the consumer's.
type metrics struct {
	invocations, seconds *prometheus.CounterVec
	poison               prometheus.Counter
	stateBytes           prometheus.Gauge
	// The difference of these two is the shard's lag. Both only increase, so the
	// maximum over all instances is the current value, whichever had the shard before.
	handled, arrival *prometheus.GaugeVec
}

func newMetrics(consumer string, r prometheus.Registerer) (*metrics, error) {
	name := func(s string) string { return "insighthub_" + consumer + "_" + s }
	m := &metrics{
		invocations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: name("invocations_total"), Help: "Invocations, by outcome.",
		}, []string{"outcome"}),
		seconds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: name("phase_seconds_total"), Help: "Time spent in each phase of the invocations.",
		}, []string{"phase"}),
		poison: prometheus.NewCounter(prometheus.CounterOpts{
			Name: name("poison_records_total"), Help: "Records, or parts of aggregated ones, that could not be decoded.",
		}),
		stateBytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: name("state_bytes"), Help: "Size of the state that was saved last.",
		}),
		handled: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: name("handled_timestamp_seconds"),
			Help: "Time of the end of the last invocation with records of the shard, successful or not.",
		}, []string{"shard"}),
		arrival: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: name("arrival_timestamp_seconds"),
			Help: "Arrival on the stream of the newest record of the shard's last invocation if it succeeded, else of the oldest.",
		}, []string{"shard"}),
	}
	for _, outcome := range []string{"done", "failed"} {
		m.invocations.WithLabelValues(outcome)
	}
	for _, phase := range []string{"load", "fold", "write", "save"} {
		m.seconds.WithLabelValues(phase)
	}
	for _, c := range []prometheus.Collector{m.invocations, m.seconds, m.poison, m.stateBytes, m.handled, m.arrival} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("metrics of %s: %w", consumer, err)
		}
	}
	return m, nil
}

// add counts an invocation with its last attempt.
func (m *metrics) add(p *progress, records []telemetry.Record, now time.Time, err error) {
	outcome, reached := "done", records[len(records)-1].Arrival
	if err != nil {
		outcome, reached = "failed", records[0].Arrival
	}
	shard := string(records[0].Shard)
	m.handled.WithLabelValues(shard).Set(unixSeconds(now))
	if !reached.IsZero() {
		m.arrival.WithLabelValues(shard).Set(unixSeconds(reached))
	}
	m.invocations.WithLabelValues(outcome).Inc()
	m.poison.Add(float64(p.poison))
	m.seconds.WithLabelValues("load").Add((p.load + p.confirm).Seconds())
	m.seconds.WithLabelValues("fold").Add(max(0, p.fold).Seconds())
	m.seconds.WithLabelValues("write").Add(p.write.Seconds())
	m.seconds.WithLabelValues("save").Add(p.save.Seconds())
	if p.stateBytes > 0 {
		m.stateBytes.Set(float64(p.stateBytes))
	}
}

func unixSeconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
