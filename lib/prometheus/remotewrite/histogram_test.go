package remotewrite

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"pgregory.net/rapid"
)

// of converts a native histogram to Prometheus' own type.
func of(h *Histogram) *histogram.Histogram {
	spans := func(in []Span) (out []histogram.Span) {
		for _, s := range in {
			out = append(out, histogram.Span{Offset: s.Offset, Length: s.Length})
		}
		return out
	}
	n := h.Native
	return &histogram.Histogram{
		Schema: n.Schema, ZeroThreshold: n.ZeroThreshold, ZeroCount: n.ZeroCount, Count: h.Count, Sum: h.Sum,
		PositiveSpans: spans(n.PositiveSpans), PositiveBuckets: n.PositiveDeltas,
		NegativeSpans: spans(n.NegativeSpans), NegativeBuckets: n.NegativeDeltas,
	}
}

// The checks are those of Prometheus, which rejects the whole request, or drops the series.
func TestNativeHistogramsAreCheckedAsPrometheusDoes(t *testing.T) {
	t.Parallel()
	valid := 0
	rapid.Check(t, func(t *rapid.T) {
		h := &Histogram{Sum: rapid.SampledFrom([]float64{0, 1, math.NaN(), StaleNaN()}).Draw(t, "sum"), Native: &Native{
			Schema: rapid.Int32Range(-5, 9).Draw(t, "schema"), ZeroThreshold: 1e-9, ZeroCount: rapid.Uint64Range(0, 2).Draw(t, "zero"),
		}}
		sum := h.Native.ZeroCount
		side := func() (spans []Span, deltas []int64) {
			count := int64(0)
			for range rapid.IntRange(0, 2).Draw(t, "spans") {
				offset := rapid.SampledFrom([]int32{0, 1, 3, -1, math.MinInt32, math.MaxInt32}).Draw(t, "offset")
				s := Span{offset, rapid.Uint32Range(0, 3).Draw(t, "length")}
				spans = append(spans, s)
				for range s.Length {
					d := rapid.Int64Range(-1, 3).Draw(t, "delta")
					deltas = append(deltas, d)
					count += d
					sum += uint64(count)
				}
			}
			if rapid.IntRange(0, 9).Draw(t, "another") == 0 {
				deltas = append(deltas, 1)
			}
			return spans, deltas
		}
		h.Native.PositiveSpans, h.Native.PositiveDeltas = side()
		h.Native.NegativeSpans, h.Native.NegativeDeltas = side()
		h.Count = sum + rapid.SampledFrom([]uint64{0, 0, 0, 1, math.MaxUint64}).Draw(t, "count")
		got, want := h.validate(), of(h).Validate()
		if (got == "") != (want == nil) {
			t.Fatalf("%+v %+v: got %q, Prometheus %v", h, h.Native, got, want)
		}
		if want == nil {
			valid++
		}
	})
	if valid == 0 {
		t.Error("no histogram was valid")
	}
}

// The bounds are Prometheus' own, and powers of two are exact.
func TestNativeBounds(t *testing.T) {
	t.Parallel()
	for schema := int32(-4); schema <= 8; schema++ {
		for _, index := range []int32{-5000, -1024, -300, -17, -1, 0, 1, 2, 3, 16, 17, 255, 256, 300, 1023, 1024, 1025, 5000, 1 << 20} {
			one := []histogram.Span{{Offset: index, Length: 1}}
			h := &histogram.Histogram{Schema: schema, PositiveSpans: one, PositiveBuckets: []int64{1}}
			it := h.PositiveBucketIterator()
			it.Next()
			want, got := it.At().Upper, nativeBound(schema, index)
			if math.IsInf(want, 1) {
				want = math.MaxFloat64
			}
			if math.Abs(got-want) > 1e-15*want {
				t.Errorf("schema %d, bucket %d: got %v, want %v", schema, index, got, want)
			}
			if per := int32(1) << max(schema, 0); index%per == 0 && got < math.MaxFloat64 {
				if fraction, _ := math.Frexp(got); fraction != 0.5 && got != 0 {
					t.Errorf("schema %d, bucket %d: %v is no power of two", schema, index, got)
				}
			}
		}
	}
}

