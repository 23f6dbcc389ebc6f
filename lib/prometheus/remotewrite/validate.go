package remotewrite

import (
	"math"
	"unicode/utf8"
)

// validate returns why no receiver would accept the series, or an empty string. Older ones
// respond to such a series with 500, which would be retried for ever, or drop it silently.
func (e *encoder) validate(s *Series) string {
	name := ""
	for i := range s.Labels {
		l := &s.Labels[i]
		if l.Name == NameLabel {
			name = l.Value
		} else if !validLabelName(l.Name) {
			return "label name: want [a-zA-Z_][a-zA-Z0-9_]*"
		}
		if !utf8.ValidString(l.Value) {
			return "label value: not UTF-8"
		}
	}
	sorted := e.sorted(s.Labels)
	for i := 1; i < len(sorted); i++ {
		if sorted[i].Name == sorted[i-1].Name {
			return "label name: repeated"
		}
	}
	switch {
	case !validMetricName(name):
		return "metric name: want [a-zA-Z_:][a-zA-Z0-9_:]*"
	case len(s.Samples)+len(s.Histograms) == 0:
		return "no samples"
	case len(s.Samples) > 0 && len(s.Histograms) > 0:
		return "samples and histograms together"
	}
	for i := range s.Histograms {
		if reason := s.Histograms[i].validate(); reason != "" {
			return reason
		}
	}
	return ""
}

func (h *Histogram) validate() string {
	last := Bucket{UpperBound: math.Inf(-1)}
	for i, b := range h.Buckets {
		if i > 0 && !(b.UpperBound > last.UpperBound) || math.IsNaN(b.UpperBound) {
			return "histogram: bounds do not increase"
		}
		if b.CumulativeCount < last.CumulativeCount || b.CumulativeCount > h.Count {
			return "histogram: cumulative counts decrease or exceed the count"
		}
		last = b
	}
	if h.Native == nil {
		return ""
	}
	n := h.Native
	if n.Schema < -4 || n.Schema > 8 {
		return "native histogram: schema: want -4 to 8"
	}
	if bucketsOf(n.PositiveSpans) != len(n.PositiveDeltas) || bucketsOf(n.NegativeSpans) != len(n.NegativeDeltas) {
		return "native histogram: spans and deltas differ in length"
	}
	return ""
}

func bucketsOf(spans []Span) int {
	n := 0
	for _, s := range spans {
		n += int(s.Length)
	}
	return n
}

func validMetricName(name string) bool {
	for i := range len(name) {
		if c := name[i]; !nameByte(c, i) && c != ':' {
			return false
		}
	}
	return name != ""
}

func validLabelName(name string) bool {
	for i := range len(name) {
		if !nameByte(name[i], i) {
			return false
		}
	}
	return name != ""
}

func nameByte(c byte, i int) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= '0' && c <= '9' && i > 0
}
