package http

import "net/http"

// APIPolicy is the Content-Security-Policy of responses that are data: a browser that
// displays one as a page loads and runs nothing.
const APIPolicy = "default-src 'none'; frame-ancestors 'none'"

// Protection returns the headers of every response whose handler has not set them. There
// is no CORS header: pages of other origins cannot read the API.
func Protection() map[string]string {
	return map[string]string{
		"Cache-Control":             "no-store",
		"Content-Security-Policy":   APIPolicy,
		"Referrer-Policy":           "no-referrer",
		"Strict-Transport-Security": "max-age=63072000", // two years
		"X-Content-Type-Options":    "nosniff",
	}
}

func protect(h http.Header) {
	for name, value := range Protection() {
		if _, ok := h[name]; !ok {
			h.Set(name, value)
		}
	}
}
