package remotewrite

import (
	"slices"
	"strconv"
	"strings"
)

// Series has the samples to write of one time series. The client does not retain it, so the
// caller may reuse it and its slices; it may sort Samples and Histograms in place, and replaces
// in Metadata what is not UTF-8.
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
