package store

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// stages are the times of a batch on its way from the API to the database. The clocks are
// those of ingest, of the stream (milliseconds) and of the store; a difference below zero
// counts as zero.
type stages struct {
	streamed, taken, committed, stored prometheus.Observer
}

func newStages(r prometheus.Registerer) (stages, error) {
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "insighthub_store_stage_seconds",
		Help: "Time of each batch in a stage: streamed (accepted by the API to arrived on the stream), taken (to the start of the " +
			"invocation), committed (to the database's confirmation), stored (all of them). Redelivered batches count again.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, 1, 10},
	}, []string{"stage"})
	if err := r.Register(seconds); err != nil {
		return stages{}, fmt.Errorf("metrics of the store: %w", err)
	}
	return stages{
		streamed: seconds.WithLabelValues("streamed"), taken: seconds.WithLabelValues("taken"),
		committed: seconds.WithLabelValues("committed"), stored: seconds.WithLabelValues("stored"),
	}, nil
}

// observe counts the batches of an invocation that was committed. A stage of which a time
// is not known is left out.
func (s *stages) observe(run *invocation, committed telemetry.Micros) {
	if committed == 0 {
		return
	}
	taken := telemetry.MicrosOf(run.taken)
	for i, b := range run.batches {
		if run.pieces[i].record >= run.failed {
			break // delivered again, and counted then
		}
		if arrival := run.records[run.pieces[i].record].Arrival; !arrival.IsZero() {
			arrived := telemetry.MicrosOf(arrival)
			if b.Received != 0 {
				s.streamed.Observe(seconds(arrived - b.Received))
			}
			s.taken.Observe(seconds(taken - arrived))
		}
		s.committed.Observe(seconds(committed - taken))
		if b.Received != 0 {
			s.stored.Observe(seconds(committed - b.Received))
		}
	}
}

func seconds(d telemetry.Micros) float64 { return max(0, float64(d)/1e6) }
