package awsconfig

import (
	"io"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// NewHTTPClient returns an HTTP client for the SDK's clients that hides
// io.WriterTo from the transport.
//
// The SDK hands the transport a request body that implements io.WriterTo, and
// closes that body as soon as the response is there. A server that answers
// quickly enough meets the transport still inside the body's WriteTo, which
// then fails with "use of closed network connection": the call is reported as
// failed after the server has applied it, and a retry applies it twice. Through
// the plain Read path the transport sees the end of the body, and the call
// succeeds.
//
// The client is safe for concurrent use. It has no time limit of its own: the
// caller's context sets it.
func NewHTTPClient() aws.HTTPClient {
	dialer := &net.Dialer{Timeout: 2 * time.Second, KeepAlive: 30 * time.Second}
	return &client{next: &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           dialer.DialContext,
			ForceAttemptHTTP2:     true,
			MaxIdleConns:          100,
			MaxIdleConnsPerHost:   16,
			IdleConnTimeout:       90 * time.Second,
			TLSHandshakeTimeout:   3 * time.Second,
			ExpectContinueTimeout: time.Second,
		},
		// The SDK's requests are signed for their host: following a redirect
		// would send a signature that can not be valid there.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

type client struct{ next aws.HTTPClient }

func (c *client) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return c.next.Do(r)
}
