// Package httpclient makes HTTP clients that follow no redirects, for configured addresses.
package httpclient

import (
	"net/http"
	"time"
)

// New returns a client that does not follow redirects: only the configuration chooses an
// address, and a signature is valid for one host. The timeout bounds a request with its
// response; 0 leaves that to the request's context.
func New(timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
