package remotewrite_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
)

// A receiver that rejects an exemplar, and so its request, gets the sample without it.
func TestRejectedExemplar(t *testing.T) {
	t.Parallel()
	receiver := &strict{badExemplar: true}
	series := gauges(100, 1000, 2000)
	for i := range series {
		if i%10 == 4 {
			trace := []remotewrite.Label{{Name: "trace_id", Value: "1"}}
			series[i].Exemplars = []remotewrite.Exemplar{{Labels: trace, Value: 1, Timestamp: 1000}}
		}
	}
	got, err := newStrict(t, receiver).Write(t.Context(), series)
	if err != nil || got.Samples != 200 || receiver.total() != 200 || len(got.Rejected) > 0 || got.Exemplars != 0 {
		t.Errorf("%d stored, %+v, %v", receiver.total(), got, err)
	}
}

// The exemplars of a series are sent with its first sample. If that is rejected, they are sent
// with the next.
func TestExemplarsOfARejectedSample(t *testing.T) {
	t.Parallel()
	receiver := &strict{bad: func(labels string, at int64) bool { return deviceOf(labels) == 3 && at < 3000 }}
	series := gauges(10, 1000, 2000, 3000, 4000)
	for i := range series {
		trace := []remotewrite.Label{{Name: "trace_id", Value: "1"}}
		series[i].Exemplars = []remotewrite.Exemplar{{Labels: trace, Value: 1, Timestamp: 3000}}
	}
	got, err := newStrict(t, receiver).Write(t.Context(), series)
	if err != nil || got.Samples != 38 || receiver.total() != 38 || got.RejectedSamples() != 2 || got.Exemplars != 10 {
		t.Errorf("%d stored, %+v, %v", receiver.total(), got, err)
	}
}

// A histogram is twelve series in its classic form: a receiver of ten samples gets them in two
// requests, and one bad series does not keep the others out.
func TestHistogramsAreDivided(t *testing.T) {
	t.Parallel()
	wide := func() []remotewrite.Series {
		s := lag(1000)
		s.Histograms[0].Buckets, s.Histograms[0].Native = nil, nil
		for i := range 10 {
			s.Histograms[0].Buckets = append(s.Histograms[0].Buckets, remotewrite.Bucket{UpperBound: float64(i + 1), CumulativeCount: 2})
		}
		return append(gauges(20, 1000), s)
	}
	receiver := &strict{most: 10}
	got, err := newStrict(t, receiver).Write(t.Context(), wide())
	if err != nil || got.Samples != 33 || receiver.total() != 33 || len(got.Rejected) > 0 {
		t.Errorf("ten samples a request: %d stored, %+v, %v", receiver.total(), got, err)
	}
	receiver = &strict{bad: func(labels string, _ int64) bool { return strings.Contains(labels, "le=7;") }}
	got, err = newStrict(t, receiver).Write(t.Context(), wide())
	if err != nil || got.Samples != 32 || receiver.total() != 32 || len(got.Rejected) != 1 {
		t.Fatalf("one bad bucket: %d stored, %+v, %v", receiver.total(), got, err)
	}
	want := `{__name__="insighthub_ingest_lag_seconds_bucket", le="7", site="plant-1"}`
	if j := got.Rejected[0]; j.Labels != want || j.Series != 20 || j.Samples != 1 || !j.Isolated {
		t.Errorf("%+v, want %s", j, want)
	}
}

// Metadata is part of the first request, and must not be lost with it.
func TestMetadataIsSentAfterASearch(t *testing.T) {
	t.Parallel()
	receiver := &strict{bad: func(labels string, _ int64) bool { return deviceOf(labels) == 3 }}
	c := newStrict(t, receiver)
	for n := range 2 {
		if _, err := c.Write(t.Context(), gauges(10, int64(1000*(n+1)))); err != nil {
			t.Fatal(err)
		}
		if receiver.described != 1 {
			t.Errorf("write %d: %d requests with metadata, want one in a minute", n, receiver.described)
		}
	}
}

