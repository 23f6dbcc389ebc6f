package remotewrite

import (
	"math"

	"github.com/prometheus/prometheus/prompb"
)

func (e *encoder) fillV1(series []Series, parts []part, describe func(family string) bool) {
	req := &e.v1
	req.Timeseries, req.Metadata = req.Timeseries[:0], req.Metadata[:0]
	for _, p := range parts {
		s := &series[p.series]
		if name := s.name(); s.Metadata != (Metadata{}) && describe != nil && describe(name) {
			req.Metadata = append(req.Metadata, prompb.MetricMetadata{
				Type: prompb.MetricMetadata_MetricType(s.Metadata.Type), MetricFamilyName: name,
				Help: s.Metadata.Help, Unit: s.Metadata.Unit,
			})
		}
		if len(s.Histograms) > 0 {
			for i := p.from; i < p.to; i++ {
				last := i == p.to-1
				e.classic(s, &s.Histograms[i], func(c classicSeries) {
					ts := e.addV1(c.labels)
					e.sent.samples++
					ts.Samples = append(ts.Samples, prompb.Sample{Value: c.value, Timestamp: c.timestamp})
					if p.from == 0 && last {
						e.addExemplarsV1(ts, s.Exemplars, c.low, c.high)
					}
				})
			}
			continue
		}
		ts := e.addV1(e.sorted(s.Labels))
		e.sent.samples += p.to - p.from
		for _, v := range s.Samples[p.from:p.to] {
			ts.Samples = append(ts.Samples, prompb.Sample{Value: v.Value, Timestamp: v.Timestamp})
		}
		if p.from == 0 {
			e.addExemplarsV1(ts, s.Exemplars, math.Inf(-1), math.Inf(1))
		}
	}
}

func (e *encoder) addV1(labels []Label) *prompb.TimeSeries {
	var ts *prompb.TimeSeries
	e.v1.Timeseries, ts = grow(e.v1.Timeseries)
	ts.Labels, ts.Samples, ts.Exemplars = ts.Labels[:0], ts.Samples[:0], ts.Exemplars[:0]
	for _, l := range labels {
		ts.Labels = append(ts.Labels, prompb.Label{Name: l.Name, Value: l.Value})
	}
	return ts
}

func (e *encoder) addExemplarsV1(ts *prompb.TimeSeries, exemplars []Exemplar, low, high float64) {
	for i := range exemplars {
		x := &exemplars[i]
		if !(x.Value > low && x.Value <= high) {
			continue
		}
		var to *prompb.Exemplar
		ts.Exemplars, to = grow(ts.Exemplars)
		e.sent.exemplars++
		to.Value, to.Timestamp, to.Labels = x.Value, x.Timestamp, to.Labels[:0]
		for _, l := range x.Labels {
			to.Labels = append(to.Labels, prompb.Label{Name: l.Name, Value: l.Value})
		}
	}
}
