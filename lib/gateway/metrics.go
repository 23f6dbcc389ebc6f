package gateway

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

const metricPrefix = "insighthub_live_"

// metrics are the publisher's. Viewers come and go, so what they count is summed: of those that are
// present when it is collected, and of those before.
type metrics struct {
	published, rejected, turnedAway prometheus.Counter
	past                            Stats
	publisher                       *Publisher
	registerer                      prometheus.Registerer
	viewers, events                 *prometheus.Desc
}

func newMetrics(p *Publisher, r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: metricPrefix + name, Help: help})
	}
	m := &metrics{
		publisher: p, registerer: r,
		published:  counter("published_events_total", "Events that were handed to Publish."),
		rejected:   counter("rejected_batches_total", "Batches that Publish rejected as invalid."),
		turnedAway: counter("rejected_viewers_total", "Connections that were rejected because the gateway had as many as it may have."),
		viewers:    prometheus.NewDesc(metricPrefix+"viewers", "Peer connections that have channels.", nil, nil),
		events: prometheus.NewDesc(metricPrefix+"viewer_events_total",
			"Events for viewers: delivered to the channel, superseded by a newer one, refused by the channel, sent as history.",
			[]string{"outcome"}, nil),
	}
	if r == nil {
		return m, nil
	}
	if err := r.Register(m); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return m, nil
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	out <- m.published.Desc()
	out <- m.rejected.Desc()
	out <- m.turnedAway.Desc()
	out <- m.viewers
	out <- m.events
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	m.published.Collect(out)
	m.rejected.Collect(out)
	m.turnedAway.Collect(out)
	present := m.publisher.Stats()
	m.publisher.mu.Lock()
	sum := m.past
	m.publisher.mu.Unlock()
	for _, s := range present {
		sum.add(s)
	}
	out <- prometheus.MustNewConstMetric(m.viewers, prometheus.GaugeValue, float64(len(present)))
	for outcome, n := range map[string]uint64{
		"delivered": sum.Delivered, "superseded": sum.Superseded, "refused": sum.Refused, "history": sum.History,
	} {
		out <- prometheus.MustNewConstMetric(m.events, prometheus.CounterValue, float64(n), outcome)
	}
}

// ended adds the counters of a viewer that is gone.
func (m *metrics) ended(s Stats) {
	m.publisher.mu.Lock()
	m.past.add(s)
	m.publisher.mu.Unlock()
}

func (s *Stats) add(o Stats) {
	s.Delivered += o.Delivered
	s.Superseded += o.Superseded
	s.Refused += o.Refused
	s.History += o.History
}

func (m *metrics) unregister() {
	if m.registerer != nil {
		m.registerer.Unregister(m)
	}
}
