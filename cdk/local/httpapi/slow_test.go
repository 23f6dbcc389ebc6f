package httpapi

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestSlowBody: a client that sends a byte now and then does not hold a connection,
// and the function is not invoked.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	var got []byte
	serving := func(timeout time.Duration) *httptest.Server {
		server := httptest.NewServer(newAPI(t, Config{
			Routes: []Route{{Method: "POST", Path: "/v1", Function: recording(&got)}}, BodyTimeout: timeout,
		}))
		t.Cleanup(server.Close)
		return server
	}
	server := serving(50 * time.Millisecond)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "POST /v1 HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1000\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusRequestTimeout || got != nil {
		t.Errorf("got %s, function invoked with %q", response.Status, got)
	}
	// The next request of a patient client on a connection that has stayed. These bodies have
	// a time in which they come on a slow machine, too.
	server = serving(2 * time.Second)
	for i := range 2 {
		time.Sleep(time.Duration(i) * 2100 * time.Millisecond)
		again, err := http.Post(server.URL+"/v1", "text/plain", nil)
		if err != nil || again.StatusCode != http.StatusOK {
			t.Fatal(again, err)
		}
		_, _ = io.Copy(io.Discard, again.Body)
		_ = again.Body.Close()
	}
}
