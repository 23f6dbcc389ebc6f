package remotewrite

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"pgregory.net/rapid"
)

// values includes values whose bits an encoding may lose: infinities, and the two NaN bit
// patterns of Prometheus, the second of which marks a series as stale. There is no
// negative zero: Prometheus' types do not write it (TestNegativeZero).
func values() *rapid.Generator[float64] {
	return rapid.Map(rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{
		0, math.Inf(1), math.Inf(-1), math.Float64frombits(0x7ff8000000000001), math.Float64frombits(0x7ff0000000000002),
	})), func(v float64) float64 {
		if v == 0 {
			return 0
		}
		return v
	})
}

func texts() *rapid.Generator[string] {
	return rapid.OneOf(rapid.SampledFrom([]string{"", "a", "site", "plant-1", NameLabel, "le", "\xff"}), rapid.String())
}

func labelLists() *rapid.Generator[[]Label] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Label { return Label{texts().Draw(t, "name"), texts().Draw(t, "value")} }), 0, 5)
}

func spansAndDeltas(t *rapid.T) (spans []Span, deltas []int64) {
	for range rapid.IntRange(0, 4).Draw(t, "spans") {
		s := Span{rapid.Int32().Draw(t, "offset"), rapid.Uint32Range(0, 4).Draw(t, "length")}
		spans = append(spans, s)
		for range s.Length {
			deltas = append(deltas, rapid.Int64().Draw(t, "delta"))
		}
	}
	return spans, deltas
}

func histograms() *rapid.Generator[Histogram] {
	return rapid.Custom(func(t *rapid.T) Histogram {
		h := Histogram{
			Timestamp: rapid.Int64().Draw(t, "timestamp"), Count: rapid.Uint64().Draw(t, "count"), Sum: values().Draw(t, "sum"),
			Gauge: rapid.Bool().Draw(t, "gauge"),
		}
		for i := range rapid.IntRange(0, 4).Draw(t, "buckets") {
			h.Buckets = append(h.Buckets, Bucket{float64(i) / 8, rapid.Uint64().Draw(t, "count")})
		}
		if rapid.Bool().Draw(t, "native") {
			n := &Native{
				Schema: rapid.Int32Range(-4, 8).Draw(t, "schema"), ZeroThreshold: values().Draw(t, "threshold"),
				ZeroCount: rapid.Uint64().Draw(t, "zero"),
			}
			n.PositiveSpans, n.PositiveDeltas = spansAndDeltas(t)
			n.NegativeSpans, n.NegativeDeltas = spansAndDeltas(t)
			h.Native = n
		}
		return h
	})
}

func seriesLists() *rapid.Generator[[]Series] {
	exemplar := rapid.Custom(func(t *rapid.T) Exemplar {
		return Exemplar{labelLists().Draw(t, "labels"), values().Draw(t, "value"), rapid.Int64().Draw(t, "timestamp")}
	})
	sample := rapid.Custom(func(t *rapid.T) Sample { return Sample{rapid.Int64().Draw(t, "timestamp"), values().Draw(t, "value")} })
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Series {
		s := Series{
			Labels: labelLists().Draw(t, "labels"), Exemplars: rapid.SliceOfN(exemplar, 0, 3).Draw(t, "exemplars"),
			Metadata: Metadata{MetricType(rapid.Uint8Range(0, 8).Draw(t, "type")), texts().Draw(t, "help"), texts().Draw(t, "unit")},
		}
		if rapid.Bool().Draw(t, "histograms") {
			s.Histograms = rapid.SliceOfN(histograms(), 1, 4).Draw(t, "histograms")
		} else {
			s.Samples = rapid.SliceOfN(sample, 0, 4).Draw(t, "samples")
		}
		return s
	}), 0, 4)
}

// TestSameBytesAsPrometheus compares the messages with those of the types that Prometheus
// itself uses, for one encoder that writes many requests, as it does in a client.
func TestSameBytesAsPrometheus(t *testing.T) {
	t.Parallel()
	e, reference := newEncoder(), &reference{encoder: newEncoder(), symbols: writev2.NewSymbolTable()}
	rapid.Check(t, func(t *rapid.T) {
		series := seriesLists().Draw(t, "series")
		var parts []part
		for i := range series {
			from := rapid.IntRange(0, series[i].length()).Draw(t, "from")
			parts = append(parts, part{series: i, from: from, to: rapid.IntRange(from, series[i].length()).Draw(t, "to")})
		}
		described := rapid.Bool().Draw(t, "describe")
		describe := func(string) bool { return described }
		for _, p := range []Protocol{V1, V2} {
			want, sent := reference.encode(t, p, series, parts, describe)
			got, err := snappy.Decode(nil, e.encode(p, series, parts, describe))
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s: got %x, %v\nwant %x", p, got, err, want)
			}
			if e.sent != sent {
				t.Errorf("%s: got counts %+v, want %+v", p, e.sent, sent)
			}
		}
	})
}

// reference writes the same messages by way of Prometheus' own types.
type reference struct {
	*encoder // for its labels and its classic histograms
	symbols  writev2.SymbolsTable
	v1       prompb.WriteRequest
	v2       writev2.Request
	counted  counts
}

