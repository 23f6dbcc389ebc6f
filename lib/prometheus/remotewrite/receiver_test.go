package remotewrite_test

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"pgregory.net/rapid"

	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
)

// receiver emulates a Prometheus: it decodes with the published types and stores samples as
// Prometheus does, or responds as a test scripts it.
type receiver struct {
	*httptest.Server
	t *testing.T
	// supports2 is whether it supports 2.0; responds415 whether one that does not says so.
	supports2, responds415 bool
	// bad reports whether the receiver rejects a sample.
	bad func(labels string, timestamp int64) bool
	// script, if set, returns the response before the request is decoded; status 0 means to decode it.
	script func(n int, r *http.Request) (status int, header map[string]string)

	mu       sync.Mutex
	n        int
	requests []request
	stored   map[string][]remotewrite.Sample
	v1       []*prompb.WriteRequest
	v2       []*writev2.Request
}

type request struct {
	header http.Header
	body   []byte
	series int
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{t: t, stored: make(map[string][]remotewrite.Sample)}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	return r
}

type flat struct {
	labels string
	sample remotewrite.Sample
}

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	packed, err := io.ReadAll(req.Body)
	if err != nil {
		r.t.Errorf("read: %v", err)
	}
	if r.script != nil {
		status, header := r.script(r.n, req)
		for k, v := range header {
			w.Header().Set(k, v)
		}
		if status != 0 {
			r.requests = append(r.requests, request{header: req.Header.Clone(), body: packed})
			http.Error(w, "scripted", status)
			return
		}
	}
	raw, err := snappy.Decode(nil, packed)
	if err != nil {
		r.t.Errorf("snappy: %v", err)
	}
	two := strings.Contains(req.Header.Get("Content-Type"), "write.v2.Request")
	if two && r.responds415 {
		r.requests = append(r.requests, request{header: req.Header.Clone(), body: packed})
		http.Error(w, "unsupported", http.StatusUnsupportedMediaType)
		return
	}
	if two && r.supports2 {
		r.serve2(w, req, packed, raw)
		return
	}
	m := new(prompb.WriteRequest)
	if err := m.Unmarshal(raw); err != nil {
		r.t.Errorf("1.0: %v", err)
	}
	r.v1 = append(r.v1, m)
	r.requests = append(r.requests, request{req.Header.Clone(), packed, len(m.Timeseries)})
	var all []flat
	for _, ts := range m.Timeseries {
		s := remotewrite.Series{}
		for _, l := range ts.Labels {
			s.Labels = append(s.Labels, remotewrite.Label{Name: l.Name, Value: l.Value})
		}
		r.checkSorted(s.Labels)
		for _, v := range ts.Samples {
			if r.bad != nil && r.bad(s.String(), v.Timestamp) {
				http.Error(w, "out of order sample", http.StatusBadRequest)
				return
			}
			all = append(all, flat{s.String(), remotewrite.Sample{Timestamp: v.Timestamp, Value: v.Value}})
		}
	}
	r.store(all)
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) serve2(w http.ResponseWriter, req *http.Request, packed, raw []byte) {
	m := new(writev2.Request)
	if err := m.Unmarshal(raw); err != nil {
		r.t.Errorf("2.0: %v", err)
	}
	if len(m.Symbols) == 0 || m.Symbols[0] != "" {
		r.t.Error("symbols do not begin with the empty string")
	}
	r.v2 = append(r.v2, m)
	r.requests = append(r.requests, request{req.Header.Clone(), packed, len(m.Timeseries)})
	var all []flat
	var faults []string
	histograms, exemplars := 0, 0
	for _, ts := range m.Timeseries {
		s := labelsOf(m, ts.LabelsRefs)
		r.checkSorted(s.Labels)
		for _, v := range ts.Samples {
			if r.bad != nil && r.bad(s.String(), v.Timestamp) {
				faults = append(faults, "out of order sample for series "+s.String())
				continue
			}
			all = append(all, flat{s.String(), remotewrite.Sample{Timestamp: v.Timestamp, Value: v.Value}})
		}
		histograms += len(ts.Histograms)
		exemplars += len(ts.Exemplars)
	}
	r.store(all)
	h := w.Header()
	h.Set("X-Prometheus-Remote-Write-Samples-Written", strconv.Itoa(len(all)))
	h.Set("X-Prometheus-Remote-Write-Histograms-Written", strconv.Itoa(histograms))
	h.Set("X-Prometheus-Remote-Write-Exemplars-Written", strconv.Itoa(exemplars))
	if len(faults) > 0 {
		http.Error(w, strings.Join(faults, "\n"), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func labelsOf(m *writev2.Request, refs []uint32) remotewrite.Series {
	s := remotewrite.Series{}
	for i := 0; i < len(refs); i += 2 {
		s.Labels = append(s.Labels, remotewrite.Label{Name: m.Symbols[refs[i]], Value: m.Symbols[refs[i+1]]})
	}
	return s
}

func (r *receiver) checkSorted(labels []remotewrite.Label) {
	if !slices.IsSortedFunc(labels, func(a, b remotewrite.Label) int { return cmp.Compare(a.Name, b.Name) }) {
		r.t.Errorf("labels not sorted: %v", labels)
	}
}

func (r *receiver) store(all []flat) {
	for _, f := range all {
		kept := r.stored[f.labels]
		if n := len(kept); n > 0 {
			if last := kept[n-1]; last == f.sample {
				continue
			} else if last.Timestamp >= f.sample.Timestamp {
				r.t.Errorf("%s: %v after %v", f.labels, f.sample, last)
			}
		}
		r.stored[f.labels] = append(kept, f.sample)
	}
}

// total is the number of samples that are stored.
func (r *receiver) total() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, s := range r.stored {
		n += len(s)
	}
	return n
}

func newClient(tb rapid.TB, url string, change ...func(*remotewrite.Config)) *remotewrite.Client {
	tb.Helper()
	cfg := remotewrite.Config{
		URL: url, HTTP: http.DefaultClient, Now: time.Now, Rand: func() float64 { return 0.5 },
		BackoffBase: time.Millisecond, BackoffCap: 4 * time.Millisecond,
	}
	for _, f := range change {
		f(&cfg)
	}
	c, err := remotewrite.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// gauges are n series with a sample at each of the times.
func gauges(n int, times ...int64) []remotewrite.Series {
	out := make([]remotewrite.Series, n)
	for i := range out {
		out[i] = remotewrite.Series{
			Labels: []remotewrite.Label{
				{Name: "site", Value: "plant-1"},
				{Name: remotewrite.NameLabel, Value: "insighthub_series_mean"},
				{Name: "gateway", Value: "gw-" + strconv.Itoa(i/100)},
				{Name: "device", Value: "press-" + strconv.Itoa(i)},
				{Name: "metric", Value: "temperature"},
			},
			Metadata: remotewrite.Metadata{Type: remotewrite.Gauge, Help: "Mean of the window."},
		}
		for j, at := range times {
			out[i].Samples = append(out[i].Samples, remotewrite.Sample{Timestamp: at, Value: float64(i) + float64(j)/10})
		}
	}
	return out
}

func named(i int) string { return fmt.Sprintf(`device="press-%d"`, i) }
