package s3_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/insighthub/insighthub/lib/aws/s3"
)

// discard is a transport that discards each request and responds at once.
type discard struct{}

func (discard) Do(r *http.Request) (*http.Response, error) {
	status := http.StatusOK
	if r.Method == http.MethodGet {
		status = http.StatusNotModified
	}
	if r.Body != nil {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Etag": {`"1"`}}, Body: http.NoBody, Request: r}, nil
}

// BenchmarkConditional measures the cost of a call without HTTP: a put of 200 kB, the
// size of the state of 2,500 series, and a get of an unchanged object.
func BenchmarkConditional(b *testing.B) {
	cfg := configured("http://127.0.0.1")
	cfg.AWS.HTTPClient = discard{}
	s, err := s3.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	body := make([]byte, 200_000)
	b.Run("put", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.PutIf(b.Context(), "shardstate/bridge-5s/telemetry/shardId-000000000000", body, `"1"`); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("get", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := s.GetTagged(b.Context(), "shardstate/bridge-5s/telemetry/shardId-000000000000", `"1"`); err != nil {
				b.Fatal(err)
			}
		}
	})
}
