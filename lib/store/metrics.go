package store

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// metrics count the outcomes of events and records. A redelivered event or record is
// counted again: as duplicate, conflict or poison.
type metrics struct {
	events, duplicates, conflicts, poison prometheus.Counter
	rejected                              *prometheus.CounterVec
	gateways                              map[telemetry.GatewayID]bool // that rejected has
	stages                                stages
}

// maxGateways bounds the gateways that are counted on their own; few should have rejected
// events at all.
const maxGateways = 200

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "insighthub_store_" + name, Help: help})
	}
	m := &metrics{
		gateways: make(map[telemetry.GatewayID]bool),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "insighthub_store_rejected_events_total",
			Help: "Events that cannot be stored and were dead-lettered, while others of their record are stored. " +
				"The gateway is empty beyond 200 gateways.",
		}, []string{"gateway"}),
		events:     counter("events_total", "Events that were new and are stored."),
		duplicates: counter("duplicates_total", "Events that were stored already."),
		conflicts:  counter("conflicts_total", "Events with the identity of a stored event and another value or quality."),
		poison:     counter("poison_records_total", "Records, or parts of aggregated ones, that cannot be stored and were dead-lettered."),
	}
	for _, c := range []prometheus.Collector{m.events, m.duplicates, m.conflicts, m.poison, m.rejected} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("metrics of the store: %w", err)
		}
	}
	var err error
	if m.stages, err = newStages(r); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *metrics) add(o Outcome, run *invocation) {
	m.events.Add(float64(o.Stored))
	m.duplicates.Add(float64(o.Duplicates))
	m.conflicts.Add(float64(o.Conflicts))
	for _, p := range run.deadLettered {
		if len(p.rejected) == 0 {
			m.poison.Inc()
			continue
		}
		gateway := p.gateway
		if !m.gateways[gateway] {
			if len(m.gateways) >= maxGateways {
				gateway = ""
			}
			m.gateways[gateway] = true
		}
		m.rejected.WithLabelValues(string(gateway)).Add(float64(len(p.rejected)))
	}
}
