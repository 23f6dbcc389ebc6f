package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/insighthub/insighthub/lib/detect"
	"github.com/insighthub/insighthub/lib/directory"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/lambda/metrics"
	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
)

// scoreMetric is the metric that has a sample for each anomaly: its score at the time
// of its event, with the labels site, gateway, device, kind, and metric unless the
// anomaly is of a whole machine. Operators count these samples: a redelivered record
// writes the same ones. A counter per machine would be too many series per environment.
const scoreMetric = "insighthub_anomaly_score"

// scores exports anomaly scores to Prometheus.
type scores struct{ client metrics.Writer }

var _ detect.Notifier = scores{}

// newScores returns nil if no remote write URL is configured.
func newScores(h *lambdahost.Host) (detect.Notifier, error) {
	// One attempt: the stream does not wait for scores.
	client, err := h.RemoteWrite(remotewrite.Config{MaxAttempts: 1})
	if client == nil || err != nil {
		return nil, err
	}
	return scores{client}, nil
}

func (s scores) Notify(ctx context.Context, found []directory.Anomaly) (int, error) {
	series, anomalies := seriesOf(found)
	result, err := s.client.Write(ctx, series)
	if err != nil {
		settled := 0
		for _, n := range anomalies[:result.Settled] {
			settled += n
		}
		return max(settled-lost(&result), 0), err
	}
	if n := lost(&result); n > 0 {
		first := slices.IndexFunc(result.Rejected, func(r remotewrite.Rejection) bool { return !r.Duplicate })
		return max(len(found)-n, 0), fmt.Errorf("%w: %s: %s", errRejected, result.Rejected[first].Labels, result.Rejected[first].Reason)
	}
	return len(found), nil
}

var errRejected = errors.New("samples rejected")

// lost counts the rejected samples, without the duplicates that a repeated invocation
// writes.
func lost(result *remotewrite.Result) (n int) {
	for i := range result.Rejected {
		if !result.Rejected[i].Duplicate {
			n += result.Rejected[i].Samples
		}
	}
	return n
}

// seriesOf returns the samples by series, and the number of anomalies in each series.
// Of two anomalies in one millisecond, the resolution of Prometheus, it exports the
// greater score.
func seriesOf(found []directory.Anomaly) (series []remotewrite.Series, anomalies []int) {
	order := make([]*directory.Anomaly, len(found))
	for i := range found {
		order[i] = &found[i]
	}
	same := func(a, b *directory.Anomaly) int {
		return cmp.Or(cmp.Compare(a.Site, b.Site), cmp.Compare(a.Gateway, b.Gateway), cmp.Compare(a.Device, b.Device),
			cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Kind, b.Kind))
	}
	slices.SortFunc(order, func(a, b *directory.Anomaly) int {
		return cmp.Or(same(a, b), cmp.Compare(a.Time, b.Time), cmp.Compare(a.Score, b.Score))
	})
	const microsPerMilli = 1000
	for i, a := range order {
		if i == 0 || same(order[i-1], a) != 0 {
			series = append(series, remotewrite.Series{
				Labels: []remotewrite.Label{
					{Name: remotewrite.NameLabel, Value: scoreMetric},
					{Name: "device", Value: string(a.Device)},
					{Name: "gateway", Value: string(a.Gateway)},
					{Name: "kind", Value: string(a.Kind)},
					{Name: "metric", Value: string(a.Metric)},
					{Name: "site", Value: string(a.Site)},
				},
				Metadata: remotewrite.Metadata{Type: remotewrite.Gauge, Help: "Score of an anomaly at the time of its event."},
			})
			anomalies = append(anomalies, 0)
		}
		s := &series[len(series)-1]
		anomalies[len(series)-1]++
		sample := remotewrite.Sample{Timestamp: int64(a.Time) / microsPerMilli, Value: a.Score}
		if n := len(s.Samples); n > 0 && s.Samples[n-1].Timestamp == sample.Timestamp {
			s.Samples[n-1].Value = max(s.Samples[n-1].Value, sample.Value)
			continue
		}
		s.Samples = append(s.Samples, sample)
	}
	return series, anomalies
}
