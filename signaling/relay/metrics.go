package relay

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	local, remote, received, failed prometheus.Counter
	lost                            *prometheus.CounterVec
	resyncs                         prometheus.Counter
	outages                         prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer, r *Relay) (*metrics, error) {
	messages := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "insighthub_signaling_relay_messages_total",
		Help: "Messages between peers: local within this task, sent to another task, received from one, or failed.",
	}, []string{"path"})
	m := &metrics{
		local: messages.WithLabelValues("local"), remote: messages.WithLabelValues("sent"),
		received: messages.WithLabelValues("received"), failed: messages.WithLabelValues("failed"),
		lost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "insighthub_signaling_relay_lost_total",
			Help: "Entries of other tasks that did not arrive (gap), arrived twice (repeated), " +
				"could not be read (unreadable), or whose peer is no longer here (moved).",
		}, []string{"reason"}),
		resyncs: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "insighthub_signaling_relay_resyncs_total",
			Help: "Rooms that were read anew because a change was missing.",
		}),
		outages: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "insighthub_signaling_relay_outages_total",
			Help: "Times that Redis could no longer be reached.",
		}),
	}
	for _, reason := range []string{lostGap, lostRepeated, lostUnreadable, lostMoved} {
		m.lost.WithLabelValues(reason)
	}
	up := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "insighthub_signaling_relay_up", Help: "1 if the other tasks can be reached, or if there are none.",
	}, func() float64 {
		if r.Up() {
			return 1
		}
		return 0
	})
	rooms := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "insighthub_signaling_relay_rooms", Help: "Rooms in which this task has members.",
	}, func() float64 { return float64(len(r.sites())) })
	peers := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "insighthub_signaling_relay_peers", Help: "Peers in these rooms, those of other tasks included.",
	}, func() float64 {
		r.mu.RLock()
		defer r.mu.RUnlock()
		return float64(len(r.places))
	})
	var errs []error
	for _, c := range []prometheus.Collector{messages, m.lost, m.resyncs, m.outages, up, rooms, peers} {
		errs = append(errs, registerer.Register(c))
	}
	return m, errors.Join(errs...)
}

// Reasons of signaling_relay_lost_total.
const (
	lostGap        = "gap"
	lostRepeated   = "repeated"
	lostUnreadable = "unreadable"
	lostMoved      = "moved"
)

// Up reports whether the other tasks can be reached; true if there are none.
func (r *Relay) Up() bool { return r.bus == nil || r.bus.up.Load() }
