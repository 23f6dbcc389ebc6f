package s3

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Wire configures the connections over which GetTagged and PutIf speak HTTP/1.1
// without net/http's Transport. A Transport passes each request to one goroutine and
// the response back from another, which is most of the cost of a small request.
type Wire struct {
	// Dial opens a connection.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS is the configuration for https; default the system's roots. ServerName is
	// set from the URL.
	TLS *tls.Config
}

const (
	// A connection that was idle for less than probeAfter is reused at once, one that
	// was idle for longer is probed first, and closed after closeAfter.
	probeAfter, closeAfter = 2 * time.Second, time.Minute
	// probeTimeout is how long a probe waits for the connection's end.
	probeTimeout = time.Millisecond
	// maxIdle limits the pool.
	maxIdle = 4
	// maxResponseBytes limits a response's body: an error document is a few hundred bytes.
	maxResponseBytes = 64 << 10
)

var errResponse = errors.New("not exactly one complete response")

// wire is a pool of connections to one host. It sends each request once; a request
// that failed may have been received.
type wire struct {
	Wire

	now  func() time.Time
	mu   sync.Mutex
	idle []*wireConn // the most recently used is the last
}

// wireConn is a connection, which one request uses at a time.
type wireConn struct {
	conn   net.Conn
	reader *bufio.Reader
	head   bytes.Buffer
	used   time.Time
}

// do sends a signed request whose ContentLength is the body's length.
func (w *wire) do(ctx context.Context, request *http.Request, body []byte) (result, error) {
	c := w.idleConn()
	if c == nil {
		var err error
		if c, err = w.dial(ctx, request.URL.Scheme == "https", request.URL.Hostname(), request.URL.Port()); err != nil {
			return result{}, err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	r, reusable, err := c.roundTrip(request, body)
	if !stop() || err != nil || !reusable {
		_ = c.conn.Close()
		return r, err
	}
	w.release(c)
	return r, nil
}

// idleConn removes a connection from the pool that seems to be open; nil if there is none.
func (w *wire) idleConn() *wireConn {
	for {
		w.mu.Lock()
		n := len(w.idle)
		if n == 0 {
			w.mu.Unlock()
			return nil
		}
		c := w.idle[n-1]
		w.idle = w.idle[:n-1]
		w.mu.Unlock()
		if idle := w.now().Sub(c.used); idle < probeAfter || idle < closeAfter && c.open() {
			return c
		}
		_ = c.conn.Close()
	}
}

// release returns a connection to the pool.
func (w *wire) release(c *wireConn) {
	c.used = w.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.idle) == maxIdle {
		_ = w.idle[0].conn.Close()
		w.idle = append(w.idle[:0], w.idle[1:]...)
	}
	w.idle = append(w.idle, c)
}

// dial opens a connection.
func (w *wire) dial(ctx context.Context, secure bool, host, port string) (*wireConn, error) {
	if port == "" {
		port = "80"
		if secure {
			port = "443"
		}
	}
	conn, err := w.Dial(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, err
	}
	if secure {
		config := &tls.Config{MinVersion: tls.VersionTLS12}
		if w.TLS != nil {
			config = w.TLS.Clone()
		}
		config.ServerName, config.NextProtos = host, []string{"http/1.1"}
		over := tls.Client(conn, config)
		if err := over.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		conn = over
	}
	return &wireConn{conn: conn, reader: bufio.NewReader(conn)}, nil
}

// open probes an idle connection: it reports false if the server has closed it or sent
// anything.
func (c *wireConn) open() bool {
	if err := c.conn.SetReadDeadline(time.Now().Add(probeTimeout)); err != nil {
		return false
	}
	_, err := c.reader.Peek(1)
	netErr, ok := errors.AsType[net.Error](err)
	return ok && netErr.Timeout() && c.conn.SetReadDeadline(time.Time{}) == nil
}

// roundTrip writes a request, reads its response, and reports whether the connection
// can be reused.
func (c *wireConn) roundTrip(request *http.Request, body []byte) (r result, reusable bool, err error) {
	h := &c.head
	h.Reset()
	h.WriteString(request.Method + " " + request.URL.RequestURI() + " HTTP/1.1\r\nHost: " + request.Host + "\r\n")
	if body != nil {
		h.WriteString("Content-Length: " + strconv.Itoa(len(body)) + "\r\n")
	}
	if err := request.Header.Write(h); err != nil {
		return r, false, err
	}
	h.WriteString("\r\n")
	parts := net.Buffers{h.Bytes(), body}
	if _, err := parts.WriteTo(c.conn); err != nil {
		return r, false, fmt.Errorf("send the request: %w", err)
	}
	response, err := http.ReadResponse(c.reader, request)
	if err != nil {
		return r, false, fmt.Errorf("read the response: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	n, err := io.Copy(io.Discard, io.LimitReader(response.Body, maxResponseBytes+1))
	if err != nil {
		return r, false, fmt.Errorf("read the response: %w", err)
	}
	if n > maxResponseBytes || response.StatusCode < http.StatusOK || c.reader.Buffered() > 0 {
		return r, false, errResponse
	}
	return resultOf(response), !response.Close, nil
}
