package ingest

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count what the handler has done.
type metrics struct {
	requests *prometheus.CounterVec
	byStatus map[int]prometheus.Counter // exported from the start, so that their first increase is seen
	duration prometheus.Histogram
	rejected [reasonCount]prometheus.Counter
}

// statuses are those that responses may have.
func statuses() []int {
	return []int{
		http.StatusAccepted, http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden,
		http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity,
		http.StatusInternalServerError, http.StatusServiceUnavailable,
	}
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "insighthub_ingest_requests_total", Help: "Requests, by HTTP status.",
		}, []string{"code"}),
		byStatus: make(map[int]prometheus.Counter),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "insighthub_ingest_request_duration_seconds", Help: "Time from request to response, inside the function.",
			// Finest around 25 ms, the objective.
			Buckets: []float64{.001, .0025, .005, .01, .015, .02, .025, .05, .1, .25, 1, 5, 20},
		}),
	}
	for _, status := range statuses() {
		m.byStatus[status] = m.requests.WithLabelValues(strconv.Itoa(status))
	}
	rejected := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "insighthub_ingest_rejected_events_total", Help: "Events that were rejected in a response, by reason.",
	}, []string{"reason"})
	for r := accepted + 1; r < reasonCount; r++ {
		m.rejected[r] = rejected.WithLabelValues(r.code())
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration, rejected} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("metrics of ingest: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) add(status int, elapsed time.Duration) {
	requests, ok := m.byStatus[status]
	if !ok {
		requests = m.requests.WithLabelValues(strconv.Itoa(status))
	}
	requests.Inc()
	m.duration.Observe(elapsed.Seconds())
}

// addRejected counts rejected events by reason.
func (m *metrics) addRejected(byReason []int) {
	for r, n := range byReason {
		if n > 0 {
			m.rejected[r].Add(float64(n))
		}
	}
}

// newRecordCounter returns the counter of records put on the stream, a unit of its billing.
func newRecordCounter(r prometheus.Registerer) (prometheus.Counter, error) {
	records := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "insighthub_ingest_records_total", Help: "Records put on the stream.",
	})
	if err := r.Register(records); err != nil {
		return nil, fmt.Errorf("metrics of the stream: %w", err)
	}
	return records, nil
}
