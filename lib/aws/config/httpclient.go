package config

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
// The SDK hands the transport a request body that implements io.WriterTo and
// closes it as soon as the response has begun. The transport, having sent the
// announced length, copies on from the body to see that nothing is left. When
// the server was quick, the body is closed by then: its Read says io.EOF, as
// the end of a body should, but its WriteTo returns io.EOF as an error. The
// transport takes that for a failed write and closes the connection, and the
// call fails with "use of closed network connection" while its answer is being
// read: after the server has applied it, so that a retry applies it twice.
// Through Read alone the end is an end.
//
// The client is safe for concurrent use. It has no time limit of its own: the
// caller's context sets it.
func NewHTTPClient() aws.HTTPClient {
	dialer := &net.Dialer{Timeout: 2 * time.Second, KeepAlive: 30 * time.Second}
	return HideWriterTo(&http.Client{
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
	})
}

// HideWriterTo returns a client that sends requests through next with bodies
// that have no method but Read and Close. NewHTTPClient says why.
func HideWriterTo(next aws.HTTPClient) aws.HTTPClient { return &client{next: next} }

type client struct{ next aws.HTTPClient }

func (c *client) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return c.next.Do(r)
}
