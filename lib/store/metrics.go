package store

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count the outcomes of events and records. A redelivered event or record is
// counted again: as duplicate, conflict or poison.
type metrics struct{ events, duplicates, conflicts, poison prometheus.Counter }

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "insighthub_store_" + name, Help: help})
	}
	m := &metrics{
		events:     counter("events_total", "Events that were new and are stored."),
		duplicates: counter("duplicates_total", "Events that were stored already."),
		conflicts:  counter("conflicts_total", "Events with the identity of a stored event and another value or quality."),
		poison:     counter("poison_records_total", "Records, or parts of aggregated ones, that cannot be stored and were dead-lettered."),
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
