package httpapi

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/local/lambda"
)

// TestSlowBody: a client that sends a byte now and then does not hold a connection,
// and the function is not invoked.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	var got []byte
	server := httptest.NewServer(newAPI(t, Config{
		Routes: []Route{{Method: "POST", Path: "/v1", Function: recording(&got)}}, BodyTimeout: 50 * time.Millisecond,
	}))
	defer server.Close()
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
}

// The timeout of the body ends with the body: a function that takes longer is not canceled.
// The request has no body, so that its reading needs no time.
func TestBodyTimeoutDoesNotCancelFunction(t *testing.T) {
	t.Parallel()
	function := invokerFunc(func(ctx context.Context, _ []byte) (lambda.Result, error) {
		select {
		case <-ctx.Done():
			return lambda.Result{}, ctx.Err()
		case <-time.After(200 * time.Millisecond):
			return lambda.Result{Payload: []byte(`{"statusCode":200}`)}, nil
		}
	})
	server := httptest.NewServer(newAPI(t, Config{
		Routes: []Route{{Method: "POST", Path: "/v1", Function: function}}, BodyTimeout: 20 * time.Millisecond,
	}))
	defer server.Close()
	for range 2 { // the second on the same connection
		response, err := http.Post(server.URL+"/v1", "text/plain", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("status %d, want 200", response.StatusCode)
		}
	}
}