func (r *reference) encode(t *rapid.T, p Protocol, series []Series, parts []part, describe func(string) bool) ([]byte, counts) {
	r.v1, r.v2, r.counted = prompb.WriteRequest{}, writev2.Request{}, counts{}
	r.symbols.Reset()
	for _, part := range parts {
		s := &series[part.series]
		if name := s.name(); s.Metadata != (Metadata{}) && describe(name) {
			r.v1.Metadata = append(r.v1.Metadata, prompb.MetricMetadata{
				Type: prompb.MetricMetadata_MetricType(s.Metadata.Type), MetricFamilyName: name,
				Help: s.Metadata.Help, Unit: s.Metadata.Unit,
			})
		}
		switch {
		case len(s.Histograms) > 0:
			r.histograms(p, s, part)
		default:
			r.counted.samples += part.to - part.from
			exemplars := r.exemplars(s, part.from == 0, math.Inf(-1), math.Inf(1))
			r.add(p, s, r.sorted(s.Labels), s.Samples[part.from:part.to], exemplars, nil)
		}
	}
	var raw []byte
	var err error
	if p == V1 {
		raw, err = r.v1.Marshal()
	} else {
		r.v2.Symbols = r.symbols.Symbols()
		raw, err = r.v2.OptimizedMarshal(nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return raw, r.counted
}

func (r *reference) exemplars(s *Series, first bool, low, high float64) (out []Exemplar) {
	var other encoder // the caller uses the scratch of r
	for _, x := range s.Exemplars {
		if !first || other.validExemplar(&x) != "" {
			continue
		}
		in := x.Value > low && x.Value <= high
		if math.IsInf(low, -1) && math.IsInf(x.Value, -1) || math.IsNaN(x.Value) && math.IsInf(high, 1) && !math.IsInf(low, 1) {
			in = true
		}
		if in {
			x.Labels = slices.Clone(other.sorted(x.Labels))
			out = append(out, x)
		}
	}
	r.counted.exemplars += len(out)
	return out
}

func (r *reference) histograms(p Protocol, s *Series, part part) {
	var native []Histogram
	flush := func() {
		if len(native) > 0 {
			r.counted.histograms += len(native)
			r.add(p, s, r.sorted(s.Labels), nil, r.exemplars(s, part.from == 0, math.Inf(-1), math.Inf(1)), native)
		}
		native = nil
	}
	for i := part.from; i < part.to; i++ {
		h := s.Histograms[i]
		if p == V2 && h.native() != nil {
			native = append(native, h)
			continue
		}
		flush()
		r.classic(s, &h, func(c classicSeries) {
			r.counted.samples++
			exemplars := r.exemplars(s, part.from == 0 && i == part.to-1, c.low, c.high)
			r.add(p, s, c.labels, []Sample{{c.timestamp, c.value}}, exemplars, nil)
		})
	}
	flush()
}

func (r *reference) add(p Protocol, s *Series, labels []Label, samples []Sample, exemplars []Exemplar, native []Histogram) {
	labels = slices.Clone(labels)
	if p == V1 {
		ts := prompb.TimeSeries{Labels: labelsV1(labels)}
		for _, v := range samples {
			ts.Samples = append(ts.Samples, prompb.Sample{Value: v.Value, Timestamp: v.Timestamp})
		}
		for _, x := range exemplars {
			ts.Exemplars = append(ts.Exemplars, prompb.Exemplar{Labels: labelsV1(x.Labels), Value: x.Value, Timestamp: x.Timestamp})
		}
		r.v1.Timeseries = append(r.v1.Timeseries, ts)
		return
	}
	ts := writev2.TimeSeries{LabelsRefs: r.refs(labels)}
	ts.Metadata.Type = writev2.Metadata_MetricType(s.Metadata.Type)
	ts.Metadata.HelpRef, ts.Metadata.UnitRef = r.symbols.Symbolize(s.Metadata.Help), r.symbols.Symbolize(s.Metadata.Unit)
	for _, v := range samples {
		ts.Samples = append(ts.Samples, writev2.Sample{Value: v.Value, Timestamp: v.Timestamp})
	}
	for _, x := range exemplars {
		ts.Exemplars = append(ts.Exemplars, writev2.Exemplar{
			LabelsRefs: r.refs(r.sorted(x.Labels)), Value: x.Value, Timestamp: x.Timestamp,
		})
	}
	for i := range native {
		ts.Histograms = append(ts.Histograms, nativeV2(&native[i]))
	}
	r.v2.Timeseries = append(r.v2.Timeseries, ts)
}

func (r *reference) refs(labels []Label) (out []uint32) {
	for _, l := range labels {
		out = append(out, r.symbols.Symbolize(l.Name), r.symbols.Symbolize(l.Value))
	}
	return out
}

func labelsV1(labels []Label) (out []prompb.Label) {
	for _, l := range labels {
		out = append(out, prompb.Label{Name: l.Name, Value: l.Value})
	}
	return out
}

func nativeV2(h *Histogram) writev2.Histogram {
	n := h.native()
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
