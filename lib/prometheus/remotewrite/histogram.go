package remotewrite

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// Histogram is a distribution at a time, as classic buckets, native ones, or
// both. With 2.0 the native form is sent if there is one. With 1.0 it is always
// the classic form, as the series _bucket, _sum and _count: a receiver without
// native histograms would respond 500 and so block what follows. Without Buckets they are
// then derived from the native buckets that are not empty.
type Histogram struct {
	Timestamp int64 // milliseconds since the Unix epoch
	Count     uint64
	// Sum of the observations. With the bits of StaleNaN the histogram says that the series
	// ended before its time; the counts then mean nothing.
	Sum float64
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

// StaleNaN returns the value by which Prometheus marks the end of a series: a sample's value,
// or a histogram's sum.
func StaleNaN() float64 { return math.Float64frombits(staleNaN) }

const staleNaN = 0x7ff0000000000002

// stale reports whether the histogram marks the end of its series.
func (h *Histogram) stale() bool { return math.Float64bits(h.Sum) == staleNaN }

// native returns the native form, or nil. That of a stale histogram without any form is empty.
func (h *Histogram) native() *Native {
	if h.Native == nil && h.stale() && len(h.Buckets) == 0 {
		return new(Native)
	}
	return h.Native
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

// validate returns why no receiver would accept the histogram, or an empty string.
func (h *Histogram) validate() string {
	last := Bucket{UpperBound: math.Inf(-1)}
	for i, b := range h.Buckets {
		if i > 0 && !(b.UpperBound > last.UpperBound) || math.IsNaN(b.UpperBound) {
			return "histogram: bounds do not increase"
		}
		if !h.stale() && (b.CumulativeCount < last.CumulativeCount || b.CumulativeCount > h.Count) {
			return "histogram: cumulative counts decrease or exceed the count"
		}
		last = b
	}
	if math.IsInf(last.UpperBound, 1) && last.CumulativeCount != h.Count && !h.stale() {
		return fmt.Sprintf("histogram: the bucket +Inf has %d observations and the count is %d", last.CumulativeCount, h.Count)
	}
	if h.Native == nil {
		return ""
	}
	if reason := h.Native.validate(h); reason != "" {
		return "native histogram: " + reason
	}
	return ""
}

// validate has the rules of Prometheus for its own type (model/histogram).
func (n *Native) validate(h *Histogram) string {
	if n.Schema < -4 || n.Schema > 8 {
		return "schema: want -4 to 8" // -53 has bounds of its own, which this type does not
	}
	if !(n.ZeroThreshold >= 0) || math.IsInf(n.ZeroThreshold, 1) {
		return "zero threshold: want a number from 0"
	}
	sum, overflow := n.ZeroCount, uint64(0)
	for _, side := range [...]struct {
		name   string
		spans  []Span
		deltas []int64
	}{{"positive", n.PositiveSpans, n.PositiveDeltas}, {"negative", n.NegativeSpans, n.NegativeDeltas}} {
		if reason := validateSpans(side.spans, len(side.deltas)); reason != "" {
			return side.name + " " + reason
		}
		count := int64(0)
		for _, d := range side.deltas {
			next := count + d
			if next < 0 || d > 0 && next < count {
				return side.name + " buckets: a count below 0 or above 2^63"
			}
			count = next
			var carry uint64
			sum, carry = bits.Add64(sum, uint64(count), 0)
			overflow |= carry
		}
	}
	// A NaN is an observation of no bucket, and makes the sum NaN.
	if overflow != 0 || sum > h.Count || sum < h.Count && !math.IsNaN(h.Sum) {
		return fmt.Sprintf("%d observations in the buckets and the count is %d", sum, h.Count)
	}
	return ""
}

func validateSpans(spans []Span, deltas int) string {
	var buckets, end int64 // end is the index after the last bucket
	for i, s := range spans {
		switch {
		case i > 0 && s.Offset < 0:
			return fmt.Sprintf("spans: offset %d of span %d: want 0 or more", s.Offset, i)
		case s.Offset == math.MinInt32:
			return "spans: index below the least"
		}
		buckets += int64(s.Length)
		if end += int64(s.Offset) + int64(s.Length); end-1 > math.MaxInt32 {
			return "spans: index above the greatest"
		}
	}
	if buckets != int64(deltas) {
		return fmt.Sprintf("spans and deltas differ in length: %d and %d", buckets, deltas)
	}
	return ""
}

// classicBuckets appends the cumulative buckets that the populated native buckets make,
// without +Inf.
func (n *Native) classicBuckets(dst []Bucket) []Bucket {
	var cumulative uint64
	add := func(bound float64, count uint64) {
		cumulative += count
		// A wide zero bucket may overlap others, and the last bounds are all the greatest number.
		if last := len(dst) - 1; last >= 0 && dst[last].UpperBound >= bound {
			dst[last].CumulativeCount = cumulative
			return
		}
		dst = append(dst, Bucket{UpperBound: bound, CumulativeCount: cumulative})
	}
	// Negative buckets from the lowest value up: the highest index first.
	negative := make([]Bucket, 0, len(n.NegativeDeltas))
	eachBucket(n.NegativeSpans, n.NegativeDeltas, func(index int32, count uint64) {
		// Bucket i of the negative side ends, towards zero, at minus its lower bound.
		negative = append(negative, Bucket{UpperBound: -nativeBound(n.Schema, index-1), CumulativeCount: count})
	})
	for _, b := range slices.Backward(negative) {
		add(b.UpperBound, b.CumulativeCount)
	}
	if n.ZeroCount > 0 {
		add(n.ZeroThreshold, n.ZeroCount)
	}
	eachBucket(n.PositiveSpans, n.PositiveDeltas, func(index int32, count uint64) {
		add(nativeBound(n.Schema, index), count)
	})
	return dst
}

// nativeBound returns the upper bound of a bucket, 2^(index·2^-schema), at most the greatest
// number. Powers of two are exact in every schema, so that they make the same label.
func nativeBound(schema, index int32) float64 {
	if schema <= 0 {
		return min(math.Ldexp(1, int(index)<<-schema), math.MaxFloat64)
	}
	part := index & (1<<schema - 1)
	return min(math.Ldexp(math.Exp2(float64(part)/float64(int32(1)<<schema)), int(index>>schema)), math.MaxFloat64)
}

// eachBucket calls f for each populated bucket of the spans with its index and count.
func eachBucket(spans []Span, deltas []int64, f func(index int32, count uint64)) {
	var index int32
	var count int64
	at := 0
	for _, span := range spans {
		index += span.Offset
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
