package store

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count what became of events and records. What is delivered again is
// counted again: as duplicates, conflicts or poison.
type metrics struct{ events, duplicates, conflicts, poison prometheus.Counter }

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "insighthub_store_" + name, Help: help})
	}
	m := &metrics{
		events:     counter("events_total", "Events that were new and are stored."),
		duplicates: counter("duplicates_total", "Events that were stored already."),
		conflicts:  counter("conflicts_total", "Events that contradict the stored one of the same identity."),
		poison:     counter("poison_records_total", "Records, or parts of aggregated ones, that can never be stored and went to the dead letters."),
	}
	for _, c := range []prometheus.Collector{m.events, m.duplicates, m.conflicts, m.poison} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("metrics of the store: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) add(o Outcome, poison int) {
	m.events.Add(float64(o.Stored))
	m.duplicates.Add(float64(o.Duplicates))
	m.conflicts.Add(float64(o.Conflicts))
	m.poison.Add(float64(poison))
}
