package remotewrite

import (
	"math"

	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

func (e *encoder) fillV2(series []Series, parts []part) {
	e.symbols.Reset()
	req := &e.v2
	req.Timeseries = req.Timeseries[:0]
	for _, p := range parts {
		s := &series[p.series]
		if len(s.Histograms) > 0 {
			e.histogramsV2(s, p)
			continue
		}
		ts := e.addV2(s, e.sorted(s.Labels))
		e.sent.samples += p.to - p.from
		for _, v := range s.Samples[p.from:p.to] {
			ts.Samples = append(ts.Samples, writev2.Sample{Value: v.Value, Timestamp: v.Timestamp})
		}
		if p.from == 0 {
			e.addExemplarsV2(ts, s.Exemplars, math.Inf(-1), math.Inf(1))
		}
	}
	req.Symbols = e.symbols.Symbols()
}

func (e *encoder) histogramsV2(s *Series, p part) {
	var native *writev2.TimeSeries
	for i := p.from; i < p.to; i++ {
		h := &s.Histograms[i]
		if h.Native == nil {
			last := i == p.to-1
			e.classic(s, h, func(c classicSeries) {
				ts := e.addV2(s, c.labels)
				e.sent.samples++
				ts.Samples = append(ts.Samples, writev2.Sample{Value: c.value, Timestamp: c.timestamp})
				if p.from == 0 && last {
					e.addExemplarsV2(ts, s.Exemplars, c.low, c.high)
				}
			})
			native = nil // the slice that it points into may have moved
			continue
		}
		if native == nil {
			native = e.addV2(s, e.sorted(s.Labels))
			if p.from == 0 {
				e.addExemplarsV2(native, s.Exemplars, math.Inf(-1), math.Inf(1))
			}
		}
		e.sent.histograms++
		native.Histograms = append(native.Histograms, nativeV2(h))
	}
}

func nativeV2(h *Histogram) writev2.Histogram {
	n := h.Native
	hint := writev2.Histogram_RESET_HINT_UNSPECIFIED
	if h.Gauge {
		hint = writev2.Histogram_RESET_HINT_GAUGE
	}
	return writev2.Histogram{
		Count: &writev2.Histogram_CountInt{CountInt: h.Count}, Sum: h.Sum, Timestamp: h.Timestamp, ResetHint: hint,
		Schema: n.Schema, ZeroThreshold: n.ZeroThreshold, ZeroCount: &writev2.Histogram_ZeroCountInt{ZeroCountInt: n.ZeroCount},
		PositiveSpans: spansV2(n.PositiveSpans), PositiveDeltas: n.PositiveDeltas,
		NegativeSpans: spansV2(n.NegativeSpans), NegativeDeltas: n.NegativeDeltas,
	}
}

func spansV2(spans []Span) []writev2.BucketSpan {
	out := make([]writev2.BucketSpan, len(spans))
	for i, s := range spans {
		out[i] = writev2.BucketSpan{Offset: s.Offset, Length: s.Length}
	}
	return out
}

// addV2 adds a time series with labels and the metadata of s. The pointer is
// valid until the next call.
func (e *encoder) addV2(s *Series, labels []Label) *writev2.TimeSeries {
	var ts *writev2.TimeSeries
	e.v2.Timeseries, ts = grow(e.v2.Timeseries)
	ts.LabelsRefs, ts.Samples, ts.Histograms, ts.Exemplars = ts.LabelsRefs[:0], ts.Samples[:0], ts.Histograms[:0], ts.Exemplars[:0]
	for _, l := range labels {
		ts.LabelsRefs = append(ts.LabelsRefs, e.symbols.Symbolize(l.Name), e.symbols.Symbolize(l.Value))
	}
	ts.Metadata.Type = writev2.Metadata_MetricType(s.Metadata.Type)
	ts.Metadata.HelpRef = e.symbols.Symbolize(s.Metadata.Help)
	ts.Metadata.UnitRef = e.symbols.Symbolize(s.Metadata.Unit)
	return ts
}

func (e *encoder) addExemplarsV2(ts *writev2.TimeSeries, exemplars []Exemplar, low, high float64) {
	for i := range exemplars {
		x := &exemplars[i]
		if !(x.Value > low && x.Value <= high) {
			continue
		}
		var to *writev2.Exemplar
		ts.Exemplars, to = grow(ts.Exemplars)
		e.sent.exemplars++
		to.Value, to.Timestamp, to.LabelsRefs = x.Value, x.Timestamp, to.LabelsRefs[:0]
		for _, l := range e.sorted(x.Labels) {
			to.LabelsRefs = append(to.LabelsRefs, e.symbols.Symbolize(l.Name), e.symbols.Symbolize(l.Value))
		}
	}
}
