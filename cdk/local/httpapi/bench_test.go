package httpapi

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"

	"github.com/insighthub/insighthub/cdk/local/lambda"
)

func BenchmarkAppendString(b *testing.B) {
	body := telemetryBody(1000)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	dst := appendJSON(nil, body)
	before := cpuNanos(b)
	for b.Loop() {
		dst = appendJSON(dst[:0], body)
	}
	b.ReportMetric(float64(len(body))*float64(b.N)/float64(cpuNanos(b)-before), "GB/cpu-s")
}

// fixedInvoker always returns the same payload.
type fixedInvoker struct{ response []byte }

func (f fixedInvoker) Invoke(context.Context, []byte) (lambda.Result, error) {
	return lambda.Result{Payload: f.response}, nil
}

// BenchmarkFront measures a request without the function and the connection.
func BenchmarkFront(b *testing.B) {
	authorizer := &Authorizer{
		Function:        fixedInvoker{[]byte(`{"isAuthorized":true,"context":{"gateway":"gw-1","site":"plant-1","role":"gateway"}}`)},
		IdentitySources: []string{"$request.header.Authorization"},
		ResultTTL:       1 << 40,
		SimpleResponses: true,
	}
	api, err := New(Config{Routes: []Route{{
		Method: "POST", Path: "/v1/telemetry", Authorizer: authorizer,
		Function: fixedInvoker{[]byte(`{"statusCode":202,"headers":{"content-type":"application/json"},` +
			`"body":"{\"accepted\":1000,\"rejected\":0}"}`)},
	}}})
	if err != nil {
		b.Fatal(err)
	}
	for name, contentType := range map[string]string{"json": "application/json", "protobuf": "application/x-protobuf"} {
		b.Run(name, func(b *testing.B) {
			body := telemetryBody(1000)
			reader := bytes.NewReader(body)
			r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/v1/telemetry", nil)
			r.ContentLength = int64(len(body))
			r.Header.Set("Content-Type", contentType)
			r.Header.Set("Authorization", "Bearer abc")
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			before := cpuNanos(b)
			for b.Loop() {
				reader.Reset(body)
				r.Body = io.NopCloser(reader)
				w := httptest.NewRecorder()
				api.ServeHTTP(w, r)
				if w.Code != http.StatusAccepted {
					b.Fatal(w.Code, w.Body)
				}
			}
			b.ReportMetric(float64(cpuNanos(b)-before)/1e3/float64(b.N), "cpu-µs/op")
		})
	}
}

// cpuNanos returns the processor time of this process, which depends less on the load of
// the machine than elapsed time does.
func cpuNanos(b *testing.B) int64 {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}
