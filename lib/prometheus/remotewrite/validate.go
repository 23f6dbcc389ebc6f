package remotewrite

import (
	"slices"
	"strings"
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
	if m := &s.Metadata; !utf8.ValidString(m.Help) || !utf8.ValidString(m.Unit) {
		// Some receivers reject the whole request for it; the samples do not depend on it.
		m.Help, m.Unit = strings.ToValidUTF8(m.Help, "�"), strings.ToValidUTF8(m.Unit, "�")
	}
	sorted := e.sorted(s.Labels)
	switch {
	case repeated(sorted):
		return "label name: repeated"
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
	if len(s.Histograms) > 0 && slices.ContainsFunc(sorted, func(l Label) bool { return l.Name == "le" }) {
		return "label name: le is that of a histogram's buckets"
	}
	return ""
}

// validExemplar returns why no receiver would accept the exemplar, or an empty string.
func (e *encoder) validExemplar(x *Exemplar) string {
	const maxRunes = 128 // OpenMetrics 1.0: of all names and values
	runes := 0
	for _, l := range x.Labels {
		if !validLabelName(l.Name) {
			return "exemplar: label name: want [a-zA-Z_][a-zA-Z0-9_]*"
		}
		if !utf8.ValidString(l.Value) {
			return "exemplar: label value: not UTF-8"
		}
		if l.Value != "" {
			runes += utf8.RuneCountInString(l.Name) + utf8.RuneCountInString(l.Value)
		}
	}
	if repeated(e.sorted(x.Labels)) {
		return "exemplar: label name: repeated"
	}
	if runes > maxRunes {
		return "exemplar: labels longer than 128 characters"
	}
	return ""
}

// repeated reports whether two of the sorted labels have the same name.
func repeated(sorted []Label) bool {
	for i := 1; i < len(sorted); i++ {
		if sorted[i].Name == sorted[i-1].Name {
			return true
		}
	}
	return false
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