// A classic form has increasing bounds and ends with the count, whatever the native one is.
func TestDerivedBuckets(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]Histogram{
		"a wide zero bucket": {Count: 6, Native: &Native{
			Schema: 0, ZeroThreshold: 0.5, ZeroCount: 2,
			PositiveSpans: []Span{{Offset: -3, Length: 5}}, PositiveDeltas: []int64{1, 0, 0, 0, -1},
		}},
		"the last buckets": {Count: 3, Native: &Native{
			Schema: 0, PositiveSpans: []Span{{Offset: 1023, Length: 3}}, PositiveDeltas: []int64{1, 0, 0},
		}},
		"both sides and an observation that is not a number": {Count: 8, Sum: math.NaN(), Native: &Native{
			Schema: 3, ZeroCount: 1, PositiveSpans: []Span{{Offset: 7, Length: 2}}, PositiveDeltas: []int64{1, 1},
			NegativeSpans: []Span{{Offset: 0, Length: 1}, {Offset: 7, Length: 1}}, NegativeDeltas: []int64{1, 1},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if reason := h.validate(); reason != "" {
				t.Fatal(reason)
			}
			s := &Series{Labels: []Label{{NameLabel, "h"}}, Histograms: []Histogram{h}}
			last, count := math.Inf(-1), 0.0
			var labels []string
			newEncoder().classic(s, &h, func(c classicSeries) {
				i := max(0, len(c.labels)-1)
				if c.labels[i].Name != "le" {
					return
				}
				bound, err := strconv.ParseFloat(c.labels[i].Value, 64)
				if err != nil || !(bound > last) || c.value < count {
					t.Errorf("bucket %s of %v after %v of %v", c.labels[i].Value, c.value, last, count)
				}
				last, count = bound, c.value
				labels = append(labels, c.labels[i].Value)
			})
			if !math.IsInf(last, 1) || count != float64(h.Count) {
				t.Errorf("the last bucket %v has %v, want +Inf and %d", last, count, h.Count)
			}
			if h.Native.Schema == 3 && !strings.Contains(strings.Join(labels, " "), " 2 ") {
				t.Errorf("bounds %v, want 2 exactly", labels)
			}
		})
	}
}

func TestHistogramsThatAreRejected(t *testing.T) {
	t.Parallel()
	native := func(n Native) Histogram { return Histogram{Count: 2, Native: &n} }
	positive := func(spans []Span, deltas ...int64) Histogram {
		return native(Native{PositiveSpans: spans, PositiveDeltas: deltas})
	}
	negative := func(spans []Span, deltas ...int64) Histogram {
		return native(Native{NegativeSpans: spans, NegativeDeltas: deltas})
	}
	two := []Span{{Offset: 0, Length: 2}}
	for want, h := range map[string]Histogram{
		"bounds do not increase":                                {Count: 2, Buckets: []Bucket{{1, 1}, {1, 2}}},
		"cumulative counts decrease or exceed the count":        {Count: 2, Buckets: []Bucket{{1, 3}}},
		"the bucket +Inf has 1 observations and the count is 2": {Count: 2, Buckets: []Bucket{{1, 1}, {math.Inf(1), 1}}},
		"3 observations in the buckets and the count is 2":      positive(two, 1, 1),
		"1 observations in the buckets and the count is 2":      native(Native{ZeroCount: 1}),
		"positive buckets: a count below 0":                     positive(two, 1, -2),
		"negative spans: offset -1 of span 1":                   negative([]Span{{0, 1}, {-1, 1}}, 1, 0),
		"positive spans: index above the greatest":              positive([]Span{{0, math.MaxUint32}}, 1),
		"positive spans and deltas differ in length: 2 and 1":   positive(two, 1),
		"schema: want -4 to 8":                                  native(Native{Schema: -53}),
		"zero threshold":                                        native(Native{ZeroThreshold: math.NaN(), ZeroCount: 2}),
		"18446744073709551614 observations":                     positive(two, math.MaxInt64, 0),
	} {
		if got := h.validate(); !strings.Contains(got, want) {
			t.Errorf("%+v %+v: got %q, want %q", h, h.Native, got, want)
		}
	}
}
