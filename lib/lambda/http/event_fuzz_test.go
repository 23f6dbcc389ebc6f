package http_test

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"

	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
)

// FuzzEvent: any payload results in a complete response or an error, and no caller whose
// token has expired reaches the handler.
func FuzzEvent(f *testing.F) {
	for _, seed := range []string{
		`{"version":"2.0","rawPath":"/v1/sites/a%2Fb","rawQueryString":"a=%zz&b","headers":{"x":"y\r\nz: 1"},"cookies":["a=b"],` +
			`"body":"{}",` +
			`"requestContext":{"requestId":"r","http":{"method":"POST","sourceIp":"192.0.2.1"}}}`,
		`{"version":"2.0","rawPath":"%","body":"!","isBase64Encoded":true}`,
		`{"version":"2.0","requestContext":{"http":{"method":"G T"}}}`,
		`{"version":"2.0","requestContext":{"authorizer":{"lambda":{"subject":"a","expires":999}}}}`,
		`{"version":"2.0","requestContext":{"authorizer":{"lambda":{"subject":"a","expires":1001,"grants":{"*":"admin"}}}}}`,
		`{"version":"1.0"}`, `{}`, ``, `null`,
	} {
		f.Add([]byte(seed))
	}
	h := newHandler(func(w http.ResponseWriter, r *http.Request) {
		if caller, ok := lambdahttp.CallerOf(r.Context()); ok && caller.Expires <= 1000 {
			w.WriteHeader(http.StatusTeapot)
		}
		_, _ = io.Copy(w, r.Body)
	})
	f.Fuzz(func(t *testing.T, payload []byte) {
		out, err := h.Invoke(t.Context(), payload)
		if err != nil {
			return
		}
		var got struct {
			StatusCode int
			Headers    map[string]string
		}
		err = json.Unmarshal(out, &got)
		if err != nil || got.StatusCode < 200 || got.StatusCode > 599 || got.StatusCode == http.StatusTeapot {
			t.Errorf("%s: %s, %v", payload, out, err)
		}
	})
}
