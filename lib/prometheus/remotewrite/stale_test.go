package remotewrite_test

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
)

// sampled returns the bits of each sample of the request of 1.0 by its series.
func (r *receiver) sampled(request int) map[string]uint64 {
	out := make(map[string]uint64)
	for _, ts := range r.v1[request].Timeseries {
		s := remotewrite.Series{}
		for _, l := range ts.Labels {
			s.Labels = append(s.Labels, remotewrite.Label{Name: l.Name, Value: l.Value})
		}
		for _, v := range ts.Samples {
			out[s.String()] = math.Float64bits(v.Value)
		}
	}
	return out
}

const stale = 0x7ff0000000000002

// The end of a histogram is that of each of its series, not a count of 0, which is a reset.
func TestStaleHistogramIsNoReset(t *testing.T) {
	t.Parallel()
	ended := func(h remotewrite.Histogram) remotewrite.Series {
		s := lag(9000)
		h.Timestamp, h.Sum = 10_000, remotewrite.StaleNaN()
		s.Histograms, s.Exemplars = []remotewrite.Histogram{h}, nil
		return s
	}
	derived := func(buckets int) remotewrite.Series {
		s := lag(9000)
		s.Exemplars = nil
		s.Histograms[0].Buckets = s.Histograms[0].Buckets[:buckets]
		return s
	}
	for name, tc := range map[string]struct{ before, after remotewrite.Series }{
		"native, bare":           {derived(0), ended(remotewrite.Histogram{})},
		"native, empty":          {derived(0), ended(remotewrite.Histogram{Native: &remotewrite.Native{}})},
		"native, with its count": {derived(0), ended(remotewrite.Histogram{Count: 4, Native: derived(0).Histograms[0].Native})},
		"classic":                {derived(2), ended(remotewrite.Histogram{Buckets: derived(2).Histograms[0].Buckets})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t)
			c := newClient(t, r.URL, func(cfg *remotewrite.Config) { cfg.Protocol = remotewrite.V1 })
			for _, s := range []remotewrite.Series{tc.before, tc.after} {
				if got, err := c.Write(t.Context(), []remotewrite.Series{s}); err != nil || len(got.Rejected) > 0 {
					t.Fatalf("%+v, %v", got, err)
				}
			}
			want := r.sampled(0)
			for series := range want {
				want[series] = stale
			}
			if diff := cmp.Diff(want, r.sampled(1)); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("in one write", func(t *testing.T) {
		t.Parallel()
		r := newReceiver(t)
		s := derived(0)
		s.Histograms = append(s.Histograms, ended(remotewrite.Histogram{}).Histograms[0])
		if _, err := newClient(t, r.URL, func(cfg *remotewrite.Config) { cfg.Protocol = remotewrite.V1 }).
			Write(t.Context(), []remotewrite.Series{s}); err != nil {
			t.Fatal(err)
		}
		for series, v := range r.sampled(0) { // the last of each series
			if v != stale {
				t.Errorf("%s ends with %x", series, v)
			}
		}
	})
	t.Run("2.0", func(t *testing.T) {
		t.Parallel()
		r := newReceiver(t)
		r.supports2 = true
		got, err := newClient(t, r.URL).Write(t.Context(), []remotewrite.Series{ended(remotewrite.Histogram{})})
		if err != nil || got.Histograms != 1 || got.Samples != 0 {
			t.Fatalf("%+v, %v", got, err)
		}
		if h := r.v2[0].Timeseries[0].Histograms[0]; math.Float64bits(h.Sum) != stale || h.GetCountInt() != 0 {
			t.Errorf("%+v", h)
		}
	})
	t.Run("samples", func(t *testing.T) {
		t.Parallel()
		r := newReceiver(t)
		s := gauges(1, 1000)
		s[0].Samples[0].Value = remotewrite.StaleNaN()
		c := newClient(t, r.URL, func(cfg *remotewrite.Config) { cfg.Protocol = remotewrite.V1 })
		if _, err := c.Write(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if v := r.sampled(0)[s[0].String()]; v != stale {
			t.Errorf("%x", v)
		}
	})
}

// A negative zero keeps its sign, in Prometheus' own types.
func TestNegativeZero(t *testing.T) {
	t.Parallel()
	zero := math.Copysign(0, -1)
	for _, protocol := range []remotewrite.Protocol{remotewrite.V1, remotewrite.V2} {
		r := newReceiver(t)
		r.supports2 = true
		series := append(gauges(1, 1000), lag(1000))
		series[0].Samples[0].Value, series[1].Histograms[0].Sum = zero, zero
		c := newClient(t, r.URL, func(cfg *remotewrite.Config) { cfg.Protocol = protocol })
		if _, err := c.Write(t.Context(), series); err != nil {
			t.Fatal(err)
		}
		var got []float64
		if protocol == remotewrite.V1 {
			sampled := r.sampled(0)
			got = append(got, math.Float64frombits(sampled[series[0].String()]),
				math.Float64frombits(sampled[`{__name__="insighthub_ingest_lag_seconds_sum", site="plant-1"}`]))
		} else {
			got = append(got, r.v2[0].Timeseries[0].Samples[0].Value, r.v2[0].Timeseries[1].Histograms[0].Sum)
		}
		for i, v := range got {
			if v != 0 || !math.Signbit(v) {
				t.Errorf("%s: value %d is %v, want -0", protocol, i, v)
			}
		}
	}
}

// Each exemplar arrives, whatever its value is, with its labels in order.
func TestExemplarsOfEachValue(t *testing.T) {
	t.Parallel()
	values := []float64{math.NaN(), math.Inf(-1), math.Inf(1), 0, math.Copysign(0, -1), -3, 0.3, 0.5, 7}
	with := func(s remotewrite.Series) remotewrite.Series {
		s.Exemplars = nil
		for i, v := range values {
			s.Exemplars = append(s.Exemplars, remotewrite.Exemplar{
				Labels: []remotewrite.Label{{Name: "zone", Value: "z"}, {Name: "trace_id", Value: string(rune('a' + i))}, {Name: "empty"}},
				Value:  v, Timestamp: int64(9000 + i),
			})
		}
		return s
	}
	classic := lag(9000)
	classic.Histograms[0].Native = nil
	for name, s := range map[string]remotewrite.Series{
		"samples": gauges(1, 9000)[0], "histogram": lag(9000), "classic histogram": classic,
	} {
		for _, protocol := range []remotewrite.Protocol{remotewrite.V1, remotewrite.V2} {
			t.Run(name+" by "+protocol.String(), func(t *testing.T) {
				t.Parallel()
				r := newReceiver(t)
				r.supports2 = true
				got, err := newClient(t, r.URL, func(cfg *remotewrite.Config) { cfg.Protocol = protocol }).
					Write(t.Context(), []remotewrite.Series{with(s)})
				if err != nil || got.Exemplars != len(values) && protocol == remotewrite.V1 || len(got.Rejected) > 0 {
					t.Fatalf("%+v, %v", got, err)
				}
				arrived := make(map[string]float64)
				add := func(labels []remotewrite.Label, v float64, le string) {
					r.checkSorted(labels)
					if len(labels) != 2 {
						t.Errorf("labels %v", labels)
					}
					arrived[labels[0].Value] = v
					if want := map[bool]string{true: "+Inf", false: le}[math.IsNaN(v)]; le != "" && le != want {
						t.Errorf("NaN is in the bucket %s", le)
					}
				}
				for _, m := range r.v1 {
					for _, ts := range m.Timeseries {
						le := ""
						for _, l := range ts.Labels {
							if l.Name == "le" {
								le = l.Value
							}
						}
						for _, x := range ts.Exemplars {
							var labels []remotewrite.Label
							for _, l := range x.Labels {
								labels = append(labels, remotewrite.Label{Name: l.Name, Value: l.Value})
							}
							add(labels, x.Value, le)
						}
					}
				}
				for _, m := range r.v2 {
					for _, ts := range m.Timeseries {
						for _, x := range ts.Exemplars {
							add(labelsOf(m, x.LabelsRefs).Labels, x.Value, "")
						}
					}
				}
				for i, v := range values {
					got, ok := arrived[string(rune('a'+i))]
					if !ok || math.Float64bits(got) != math.Float64bits(v) {
						t.Errorf("exemplar of %v: got %v, %t", v, got, ok)
					}
				}
			})
		}
	}
}

// An exemplar that no receiver accepts is reported; the samples are written without it.
func TestInvalidExemplarsAreReported(t *testing.T) {
	t.Parallel()
	label := func(name, value string) remotewrite.Label { return remotewrite.Label{Name: name, Value: value} }
	for want, labels := range map[string][]remotewrite.Label{
		"repeated":               {label("a", "1"), label("a", "2")},
		"label name: want":       {label("a-b", "1")},
		"not UTF-8":              {label("a", "\xff")},
		"longer than 128":        {label("a", strings.Repeat("ü", 128))},
		"exemplar: label name: ": {label("", "1")},
	} {
		r := newReceiver(t)
		s := gauges(2, 1000)
		s[1].Exemplars = []remotewrite.Exemplar{{Labels: labels}, {Labels: []remotewrite.Label{label("a", strings.Repeat("ü", 127))}}}
		got, err := newClient(t, r.URL, func(cfg *remotewrite.Config) { cfg.Protocol = remotewrite.V1 }).Write(t.Context(), s)
		if err != nil || got.Samples != 2 || got.Exemplars != 1 || len(got.Rejected) != 1 || got.RejectedSamples() != 0 {
			t.Errorf("%s: %+v, %v", want, got, err)
			continue
		}
		if j := got.Rejected[0]; j.Series != 1 || !strings.Contains(j.Reason, want) || j.Cause != remotewrite.Invalid {
			t.Errorf("%+v, want %s", j, want)
		}
	}
}

func TestUserAgentHasAVersion(t *testing.T) {
	t.Parallel()
	for _, protocol := range []remotewrite.Protocol{remotewrite.V1, remotewrite.V2} {
		r := newReceiver(t)
		r.supports2 = true
		c := newClient(t, r.URL, func(cfg *remotewrite.Config) { cfg.Protocol = protocol })
		if _, err := c.Write(t.Context(), gauges(1, 1000)); err != nil {
			t.Fatal(err)
		}
		if got := r.requests[0].header.Get("User-Agent"); !regexp.MustCompile(`^insighthub/\d+\.\d+\.\d+`).MatchString(got) {
			t.Errorf("%s: got %q", protocol, got)
		}
	}
}

// A histogram's label le would be replaced by that of its buckets.
func TestLabelOfBucketsIsReserved(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	s := lag(1000)
	s.Labels = append(slices.Clone(s.Labels), remotewrite.Label{Name: "le", Value: "1"})
	got, err := newClient(t, r.URL).Write(t.Context(), []remotewrite.Series{s})
	if err != nil || len(got.Rejected) != 1 || !strings.Contains(got.Rejected[0].Reason, "le is") {
		t.Errorf("%+v, %v", got, err)
	}
}
