package remotewrite

import (
	"math"
	"slices"
	"strconv"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// part is a run of one series' samples or histograms, from (inclusive) to (exclusive).
type part struct{ series, from, to int }

// encoder turns parts into request bodies. Everything in it is reused; a body
// is valid until the next call.
type encoder struct {
	v1      prompb.WriteRequest
	v2      writev2.Request
	symbols writev2.SymbolsTable

	sent        counts   // what the last body holds
	labels      []Label  // scratch of sorted
	base        []Label  // scratch of classic series
	expanded    []Label  // scratch of classic series
	buckets     []Bucket // scratch of classic series
	bounds      map[float64]string
	raw, packed []byte
}

// counts are of float samples, native histograms and exemplars.
type counts struct{ samples, histograms, exemplars int }

func newEncoder() *encoder {
	return &encoder{symbols: writev2.NewSymbolTable(), bounds: make(map[float64]string)}
}

// encode returns the compressed body of a request with the parts. Metadata goes
// into a request of 1.0 for the families for which describe returns true.
func (e *encoder) encode(p Protocol, series []Series, parts []part, describe func(family string) bool) ([]byte, error) {
	e.sent = counts{}
	var size int
	var marshal func([]byte) (int, error)
	if p == V1 {
		e.fillV1(series, parts, describe)
		size, marshal = e.v1.Size(), e.v1.MarshalToSizedBuffer
	} else {
		e.fillV2(series, parts)
		size, marshal = e.v2.Size(), e.v2.OptimizedMarshalToSizedBuffer
	}
	e.raw = slices.Grow(e.raw[:0], size)[:size]
	n, err := marshal(e.raw)
	if err != nil {
		return nil, err
	}
	// Snappy writes into what it is given up to its capacity.
	e.packed = snappy.Encode(e.packed[:cap(e.packed)], e.raw[len(e.raw)-n:])
	return e.packed, nil
}

// sorted returns the labels that have a value, by name; the slice is valid until the next call.
func (e *encoder) sorted(labels []Label) []Label {
	e.labels = e.labels[:0]
	for _, l := range labels {
		if l.Value != "" {
			e.labels = append(e.labels, l)
		}
	}
	if !slices.IsSortedFunc(e.labels, compareLabels) {
		slices.SortFunc(e.labels, compareLabels)
	}
	return e.labels
}

// classicSeries is one of the series that a classic histogram consists of.
type classicSeries struct {
	labels    []Label
	value     float64
	timestamp int64
	// low and high bound the exemplars that belong to it: low < value ≤ high.
	low, high float64
}

// classic calls emit for each series of the histogram in its classic form. The
// labels are valid during the call.
func (e *encoder) classic(s *Series, h *Histogram, emit func(classicSeries)) {
	// emit may sort other labels.
	e.base = append(e.base[:0], e.sorted(s.Labels)...)
	base := e.base
	name := s.name()
	none := math.Inf(1)
	e.buckets = append(e.buckets[:0], h.Buckets...)
	if len(h.Buckets) == 0 && h.Native != nil {
		e.buckets = h.Native.classicBuckets(e.buckets)
	}
	if n := len(e.buckets); n == 0 || !math.IsInf(e.buckets[n-1].UpperBound, 1) {
		e.buckets = append(e.buckets, Bucket{UpperBound: math.Inf(1), CumulativeCount: h.Count})
	}
	low := math.Inf(-1)
	bucketName := name + "_bucket"
	for _, b := range e.buckets {
		emit(classicSeries{
			labels: e.expand(base, bucketName, e.bound(b.UpperBound)), value: float64(b.CumulativeCount),
			timestamp: h.Timestamp, low: low, high: b.UpperBound,
		})
		low = b.UpperBound
	}
	emit(classicSeries{labels: e.expand(base, name+"_sum", ""), value: h.Sum, timestamp: h.Timestamp, low: none, high: none})
	emit(classicSeries{labels: e.expand(base, name+"_count", ""), value: float64(h.Count), timestamp: h.Timestamp, low: none, high: none})
}

// expand returns base under another name and, when le is not empty, with that label.
func (e *encoder) expand(base []Label, name, le string) []Label {
	e.expanded = e.expanded[:0]
	for _, l := range base {
		switch l.Name {
		case NameLabel:
			l.Value = name
		case "le": // the histogram's own place
			continue
		}
		e.expanded = append(e.expanded, l)
	}
	if le != "" {
		e.expanded = append(e.expanded, Label{Name: "le", Value: le})
		slices.SortFunc(e.expanded, compareLabels)
	}
	return e.expanded
}

func (e *encoder) bound(v float64) string {
	if math.IsInf(v, 1) {
		return "+Inf"
	}
	s, ok := e.bounds[v]
	if !ok {
		if len(e.bounds) > 4096 {
			clear(e.bounds)
		}
		s = strconv.FormatFloat(v, 'g', -1, 64)
		e.bounds[v] = s
	}
	return s
}

// grow returns s with one more element, which keeps what it held before.
func grow[T any](s []T) ([]T, *T) {
	if len(s) < cap(s) {
		s = s[:len(s)+1]
	} else {
		var zero T
		s = append(s, zero)
	}
	return s, &s[len(s)-1]
}
