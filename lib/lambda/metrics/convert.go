package metrics

import (
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
)

// converter turns gathered families into series, in memory that is reused.
type converter struct {
	labels []remotewrite.Label // of every series
	series []remotewrite.Series
}

// convert returns a series for each counter, gauge, untyped metric and
// histogram, with the time now and the exemplars since then. Summaries are left out:
// their quantiles cannot be aggregated over instances.
func (c *converter) convert(families []*dto.MetricFamily, now, since time.Time) []remotewrite.Series {
	c.series = c.series[:0]
	for _, family := range families {
		kind, ok := kindOf(family.GetType())
		if !ok {
			continue
		}
		metadata := remotewrite.Metadata{Type: kind, Help: family.GetHelp(), Unit: family.GetUnit()}
		for _, m := range family.GetMetric() {
			s := c.next()
			s.Metadata = metadata
			s.Labels = c.appendLabels(s.Labels, family.GetName(), m.GetLabel())
			at := now.UnixMilli()
			exemplars := exemplars{to: &s.Exemplars, now: at, since: since}
			if h := m.GetHistogram(); h != nil {
				s.Histograms = append(s.Histograms, histogram(h, at, kind == remotewrite.GaugeHistogram))
				for _, b := range h.GetBucket() {
					exemplars.add(b.GetExemplar())
				}
				if len(h.GetBucket()) == 0 { // otherwise the same ones
					exemplars.add(h.GetExemplars()...)
				}
				continue
			}
			exemplars.add(m.GetCounter().GetExemplar())
			s.Samples = append(s.Samples, remotewrite.Sample{Timestamp: at, Value: value(m)})
		}
	}
	return c.series
}

func kindOf(t dto.MetricType) (remotewrite.MetricType, bool) {
	switch t {
	case dto.MetricType_COUNTER:
		return remotewrite.Counter, true
	case dto.MetricType_GAUGE:
		return remotewrite.Gauge, true
	case dto.MetricType_UNTYPED:
		return remotewrite.Unspecified, true
	case dto.MetricType_HISTOGRAM:
		return remotewrite.HistogramType, true
	case dto.MetricType_GAUGE_HISTOGRAM:
		return remotewrite.GaugeHistogram, true
	case dto.MetricType_SUMMARY:
	}
	return 0, false
}

func value(m *dto.Metric) float64 {
	switch {
	case m.GetCounter() != nil:
		return m.GetCounter().GetValue()
	case m.GetGauge() != nil:
		return m.GetGauge().GetValue()
	}
	return m.GetUntyped().GetValue()
}

// next returns an empty series with the slices of an earlier one.
func (c *converter) next() *remotewrite.Series {
	if n := len(c.series); n < cap(c.series) {
		c.series = c.series[:n+1]
	} else {
		c.series = append(c.series, remotewrite.Series{})
	}
	s := &c.series[len(c.series)-1]
	s.Labels, s.Samples, s.Histograms, s.Exemplars = s.Labels[:0], s.Samples[:0], s.Histograms[:0], s.Exemplars[:0]
	return s
}

func (c *converter) appendLabels(dst []remotewrite.Label, name string, own []*dto.LabelPair) []remotewrite.Label {
	dst = append(dst, remotewrite.Label{Name: remotewrite.NameLabel, Value: name})
	dst = append(dst, c.labels...)
	for _, l := range own {
		label := remotewrite.Label{Name: l.GetName(), Value: l.GetValue()}
		for _, ours := range c.labels {
			if ours.Name == label.Name {
				label.Name = "exported_" + label.Name
				break
			}
		}
		dst = append(dst, label)
	}
	return dst
}

func histogram(h *dto.Histogram, at int64, gauge bool) remotewrite.Histogram {
	out := remotewrite.Histogram{Timestamp: at, Count: h.GetSampleCount(), Sum: h.GetSampleSum(), Gauge: gauge}
	for _, b := range h.GetBucket() {
		out.Buckets = append(out.Buckets, remotewrite.Bucket{UpperBound: b.GetUpperBound(), CumulativeCount: b.GetCumulativeCount()})
	}
	// A native histogram without observations has a span of length 0.
	if h.Schema != nil && (h.GetZeroThreshold() > 0 || len(h.GetPositiveSpan())+len(h.GetNegativeSpan()) > 0) {
		out.Native = &remotewrite.Native{
			Schema: h.GetSchema(), ZeroThreshold: h.GetZeroThreshold(), ZeroCount: h.GetZeroCount(),
			PositiveSpans: spans(h.GetPositiveSpan()), PositiveDeltas: h.GetPositiveDelta(),
			NegativeSpans: spans(h.GetNegativeSpan()), NegativeDeltas: h.GetNegativeDelta(),
		}
	}
	return out
}

func spans(in []*dto.BucketSpan) []remotewrite.Span {
	out := make([]remotewrite.Span, len(in))
	for i, s := range in {
		out[i] = remotewrite.Span{Offset: s.GetOffset(), Length: s.GetLength()}
	}
	return out
}

// exemplars collects the exemplars that were not written before.
type exemplars struct {
	to    *[]remotewrite.Exemplar
	now   int64
	since time.Time
}

func (e *exemplars) add(found ...*dto.Exemplar) {
	for _, x := range found {
		if x == nil {
			continue
		}
		out := remotewrite.Exemplar{Value: x.GetValue(), Timestamp: e.now}
		if x.GetTimestamp() != nil {
			if x.GetTimestamp().AsTime().Before(e.since) {
				continue
			}
			out.Timestamp = x.GetTimestamp().AsTime().UnixMilli()
		}
		for _, l := range x.GetLabel() {
			out.Labels = append(out.Labels, remotewrite.Label{Name: l.GetName(), Value: l.GetValue()})
		}
		*e.to = append(*e.to, out)
	}
}
