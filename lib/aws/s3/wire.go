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

// Wire says how GetTagged and PutIf make connections of their own. They speak
// HTTP/1.1 there without a transport, which hands each request from the caller to
// one goroutine and its answer back from another: with small requests that is
// most of what they cost.
type Wire struct {
	// Dial opens a connection.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS is used for https; nil is the system's roots. The name of the server is set.
	TLS *tls.Config
}

const (
	// A connection that was used within fresh is taken to be open, one that was
	// not is looked at, and one that was not used within stale is closed.
	fresh, stale = 2 * time.Second, time.Minute
	// lookFor is how long an idle connection is listened to for its end.
	lookFor = time.Millisecond
	// maxIdle bounds how many connections are kept.
	maxIdle = 4
	// maxAnswer bounds what is read of an answer's body: an error's text is a few hundred bytes.
	maxAnswer = 64 << 10
)

var errNotOne = errors.New("not one whole answer")

// wire keeps connections to one host. It tries each request once, and does not
// say whether one that has failed was received.
type wire struct {
	Wire

	now  func() time.Time
	mu   sync.Mutex
	idle []*line // the one used last is the last
}

// line is a connection in the hands of one request.
type line struct {
	conn   net.Conn
	reader *bufio.Reader
	head   bytes.Buffer
	used   time.Time
}

// do sends a signed request whose ContentLength is the body's length.
func (w *wire) do(ctx context.Context, request *http.Request, body []byte) (answer, error) {
	l := w.take()
	if l == nil {
		var err error
		if l, err = w.open(ctx, request.URL.Scheme == "https", request.URL.Hostname(), request.URL.Port()); err != nil {
			return answer{}, err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = l.conn.SetDeadline(time.Unix(1, 0)) })
	a, goesOn, err := l.exchange(request, body)
	if !stop() || err != nil || !goesOn {
		_ = l.conn.Close()
		return a, err
	}
	w.keep(l)
	return a, nil
}

// take returns a connection that seems to be open, or nil.
func (w *wire) take() *line {
	for {
		w.mu.Lock()
		n := len(w.idle)
		if n == 0 {
			w.mu.Unlock()
			return nil
		}
		l := w.idle[n-1]
		w.idle = w.idle[:n-1]
		w.mu.Unlock()
		if age := w.now().Sub(l.used); age < fresh || age < stale && l.open() {
			return l
		}
		_ = l.conn.Close()
	}
}

func (w *wire) keep(l *line) {
	l.used = w.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.idle) == maxIdle {
		_ = w.idle[0].conn.Close()
		w.idle = append(w.idle[:0], w.idle[1:]...)
	}
	w.idle = append(w.idle, l)
}

// open makes a connection.
func (w *wire) open(ctx context.Context, secure bool, host, port string) (*line, error) {
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
	return &line{conn: conn, reader: bufio.NewReader(conn)}, nil
}

// open reports whether an idle connection has been neither closed nor spoken on.
func (l *line) open() bool {
	if err := l.conn.SetReadDeadline(time.Now().Add(lookFor)); err != nil {
		return false
	}
	_, err := l.reader.Peek(1)
	late, ok := errors.AsType[net.Error](err)
	return ok && late.Timeout() && l.conn.SetReadDeadline(time.Time{}) == nil
}

// exchange writes a request, reads its answer, and says whether the connection
// can take another.
func (l *line) exchange(request *http.Request, body []byte) (a answer, goesOn bool, err error) {
	h := &l.head
	h.Reset()
	h.WriteString(request.Method + " " + request.URL.RequestURI() + " HTTP/1.1\r\nHost: " + request.Host + "\r\n")
	if body != nil {
		h.WriteString("Content-Length: " + strconv.Itoa(len(body)) + "\r\n")
	}
	if err := request.Header.Write(h); err != nil {
		return a, false, err
	}
	h.WriteString("\r\n")
	parts := net.Buffers{h.Bytes(), body}
	if _, err := parts.WriteTo(l.conn); err != nil {
		return a, false, fmt.Errorf("send: %w", err)
	}
	response, err := http.ReadResponse(l.reader, request)
	if err != nil {
		return a, false, fmt.Errorf("read the answer: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	n, err := io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return a, false, fmt.Errorf("read the answer: %w", err)
	}
	if n > maxAnswer || response.StatusCode < http.StatusOK || l.reader.Buffered() > 0 {
		return a, false, errNotOne
	}
	return answerOf(response), !response.Close, nil
}
