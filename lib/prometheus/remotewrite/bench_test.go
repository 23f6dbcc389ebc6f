package remotewrite_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
)

// BenchmarkWrite writes 5,000 series with a sample each to a receiver that costs nothing.
func BenchmarkWrite(b *testing.B) {
	for _, protocol := range []remotewrite.Protocol{remotewrite.V1, remotewrite.V2} {
		b.Run(protocol.String(), func(b *testing.B) {
			c := newClient(b, "http://127.0.0.1/", func(cfg *remotewrite.Config) {
				cfg.Protocol = protocol
				cfg.HTTP = doer(func(r *http.Request) (*http.Response, error) {
					_, err := io.Copy(io.Discard, r.Body)
					return &http.Response{
						StatusCode: http.StatusNoContent, Body: io.NopCloser(bytes.NewReader(nil)),
						Header: http.Header{"X-Prometheus-Remote-Write-Samples-Written": {"5000"}},
					}, err
				})
				cfg.MaxBytes = 4 << 20
			})
			series := gauges(5000, 1000)
			var got remotewrite.Result
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if got, err = c.Write(b.Context(), series); err != nil || got.Samples != 5000 {
					b.Fatal(got, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/5000, "ns/series")
			b.ReportMetric(float64(got.Bytes)/5000, "B/series-on-wire")
		})
	}
}
