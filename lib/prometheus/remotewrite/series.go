package remotewrite

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// Series has the samples to write of one time series. The client does not retain it, so the
// caller may reuse it and its slices; it may sort Samples and Histograms in place.
type Series struct {
	// Labels in any order, with the metric's name as NameLabel. Labels with an
	// empty value are not sent: to Prometheus they are absent.
	Labels []Label
	// A series has either Samples or Histograms.
	Samples    []Sample
	Histograms []Histogram
	Exemplars  []Exemplar
	Metadata   Metadata
}

// NameLabel is the label that holds the metric's name.
const NameLabel = "__name__"

// Label is a name and a value, both UTF-8; names are [a-zA-Z_][a-zA-Z0-9_]*.
type Label struct{ Name, Value string }

// Sample is a value at a time in milliseconds since the Unix epoch.
type Sample struct {
	Timestamp int64
	Value     float64
}

// Exemplar is one observation as an example of others. TraceIDLabel names its trace.
type Exemplar struct {
	Labels    []Label
	Value     float64
	Timestamp int64 // milliseconds since the Unix epoch
}

// TraceIDLabel is the exemplar label by which Grafana finds a trace.
const TraceIDLabel = "trace_id"

// Metadata describes a metric. Unit is a base unit's name in the plural ("seconds").
type Metadata struct {
	Type MetricType
	Help string
	Unit string
}

// MetricType is the kind of a metric; the values are those of both protocols.
type MetricType uint8

// The kinds of metrics that this client sends.
const (
	Unspecified    MetricType = 0
	Counter        MetricType = 1
	Gauge          MetricType = 2
	HistogramType  MetricType = 3
	GaugeHistogram MetricType = 4
)

// Histogram is a distribution at a time, as classic buckets, native ones, or
// both. With 2.0 the native form is sent if there is one. With 1.0 it is always
// the classic form, as the series _bucket, _sum and _count: a receiver without
// native histograms would respond 500 and so block what follows. Without Buckets they are
// then derived from the native buckets that are not empty.
type Histogram struct {
	Timestamp int64 // milliseconds since the Unix epoch
	Count     uint64
	Sum       float64
	// Gauge says that the counts are of a window and may decrease, not running totals.
	Gauge bool
	// Buckets in ascending order, cumulative; +Inf may be left out.
	Buckets []Bucket
	Native  *Native
}

// Bucket counts the observations up to and including UpperBound.
type Bucket struct {
	UpperBound      float64
	CumulativeCount uint64
}

// Native is a sparse histogram with exponential buckets: the upper bound of
// bucket i is 2^(i·2^-Schema), with Schema from -4 to 8. Deltas are differences
// between the counts of neighbouring populated buckets.
type Native struct {
	Schema         int32
	ZeroThreshold  float64
	ZeroCount      uint64
	PositiveSpans  []Span
	PositiveDeltas []int64
	NegativeSpans  []Span
	NegativeDeltas []int64
}

// Span is a run of buckets: Offset is the gap to the run before (for the first,
// the index of its first bucket).
type Span struct {
	Offset int32
	Length uint32
}

// name returns the metric's name, or an empty string.
func (s *Series) name() string {
	for i := range s.Labels {
		if s.Labels[i].Name == NameLabel {
			return s.Labels[i].Value
		}
	}
	return ""
}

// String renders the labels as Prometheus does in its messages: sorted, the name among them.
func (s *Series) String() string {
	labels := slices.Clone(s.Labels)
	slices.SortFunc(labels, compareLabels)
	var b strings.Builder
	b.WriteByte('{')
	for _, l := range labels {
		if l.Value == "" {
			continue
		}
		if b.Len() > 1 {
			b.WriteString(", ")
		}
		b.WriteString(l.Name)
		b.WriteByte('=')
		b.WriteString(strconv.Quote(l.Value))
	}
	b.WriteByte('}')
	return b.String()
}

func compareLabels(a, b Label) int { return strings.Compare(a.Name, b.Name) }

// sortByTime puts the samples in the order that receivers want. It is stable, so
// that of two samples at one time the caller's first stays first.
func (s *Series) sortByTime() {
	samples := func(a, b Sample) int { return compareInts(a.Timestamp, b.Timestamp) }
	if !slices.IsSortedFunc(s.Samples, samples) {
		slices.SortStableFunc(s.Samples, samples)
	}
	histograms := func(a, b Histogram) int { return compareInts(a.Timestamp, b.Timestamp) }
	if !slices.IsSortedFunc(s.Histograms, histograms) {
		slices.SortStableFunc(s.Histograms, histograms)
	}
}

func compareInts(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// classicBuckets appends the cumulative buckets that the populated native
// buckets make, without +Inf.
func (n *Native) classicBuckets(dst []Bucket) []Bucket {
	base := math.Exp2(math.Exp2(-float64(n.Schema)))
	var cumulative uint64
	// Negative buckets from the lowest value up: the highest index first.
	negative := make([]Bucket, 0, len(n.NegativeDeltas))
	eachBucket(n.NegativeSpans, n.NegativeDeltas, func(index int32, count uint64) {
		// Bucket i of the negative side ends, towards zero, at minus its lower bound.
		negative = append(negative, Bucket{UpperBound: -math.Pow(base, float64(index-1)), CumulativeCount: count})
	})
	for _, b := range slices.Backward(negative) {
		cumulative += b.CumulativeCount
		dst = append(dst, Bucket{UpperBound: b.UpperBound, CumulativeCount: cumulative})
	}
	if n.ZeroCount > 0 {
		cumulative += n.ZeroCount
		dst = append(dst, Bucket{UpperBound: n.ZeroThreshold, CumulativeCount: cumulative})
	}
	eachBucket(n.PositiveSpans, n.PositiveDeltas, func(index int32, count uint64) {
		cumulative += count
		dst = append(dst, Bucket{UpperBound: math.Pow(base, float64(index)), CumulativeCount: cumulative})
	})
	return dst
}

// eachBucket calls f for each bucket of the spans with its index and count.
func eachBucket(spans []Span, deltas []int64, f func(index int32, count uint64)) {
	var index int32
	var count int64
	at := 0
	for i, span := range spans {
		index += span.Offset
		if i == 0 {
			index = span.Offset
		}
		for range span.Length {
			if at == len(deltas) {
				return
			}
			count += deltas[at]
			at++
			if count > 0 {
				f(index, uint64(count))
			}
			index++
		}
	}
}
