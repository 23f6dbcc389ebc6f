package config

import (
	"io"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/insighthub/insighthub/lib/httpclient"
)

// NewHTTPClient returns an HTTP client for the SDK's clients that hides
// io.WriterTo from the transport.
//
// The SDK passes the transport a request body that implements io.WriterTo, and closes it
// as soon as the response has begun. The transport, having sent Content-Length bytes,
// reads on to verify that nothing is left. When the server was quick the body is closed by
// then: its Read returns io.EOF, as it should at the end, but its WriteTo returns io.EOF as
// an error. The transport takes that for a failed write and closes the connection, and the
// call fails with "use of closed network connection" while the response is read: after the
// server has applied it, so that a retry applies it twice. With Read alone this does not happen.
//
// The client is safe for concurrent use. It has no timeout of its own: the caller's context
// sets one.
func NewHTTPClient() aws.HTTPClient {
	dialer := &net.Dialer{Timeout: 2 * time.Second, KeepAlive: 30 * time.Second}
	client := httpclient.New(0)
	client.Transport = &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          100,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   3 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
	return HideWriterTo(client)
}

// HideWriterTo returns a client that sends requests by next, with bodies that have only the
// methods Read and Close. NewHTTPClient says why.
func HideWriterTo(next aws.HTTPClient) aws.HTTPClient { return &client{next: next} }

type client struct{ next aws.HTTPClient }

func (c *client) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return c.next.Do(r)
}
