package remotewrite_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"
	"pgregory.net/rapid"

	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
)

// strict is a receiver of 1.0 that rejects a request as a whole, as Amazon's does: it writes
// nothing of a request in which one sample is not accepted. Its rules for a series are those of
// the head of Prometheus without an out-of-order window. It is an HTTP client without a network.
type strict struct {
	// bad reports for another reason than the time whether a sample is rejected.
	bad func(labels string, timestamp int64) bool
	// most is the number of samples of a request; more are rejected with mostStatus. 0: any number.
	most, mostStatus int
	badStatus        int // of a request with a bad sample; 0: 400
	// partial writes what is accepted of a rejected request, as Cortex and Mimir do.
	partial bool
	// badExemplar rejects a request with an exemplar.
	badExemplar bool
	// script, if set, may respond instead: before the request is processed, or, with lost,
	// after it.
	script func(n int) (status int, lost bool, header http.Header)

	requests, described int
	sizes               []int // of the accepted requests
	head                map[string][]remotewrite.Sample
	order               []string // labels and times, as they were written
}

var errReset = errors.New("connection reset by peer")

func (r *strict) Do(req *http.Request) (*http.Response, error) {
	r.requests++
	packed, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	status, lost, header := 0, false, http.Header(nil)
	if r.script != nil {
		status, lost, header = r.script(r.requests)
	}
	if status != 0 && !lost {
		return respond(status, header, "scripted"), nil
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	raw, err := snappy.Decode(nil, packed)
	if err != nil {
		return nil, err
	}
	m := new(prompb.WriteRequest)
	if err := m.Unmarshal(raw); err != nil {
		return nil, err
	}
	reason, code := r.write(m)
	switch {
	case lost:
		return nil, errReset
	case reason != "":
		return respond(code, nil, reason), nil
	}
	if len(m.Metadata) > 0 {
		r.described++
	}
	return respond(http.StatusNoContent, nil, ""), nil
}

func respond(status int, header http.Header, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader([]byte(body)))}
}

type put struct {
	labels string
	sample remotewrite.Sample
}

// write returns why the request is rejected.
func (r *strict) write(m *prompb.WriteRequest) (reason string, status int) {
	if r.head == nil {
		r.head = make(map[string][]remotewrite.Sample)
	}
	var puts []put
	pending := make(map[string]remotewrite.Sample)
	samples := 0
	for _, ts := range m.Timeseries {
		samples += len(ts.Samples)
	}
	if r.most > 0 && samples > r.most {
		return fmt.Sprintf("%d samples out of order, more than accepted in one request", samples), r.mostStatus
	}
	for _, ts := range m.Timeseries {
		labels := labelsV1(ts.Labels)
		for _, v := range ts.Samples {
			s := remotewrite.Sample{Timestamp: v.Timestamp, Value: v.Value}
			fault := r.fault(labels, s, pending)
			if fault == "" && r.badExemplar && len(ts.Exemplars) > 0 {
				fault = "exemplar labels missing"
			}
			if fault == "" {
				pending[labels] = s
				puts = append(puts, put{labels, s})
			} else if reason == "" {
				reason, status = fault, cmp.Or(r.badStatus, http.StatusBadRequest)
			}
		}
	}
	if reason != "" && !r.partial {
		return reason, status
	}
	for _, p := range puts {
		stored := r.head[p.labels]
		if n := len(stored); n > 0 && stored[n-1].Timestamp == p.sample.Timestamp {
			continue
		}
		r.head[p.labels] = append(stored, p.sample)
		r.order = append(r.order, p.labels+"@"+strconv.FormatInt(p.sample.Timestamp, 10))
	}
	if reason == "" {
		r.sizes = append(r.sizes, samples)
	}
	return reason, status
}

func (r *strict) fault(labels string, s remotewrite.Sample, pending map[string]remotewrite.Sample) string {
	if r.bad != nil && r.bad(labels, s.Timestamp) {
		return "out of order sample"
	}
	last, ok := pending[labels]
	if stored := r.head[labels]; !ok && len(stored) > 0 {
		last, ok = stored[len(stored)-1], true
	}
	switch {
	case ok && s.Timestamp < last.Timestamp:
		return "out of order sample"
	case ok && s.Timestamp == last.Timestamp && math.Float64bits(s.Value) != math.Float64bits(last.Value):
		return "duplicate sample for timestamp"
	}
	return ""
}

// labelsV1 renders labels, fast: the tests send millions.
func labelsV1(labels []prompb.Label) string {
	var b []byte
	for _, l := range labels {
		b = append(append(append(append(b, l.Name...), '='), l.Value...), ';')
	}
	return string(b)
}

func (r *strict) total() int {
	n := 0
	for _, s := range r.head {
		n += len(s)
	}
	return n
}

// checkOrder fails the test if a series was not written in the order of time.
func (r *strict) checkOrder(t rapid.TB) {
	t.Helper()
	for labels, s := range r.head {
		if !slices.IsSortedFunc(s, func(a, b remotewrite.Sample) int { return cmp.Compare(a.Timestamp, b.Timestamp) }) {
			t.Errorf("%s: not in order: %v", labels, s)
		}
	}
}

// newStrict returns a client of the receiver. Its limits are above the samples of the tests,
// so that a clean run is one request.
func newStrict(tb testing.TB, r *strict, change ...func(*remotewrite.Config)) *remotewrite.Client {
	tb.Helper()
	if r.mostStatus == 0 {
		r.mostStatus = http.StatusBadRequest
	}
	return newClient(tb, "http://127.0.0.1/", append([]func(*remotewrite.Config){func(cfg *remotewrite.Config) {
		cfg.HTTP, cfg.Protocol, cfg.MaxBytes = r, remotewrite.V1, 16<<20
	}}, change...)...)
}

// deviceOf returns the number of the device in the labels that gauges makes.
func deviceOf(labels string) int {
	_, rest, _ := strings.Cut(labels, "device=press-")
	number, _, _ := strings.Cut(rest, ";")
	n, err := strconv.Atoi(number)
	if err != nil {
		return -1
	}
	return n
}
