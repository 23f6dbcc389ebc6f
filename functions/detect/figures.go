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

// scoreFigure is the metric of which an anomaly is a sample: its score, at the time of
// its event, with the labels site, gateway, device, metric (of a machine's none) and
// kind. Counts and rates of anomalies are those of its samples, which come out the same
// however often the function finds them; counters of its processes could not say of
// whose machine they are, and would be too many.
const scoreFigure = "insighthub_anomaly_score"

// figures are the scores in Prometheus.
type figures struct{ client metrics.Writer }

var _ detect.Notifier = figures{}

// newFigures returns nil without a Prometheus to write to.
func newFigures(h *lambdahost.Host) (detect.Notifier, error) {
	// One attempt: the stream does not wait for scores.
	client, err := h.RemoteWrite(remotewrite.Config{MaxAttempts: 1, MaxBisections: 16})
	if client == nil || err != nil {
		return nil, err
	}
	return figures{client}, nil
}

func (f figures) Notify(ctx context.Context, found []directory.Anomaly) (int, error) {
	series, anomalies := seriesOf(found)
	result, err := f.client.Write(ctx, series)
	if err != nil {
		settled := 0
		for _, n := range anomalies[:result.Settled] {
			settled += n
		}
		return max(settled-lost(&result), 0), err
	}
	if n := lost(&result); n > 0 {
		return max(len(found)-n, 0), fmt.Errorf("%w: %s", errRefused, result.Rejected[0].Reason)
	}
	return len(found), nil
}

var errRefused = errors.New("samples refused")

// lost counts the samples that are rejected and not duplicates, such as those of an
// invocation that is repeated.
func lost(result *remotewrite.Result) (n int) {
	for i := range result.Rejected {
		if !result.Rejected[i].Duplicate {
			n += result.Rejected[i].Samples
		}
	}
	return n
}

// seriesOf returns the samples by series, and how many anomalies each series stands
// for. Of two within a millisecond, which is as fine as Prometheus's clock is, the
// greater score stays.
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
					{Name: remotewrite.NameLabel, Value: scoreFigure},
					{Name: "device", Value: string(a.Device)},
					{Name: "gateway", Value: string(a.Gateway)},
					{Name: "kind", Value: string(a.Kind)},
					{Name: "metric", Value: string(a.Metric)},
					{Name: "site", Value: string(a.Site)},
				},
				Metadata: remotewrite.Metadata{Type: remotewrite.Gauge, Help: "Score of an anomaly, at the time of its event; a rule's is 1."},
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
