package remotewrite

import (
	"math"
	"slices"
	"strconv"

	"github.com/klauspost/compress/snappy"
)

// part is a run of one series' samples or histograms, from (inclusive) to (exclusive).
type part struct {
	series, from, to int
	// lo and hi, if hi is not 0, are a range of the series of which the classic form of the one
	// histogram consists.
	lo, hi int
	// bare leaves out the exemplars; carries says that those before it were rejected.
	bare, carries bool
}

// hasExemplars reports whether the part has the series' exemplars: the first one that is not
// rejected.
func (p *part) hasExemplars() bool { return (p.from == 0 || p.carries) && !p.bare }

// encoder writes parts as request bodies. Its memory is reused; a body is valid until the
// next call.
type encoder struct {
	message message
	sent    counts // what the last body contains

	labels      []Label  // scratch of sorted
	base        []Label  // scratch of classic series
	expanded    []Label  // scratch of classic series
	buckets     []Bucket // scratch of classic series
	bounds      map[float64]string
	derived     map[string][]float64 // bounds made of native buckets, by series
	raw, packed []byte
}

// counts are of float samples, native histograms and exemplars.
type counts struct{ samples, histograms, exemplars int }

// total is the number of samples and histograms.
func (n counts) total() int { return n.samples + n.histograms }

func newEncoder() *encoder {
	return &encoder{message: message{symbols: newSymbols()}, bounds: make(map[float64]string), derived: make(map[string][]float64)}
}

// encode returns the compressed body of a request with the parts. Metadata goes
// into a request of 1.0 for the families for which describe returns true.
func (e *encoder) encode(p Protocol, series []Series, parts []part, describe func(family string) bool) []byte {
	e.sent = counts{}
	e.message.reset(p)
	for _, p := range parts {
		s := &series[p.series]
		if name := s.name(); e.message.protocol == V1 && s.Metadata != (Metadata{}) && describe != nil && describe(name) {
			e.message.describe(name, s.Metadata)
		}
		if len(s.Histograms) > 0 {
			e.addHistograms(s, p)
		} else {
			e.addSamples(s, p)
		}
	}
	return e.pack()
}

// metadata returns the compressed body of a request of 1.0 with nothing but metadata, for the
// families for which due returns true, and the families.
func (e *encoder) metadata(series []Series, due func(family string) bool) (body []byte, families []string) {
	e.sent = counts{}
	e.message.reset(V1)
	for i := range series {
		s := &series[i]
		if name := s.name(); s.Metadata != (Metadata{}) && validMetricName(name) && due(name) {
			e.message.describe(name, s.Metadata)
			families = append(families, name)
		}
	}
	return e.pack(), families
}

// pack compresses the request.
func (e *encoder) pack() []byte {
	e.raw = e.message.appendTo(e.raw[:0])
	// Snappy writes into what it is given up to its capacity.
	e.packed = snappy.Encode(e.packed[:cap(e.packed)], e.raw)
	return e.packed
}

func (e *encoder) addSamples(s *Series, p part) {
	e.message.beginSeries(e.sorted(s.Labels), s.Metadata)
	for _, v := range s.Samples[p.from:p.to] {
		e.addSample(v)
	}
	if p.hasExemplars() {
		e.addExemplars(s.Exemplars, math.Inf(-1), math.Inf(1))
	}
	e.message.endSeries()
}

// addHistograms adds native histograms to one time series, and each series of a classic one by itself.
func (e *encoder) addHistograms(s *Series, p part) {
	native := false // a time series of native histograms has begun
	for i := p.from; i < p.to; i++ {
		h := &s.Histograms[i]
		if e.message.protocol == V2 && h.native() != nil {
			if !native {
				native = true
				e.message.beginSeries(e.sorted(s.Labels), s.Metadata)
				if p.hasExemplars() {
					e.addExemplars(s.Exemplars, math.Inf(-1), math.Inf(1))
				}
			}
			e.sent.histograms++
			e.message.addNative(h)
			continue
		}
		if native {
			native = false
			e.message.endSeries()
		}
		index := -1
		e.classic(s, h, func(c classicSeries) {
			if index++; p.hi > 0 && (index < p.lo || index >= p.hi) {
				return
			}
			e.message.beginSeries(c.labels, s.Metadata)
			e.addSample(Sample{Timestamp: c.timestamp, Value: c.value})
			if p.hasExemplars() && i == p.to-1 {
				e.addExemplars(s.Exemplars, c.low, c.high)
			}
			e.message.endSeries()
		})
	}
	if native {
		e.message.endSeries()
	}
}

func (e *encoder) addSample(v Sample) {
	e.sent.samples++
	e.message.addSample(v)
}

// addExemplars adds those of a bucket: low < value ≤ high. The first bucket has what is not
// above the least number too, and the last one, whose high is +Inf, those that are not a number, as in
// client_golang; what is not a bucket has all.
func (e *encoder) addExemplars(exemplars []Exemplar, low, high float64) {
	first, last := math.IsInf(low, -1), math.IsInf(high, 1) && !math.IsInf(low, 1)
	for i := range exemplars {
		x := &exemplars[i]
		above := x.Value > low || first && math.IsInf(x.Value, -1)
		if !(above && x.Value <= high) && !(last && math.IsNaN(x.Value)) || e.validExemplar(x) != "" {
			continue
		}
		e.sent.exemplars++
		e.message.addExemplar(x, e.sorted(x.Labels))
	}
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
