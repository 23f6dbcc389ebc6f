package http_test

import (
	"net/http"
	"testing"

	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
)

// TestProtected: every response has the headers, even if the handler was not called.
func TestProtected(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"x-content-type-options": "nosniff", "cache-control": "no-store", "content-security-policy": lambdahttp.APIPolicy,
		"referrer-policy": "no-referrer", "strict-transport-security": "max-age=63072000",
	}
	for name, a := range map[string]reply{
		"served":   invoke(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }, payload(1001, "")),
		"empty":    invoke(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, payload(1001, "")),
		"expired":  invoke(t, func(http.ResponseWriter, *http.Request) {}, payload(1, "")),
		"bad body": invoke(t, func(http.ResponseWriter, *http.Request) {}, payload(1001, `"body":"%","isBase64Encoded":true,`)),
		"too long": invoke(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(make([]byte, lambdahttp.MaxResponseBytes+1))
		}, payload(1001, "")),
	} {
		for header, value := range want {
			if a.Headers[header] != value {
				t.Errorf("%s: %s: got %q, want %q", name, header, a.Headers[header], value)
			}
		}
		for header := range a.Headers {
			if len(header) > 15 && header[:15] == "access-control-" {
				t.Errorf("%s: got the header %s, want no CORS", name, header)
			}
		}
	}
	a := invoke(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=300")
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
	}, payload(1001, ""))
	if a.Headers["cache-control"] != "public, max-age=300" || a.Headers["content-security-policy"] != "default-src 'self'" {
		t.Errorf("got %+v, want the headers of the handler", a.Headers)
	}
}
