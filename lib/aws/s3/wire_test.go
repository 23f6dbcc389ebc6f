package s3_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/aws/s3"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// dialed counts the connections that were opened.
type dialed struct {
	n    atomic.Int64
	last net.Conn
}

func (d *dialed) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d.n.Add(1)
	var dialer net.Dialer
	var err error
	d.last, err = dialer.DialContext(ctx, network, address)
	return d.last, err
}

// broken is a transport that counts requests and sends none.
type broken struct{ calls atomic.Int64 }

func (r *broken) Do(*http.Request) (*http.Response, error) {
	r.calls.Add(1)
	return nil, errors.New("not over the transport")
}

// wired returns a store with connections of its own, their counter, and the SDK's transport.
func wired(t *testing.T, cfg s3.Config) (*s3.Store, *dialed, *broken) {
	t.Helper()
	d, other := &dialed{}, &broken{}
	cfg.Wire = &s3.Wire{Dial: d.dial}
	cfg.AWS.HTTPClient = other
	return open(t, cfg), d, other
}

func TestWireReusesConnections(t *testing.T) {
	now := time.Unix(1e9, 0)
	cfg := configured(localURL(t, nil))
	cfg.Now = func() time.Time { return now }
	s, d, other := wired(t, cfg)
	etag := ""
	for i, wait := range []time.Duration{0, time.Second, 30 * time.Second, 2 * time.Minute, time.Second} {
		now = now.Add(wait)
		next, err := s.PutIf(t.Context(), "k", []byte{byte(i)}, etag)
		if err != nil {
			t.Fatal(err)
		}
		etag = next
		if body, tag, err := s.GetTagged(t.Context(), "k", etag); err != nil || body != nil || tag != etag {
			t.Fatalf("got %q under %q, %v", body, tag, err)
		}
	}
	if n := d.n.Load(); n != 2 || other.calls.Load() != 0 { // another after two minutes
		t.Errorf("%d connections, %d requests over the transport", n, other.calls.Load())
	}
	// A closed connection is dropped: by the failed request, or by the probe before the request.
	for _, wait := range []time.Duration{0, 3 * time.Second} {
		if err := d.last.Close(); err != nil {
			t.Fatal(err)
		}
		now = now.Add(wait)
		_, _, err := s.GetTagged(t.Context(), "k", etag)
		if wait == 0 != (err != nil) {
			t.Errorf("after %s: %v", wait, err)
		}
		if _, _, err := s.GetTagged(t.Context(), "k", etag); err != nil {
			t.Error(err)
		}
	}
	if other.calls.Load() != 1 {
		t.Errorf("got %d requests over the transport, want 1", other.calls.Load())
	}
}

func TestWireOverTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if len(body) != 200_000 || r.ContentLength != 200_000 {
			t.Errorf("%d of %d bytes", len(body), r.ContentLength)
		}
		w.Header().Set("ETag", `"2"`)
	}))
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	for name, test := range map[string]struct {
		roots *x509.CertPool
		calls int64
	}{"known": {roots, 0}, "unknown": {x509.NewCertPool(), 2}} {
		t.Run(name, func(t *testing.T) {
			d, other := &dialed{}, &broken{}
			cfg := configured(server.URL)
			cfg.AWS.HTTPClient = other
			cfg.Wire = &s3.Wire{Dial: d.dial, TLS: &tls.Config{RootCAs: test.roots, MinVersion: tls.VersionTLS13}}
			s := open(t, cfg)
			for range 2 {
				etag, err := s.PutIf(t.Context(), "k", make([]byte, 200_000), `"1"`)
				if (err == nil && etag == `"2"`) != (test.calls == 0) {
					t.Errorf("got %q, %v", etag, err)
				}
			}
			if other.calls.Load() != test.calls {
				t.Errorf("%d requests over the transport, want %d", other.calls.Load(), test.calls)
			}
		})
	}
}

// TestWireRejectsBadResponses: a request is repeated over the transport unless its
// response was exactly one complete success.
func TestWireRejectsBadResponses(t *testing.T) {
	for name, response := range map[string]string{
		"nothing":        "",
		"not HTTP":       "hello\r\n\r\n",
		"cut off":        "HTTP/1.1 200 OK\r\nETag: \"2\"\r\nContent-Length: 9\r\n\r\nabc",
		"interim":        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nETag: \"2\"\r\nContent-Length: 0\r\n\r\n",
		"two":            "HTTP/1.1 200 OK\r\nETag: \"2\"\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
		"too much":       "HTTP/1.1 200 OK\r\nETag: \"2\"\r\nContent-Length: 99999\r\n\r\n" + strings.Repeat("x", 99999),
		"no tag":         "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"another status": "HTTP/1.1 202 Accepted\r\nETag: \"2\"\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			go func() {
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					_, _ = conn.Read(make([]byte, 4096))
					_, _ = io.WriteString(conn, response)
					_ = conn.Close()
				}
			}()
			s, _, other := wired(t, configured("http://"+listener.Addr().String()))
			if etag, err := s.PutIf(t.Context(), "k", []byte("x"), `"1"`); !errors.Is(err, telemetry.ErrUnavailable) {
				t.Errorf("got %q, %v", etag, err)
			}
			if other.calls.Load() != 1 {
				t.Errorf("got %d requests over the transport, want 1", other.calls.Load())
			}
		})
	}
}

func TestWireEndsWithItsContext(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never responds
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	s, _, _ := wired(t, configured("http://"+listener.Addr().String()))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.PutIf(ctx, "k", make([]byte, 10<<20), `"1"`); err == nil {
		t.Error("no error")
	}
}
