package remotewrite

import (
	"cmp"
	"math"
	"slices"
)

// isClassic reports whether the histogram is sent in its classic form.
func (c *Client) isClassic(h *Histogram) bool { return c.protocol == V1 || h.native() == nil }

// classicLength returns of how many series the classic form of the histogram consists.
func (e *encoder) classicLength(s *Series, h *Histogram) int {
	n := 0
	e.classic(s, h, func(classicSeries) { n++ })
	return n
}

// classicLabels renders the labels of one of these series.
func (e *encoder) classicLabels(s *Series, h *Histogram, index int) string {
	text, n := "", 0
	e.classic(s, h, func(c classicSeries) {
		if n == index {
			text = (&Series{Labels: c.labels}).String()
		}
		n++
	})
	return text
}

// classic calls emit for each series of the histogram in its classic form. The labels are valid
// during the call. The series of a stale histogram are stale: buckets, sum and count.
func (e *encoder) classic(s *Series, h *Histogram, emit func(classicSeries)) {
	// emit may sort other labels.
	e.base = append(e.base[:0], e.sorted(s.Labels)...)
	base := e.base
	name := s.name()
	none := math.Inf(1)
	e.buckets = e.bucketsOf(e.buckets[:0], s, h)
	value := func(n uint64) float64 {
		if h.stale() {
			return h.Sum
		}
		return float64(n)
	}
	low := math.Inf(-1)
	bucketName := name + "_bucket"
	for _, b := range e.buckets {
		emit(classicSeries{
			labels: e.expand(base, bucketName, e.bound(b.UpperBound)), value: value(b.CumulativeCount),
			timestamp: h.Timestamp, low: low, high: b.UpperBound,
		})
		low = b.UpperBound
	}
	emit(classicSeries{labels: e.expand(base, name+"_sum", ""), value: h.Sum, timestamp: h.Timestamp, low: none, high: none})
	emit(classicSeries{labels: e.expand(base, name+"_count", ""), value: value(h.Count), timestamp: h.Timestamp, low: none, high: none})
}

// bucketsOf appends the histogram's classic buckets, with +Inf.
func (e *encoder) bucketsOf(dst []Bucket, s *Series, h *Histogram) []Bucket {
	dst = append(dst, h.Buckets...)
	switch {
	case len(h.Buckets) > 0:
	case h.stale():
		dst = e.endedBuckets(dst, s)
	case h.Native != nil:
		dst = h.Native.classicBuckets(dst)
		e.remember(s, dst)
	}
	if n := len(dst); n == 0 || !math.IsInf(dst[n-1].UpperBound, 1) {
		dst = append(dst, Bucket{UpperBound: math.Inf(1), CumulativeCount: h.Count})
	}
	return dst
}

// maxRemembered limits the series whose buckets an encoder remembers.
const maxRemembered = 10_000

// remember remembers the bounds that were derived from native buckets, which a stale
// histogram no longer has, and whose series end with it.
func (e *encoder) remember(s *Series, buckets []Bucket) {
	key := s.String()
	known, ok := e.derived[key]
	if !ok && len(e.derived) >= maxRemembered {
		clear(e.derived)
	}
	for _, b := range buckets {
		if at, found := slices.BinarySearch(known, b.UpperBound); !found {
			known = slices.Insert(known, at, b.UpperBound)
		}
	}
	e.derived[key] = known
}

// endedBuckets appends the buckets that end with a stale histogram: those that were sent, and
// those of the histograms before it in the same series.
func (e *encoder) endedBuckets(dst []Bucket, s *Series) []Bucket {
	for _, bound := range e.derived[s.String()] {
		dst = append(dst, Bucket{UpperBound: bound})
	}
	for i := range s.Histograms {
		switch h := &s.Histograms[i]; {
		case len(h.Buckets) > 0:
			dst = append(dst, h.Buckets...)
		case h.Native != nil:
			dst = h.Native.classicBuckets(dst)
		}
	}
	slices.SortFunc(dst, func(a, b Bucket) int { return cmp.Compare(a.UpperBound, b.UpperBound) })
	return slices.CompactFunc(dst, func(a, b Bucket) bool { return a.UpperBound == b.UpperBound })
}
