package hub

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of one task. None has a label that clients choose.
type metrics struct {
	sockets, sessions, lost, rooms, queued prometheus.Gauge

	received, sent, faults, rejected, resumes, ended *prometheus.CounterVec

	moved, dead, staleCandidates prometheus.Counter
	handling                     prometheus.Histogram
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "insighthub_signaling_" + name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "insighthub_signaling_" + name, Help: help})
	}
	vector := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "insighthub_signaling_" + name, Help: help}, []string{label})
	}
	m := &metrics{
		sockets:  gauge("sockets", "Open WebSockets, those before hello included."),
		sessions: gauge("sessions", "Sessions with a socket that have said hello."),
		lost:     gauge("lost_sessions", "Sessions without a socket that may be resumed."),
		rooms:    gauge("rooms", "Rooms with members on this task."),
		queued:   gauge("queued_bytes", "Bytes that wait for sockets."),
		received: vector("received_messages_total", "Messages of clients.", "type"),
		sent:     vector("sent_messages_total", "Messages to clients.", "type"),
		faults:   vector("errors_total", "Errors that were sent to clients.", "code"),
		rejected: vector("rejected_handshakes_total", "Requests that did not become a WebSocket.", "reason"),
		resumes:  vector("resumes_total", "Hellos with a ticket.", "result"),
		ended:    vector("ended_sockets_total", "Sockets that ended.", "reason"),
		moved:    counter("moves_total", "Clients that were asked to move."),
		dead:     counter("dead_peers_total", "Sockets without a frame for too long."),
		staleCandidates: counter("stale_candidates_total",
			"Candidates that were dropped because they belong to an earlier ICE generation."),
		handling: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "insighthub_signaling_handling_seconds", Help: "From a message being read to it being handed on.",
			Buckets: []float64{.00001, .00003, .0001, .0003, .001, .003, .01, .03, .1, .3, 1},
		}),
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		m.sockets, m.sessions, m.lost, m.rooms, m.queued, m.received, m.sent, m.faults, m.rejected, m.resumes, m.ended,
		m.moved, m.dead, m.staleCandidates, m.handling,
	} {
		errs = append(errs, registerer.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return m, nil
}
