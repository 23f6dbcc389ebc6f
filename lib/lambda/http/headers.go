package http

import "net/http"

// APIPolicy is the Content-Security-Policy of answers that are data: a browser that
// shows one as a page loads and runs nothing.
const APIPolicy = "default-src 'none'; frame-ancestors 'none'"

// Protection is what every answer has, where its handler has not said otherwise.
// There is no CORS header: pages of other origins can not read the API.
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
		if _, said := h[name]; !said {
			h.Set(name, value)
		}
	}
}