// A receiver of 2.0 that reports what it wrote has processed the request: nothing is sent
// again, and what it did not write is rejected. What it does not name is no duplicate.
func TestReported400IsNotSearched(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		written string
		message string
		series  int
		want    remotewrite.Rejection
	}{
		"in part": {
			"97", "3 samples out of order", 100,
			remotewrite.Rejection{Series: remotewrite.Unknown, Samples: 3, Cause: remotewrite.Other},
		},
		"nothing": {
			"0", "out of order sample", 100,
			remotewrite.Rejection{Series: remotewrite.Unknown, Samples: 100, Cause: remotewrite.Other},
		},
		"one series": {
			"0", "out of order sample", 1,
			remotewrite.Rejection{Series: 0, Samples: 1, Cause: remotewrite.OutOfOrder, Duplicate: true, Isolated: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requests := 0
			c := newClient(t, "http://127.0.0.1/", func(cfg *remotewrite.Config) {
				cfg.HTTP = doer(func(*http.Request) (*http.Response, error) {
					requests++
					return respond(400, http.Header{"X-Prometheus-Remote-Write-Samples-Written": {tc.written}}, tc.message), nil
				})
			})
			got, err := c.Write(t.Context(), gauges(tc.series, 1000))
			want := tc.series - tc.want.Samples
			if err != nil || requests != 1 || len(got.Rejected) != 1 || got.Samples != want || got.Settled != tc.series {
				t.Fatalf("%d requests, %+v, %v", requests, got, err)
			}
			j := got.Rejected[0]
			if j.Series != tc.want.Series || j.Samples != tc.want.Samples || j.Cause != tc.want.Cause ||
				j.Duplicate != tc.want.Duplicate || j.Isolated != tc.want.Isolated {
				t.Errorf("%+v, want %+v", j, tc.want)
			}
		})
	}
}

// Thanos responds with 409 to samples out of order. Another 409 or 422 is not about samples.
func TestConflictAboutSamplesIsSearched(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusConflict, http.StatusUnprocessableEntity} {
		receiver := &strict{bad: func(labels string, _ int64) bool { return deviceOf(labels) == 3 }, badStatus: status}
		got, err := newStrict(t, receiver).Write(t.Context(), gauges(10, 1000))
		if err != nil || got.Samples != 9 || receiver.total() != 9 || got.RejectedSamples() != 1 {
			t.Errorf("%d: %d stored, %+v, %v", status, receiver.total(), got, err)
		}
	}
}

// A 400 of 2.0 without the headers, such as a proxy's, says nothing of what was written.
func Test400Of2WithoutAReportIsSearched(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	r.supports2 = true
	c := newClient(t, r.URL)
	if got, err := c.Write(t.Context(), gauges(10, 1000)); err != nil || got.Protocol != remotewrite.V2 {
		t.Fatalf("%+v, %v", got, err)
	}
	r.script = func(n int, _ *http.Request) (int, map[string]string) {
		if n == 2 {
			return http.StatusBadRequest, nil
		}
		return 0, nil
	}
	got, err := c.Write(t.Context(), gauges(10, 2000))
	if err != nil || got.Protocol != remotewrite.V2 || got.Samples != 10 || r.total() != 20 || len(got.Rejected) > 0 {
		t.Errorf("%d stored, %+v, %v", r.total(), got, err)
	}
}

// Help that is not UTF-8 would make some receivers reject the request.
func TestMetadataIsUTF8(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	s := gauges(1, 1000)
	s[0].Metadata = remotewrite.Metadata{Help: "a\xffb", Unit: "\xff"}
	got, err := newClient(t, r.URL, func(cfg *remotewrite.Config) { cfg.Protocol = remotewrite.V1 }).Write(t.Context(), s)
	if err != nil || got.Samples != 1 || r.v1[0].Metadata[0].Help != "a�b" || r.v1[0].Metadata[0].Unit != "�" {
		t.Errorf("%+v, %+v, %v", r.v1[0].Metadata, got, err)
	}
}
