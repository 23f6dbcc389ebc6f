package main

import (
	"context"
	"strings"

	"github.com/insighthub/insighthub/lib/bridge"
	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/lambda/metrics"
	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
)

// receiver implements bridge.Receiver with remote write.
type receiver struct {
	client metrics.Writer
	series []remotewrite.Series // memory for the next write
	sums   map[kpi.Name]string  // help of the machines' sums
}

var _ bridge.Receiver = (*receiver)(nil)

func (r *receiver) Write(ctx context.Context, samples []kpi.Sample) (bridge.Written, error) {
	for len(r.series) < len(samples) {
		r.series = append(r.series, remotewrite.Series{})
	}
	series := r.series[:len(samples)]
	if r.sums == nil {
		r.sums = helpOfSums()
	}
	for i := range samples {
		fill(&series[i], &samples[i], r.sums)
	}
	result, err := r.client.Write(ctx, series)
	out := bridge.Written{
		Samples: result.Samples + result.Histograms, Requests: result.Requests, Settled: result.Settled, NotSent: result.NotSent,
	}
	for _, j := range result.Rejected {
		out.Rejected = append(out.Rejected, bridge.Rejection{
			Series: j.Labels, Reason: j.Reason, Cause: string(j.Cause), Samples: j.Samples, Duplicate: j.Duplicate,
		})
	}
	return out, err
}

// fill sets a series to a sample, and reuses the series' memory.
func fill(s *remotewrite.Series, sample *kpi.Sample, sums map[kpi.Name]string) {
	s.Labels = append(s.Labels[:0],
		remotewrite.Label{Name: remotewrite.NameLabel, Value: string(sample.Name)},
		remotewrite.Label{Name: "device", Value: string(sample.Device)},
		remotewrite.Label{Name: "gateway", Value: string(sample.Gateway)},
		remotewrite.Label{Name: "metric", Value: string(sample.Metric)},
		remotewrite.Label{Name: "reason", Value: sample.Reason},
		remotewrite.Label{Name: "site", Value: string(sample.Site)},
	)
	at := int64(sample.Time / 1000)
	s.Samples, s.Histograms, s.Metadata = s.Samples[:0], s.Histograms[:0], metadata(sample.Name, sums)
	if sample.Lags != nil {
		s.Histograms = append(s.Histograms, histogram(sample.Lags, at))
		return
	}
	s.Samples = append(s.Samples, remotewrite.Sample{Timestamp: at, Value: sample.Value})
}

// histogram returns a window's lags as a classic and a native histogram.
func histogram(lags *kpi.Lags, at int64) remotewrite.Histogram {
	h := remotewrite.Histogram{
		Timestamp: at, Count: lags.Count, Sum: float64(lags.SumMicros) / 1e6, Gauge: true,
		Native: &remotewrite.Native{Schema: kpi.LagSchema, ZeroThreshold: kpi.LagZeroThreshold, ZeroCount: lags.Zero},
	}
	counts := lags.Classic()
	for i, bound := range kpi.ClassicBounds() {
		h.Buckets = append(h.Buckets, remotewrite.Bucket{UpperBound: bound, CumulativeCount: counts[i]})
	}
	n := h.Native
	next, before := 0, int64(0) // the bucket after the last one, and the last one's count
	for i, count := range lags.Buckets {
		if count == 0 {
			continue
		}
		if gap := i - next; len(n.PositiveSpans) == 0 {
			n.PositiveSpans = append(n.PositiveSpans, remotewrite.Span{Offset: int32(i + kpi.LagFirstBucket), Length: 1})
		} else if gap > 0 {
			n.PositiveSpans = append(n.PositiveSpans, remotewrite.Span{Offset: int32(gap), Length: 1})
		} else {
			n.PositiveSpans[len(n.PositiveSpans)-1].Length++
		}
		n.PositiveDeltas = append(n.PositiveDeltas, int64(count)-before)
		next, before = i+1, int64(count)
	}
	return h
}

// metadata returns the metadata of a KPI; all are gauges of one window.
func metadata(name kpi.Name, sums map[kpi.Name]string) remotewrite.Metadata {
	m := remotewrite.Metadata{Type: remotewrite.Gauge, Help: help(name)}
	if m.Help == "" {
		m.Help = sums[name]
	}
	if strings.HasSuffix(string(name), "_seconds") {
		m.Unit = "seconds"
	}
	if name == kpi.IngestLag {
		m.Type = remotewrite.GaugeHistogram
	}
	return m
}

// helpOfSums returns the help of the machines' sums, from their definitions.
func helpOfSums() map[kpi.Name]string {
	out := make(map[kpi.Name]string)
	for _, d := range kpi.MachineSums() {
		out[d.Name] = strings.ToUpper(d.Is[:1]) + d.Is[1:] + " (ISO 22400-2)."
	}
	return out
}

func help(name kpi.Name) string {
	switch name { //nolint:exhaustive // the others are sums of machines
	case kpi.SeriesMin:
		return "Least value of the series in the window."
	case kpi.SeriesMax:
		return "Greatest value of the series in the window."
	case kpi.SeriesMean:
		return "Mean of the values of the series in the window."
	case kpi.SeriesLast:
		return "Last value of the series in the window, by event time."
	case kpi.SeriesSamples:
		return "Usable readings of the series in the window."
	case kpi.Events:
		return "Events of the window, each once."
	case kpi.BadQualityEvents:
		return "Events of the window of bad quality."
	case kpi.DuplicateEvents:
		return "Events of the window that were counted already."
	case kpi.LateEvents:
		return "Events that arrived in the window and belong to a closed one."
	case kpi.EarlyEvents:
		return "Events that arrived in the window and were too far ahead of it."
	case kpi.RefusedEvents:
		return "Events that arrived in the window and exceeded a limit on devices or series."
	case kpi.UnverifiedEvents:
		return "Events of the window that may be duplicates."
	case kpi.CrowdedEvents:
		return "Changes of a state or counter in the window beyond its limit."
	case kpi.IngestLag:
		return "Time from an event to its receipt."
	case kpi.Freshness:
		return "Age of the newest reading at the window's end."
	case kpi.GapSeconds:
		return "Part of the window that lies too long after a reading."
	case kpi.GatewayDevices:
		return "Devices of the gateway that are reported on."
	case kpi.GatewaySeries:
		return "Series of the gateway that are reported on."
	}
	return ""
}
