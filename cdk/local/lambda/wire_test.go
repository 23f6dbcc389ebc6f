package lambda

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

// The start of a request whose body, or the number of whose bytes, follows.
const (
	chunked = "POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
	length  = "POST /b HTTP/1.1\r\nContent-Length: "
)

func TestRequestReader(t *testing.T) {
	long := strings.Repeat("x", 20<<10)
	twoChunks := strings.Repeat("3c\r\n"+long[:60]+"\r\n", 2) + "0\r\n\r\n"
	tests := []struct {
		name, in     string
		method, path string
		body         string
		tooLarge     bool
		err          error
	}{
		{name: "get", in: "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", method: "GET", path: "/a"},
		{name: "length", in: "POST /b HTTP/1.1\r\nCONTENT-LENGTH: 3\r\n\r\nabc", method: "POST", path: "/b", body: "abc"},
		{name: "chunks", in: chunked + "2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n", method: "POST", path: "/b", body: "abc"},
		{name: "long field", in: "GET /a HTTP/1.1\r\nX: " + long + "\r\n\r\n", method: "GET", path: "/a"},
		{name: "too large", in: length + "101\r\n\r\n" + long[:101], method: "POST", path: "/b", tooLarge: true},
		{name: "too large in chunks", in: chunked + twoChunks, method: "POST", path: "/b", tooLarge: true},
		{name: "end", err: io.EOF},
		{name: "not HTTP", in: "hello\r\n\r\n", err: errMalformed},
		{name: "truncated head", in: "GET /a HTTP/1.1\r\nHost", err: io.ErrUnexpectedEOF},
		{name: "truncated body", in: length + "3\r\n\r\nab", err: io.ErrUnexpectedEOF},
		{name: "length", in: length + "-1\r\n\r\n", err: errMalformed},
		{name: "huge length", in: length + "999999999\r\n\r\n", err: errBodyTooLarge},
		{name: "endless chunks", in: chunked + "7fffffff\r\n", err: errBodyTooLarge},
		{name: "gzip", in: "POST /b HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", err: errMalformed},
		{name: "chunk size", in: chunked + "zz\r\n", err: errMalformed},
		{name: "many fields", in: "GET /a HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", 101) + "\r\n", err: errMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in))} {
				req, err := newRequestReader(r, 100).read()
				if !errors.Is(err, tt.err) {
					t.Fatalf("error %v, want %v", err, tt.err)
				}
				if tt.err != nil {
					continue
				}
				got := fmt.Sprintf("%s %s %q %t", req.method, req.path, req.body, req.tooLarge)
				if want := fmt.Sprintf("%s %s %q %t", tt.method, tt.path, tt.body, tt.tooLarge); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			}
		})
	}
}

func TestRequestReaderTrailers(t *testing.T) {
	q := newRequestReader(strings.NewReader(chunked+"1\r\na\r\n0\r\n"+
		"Lambda-Runtime-Function-Error-Type: T\r\nLambda-Runtime-Function-Error-Body: e30=\r\n\r\nGET /next HTTP/1.1\r\n\r\n"), 100)
	req, err := q.read()
	if err != nil || req.errorType != "T" || req.errorBody != "e30=" {
		t.Errorf("got %+v, %v", req, err)
	}
	if req, err = q.read(); err != nil || string(req.path) != "/next" || req.errorType != "" {
		t.Errorf("the request after it: %+v, %v", req, err)
	}
}

// FuzzRequestReader compares the reader with net/http's: a request that both accept must be
// the same.
func FuzzRequestReader(f *testing.F) {
	f.Add([]byte("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: aws-lambda-go/go1.26\r\n\r\n"))
	f.Add([]byte("POST /2018-06-01/runtime/invocation/1/response HTTP/1.1\r\nHost: h\r\n" +
		"Transfer-Encoding: chunked\r\nTrailer: A\r\n\r\n3\r\nabc\r\n0\r\n\r\n"))
	f.Add([]byte("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab"))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := newRequestReader(bytes.NewReader(in), 1<<10).read()
		if len(got.body) > 1<<10 {
			t.Fatalf("body of %d bytes, want at most %d", len(got.body), 1<<10)
		}
		if err != nil || got.tooLarge {
			return
		}
		want, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(in)))
		if err != nil || len(want.Header["Content-Length"]) > 1 {
			return
		}
		body, err := io.ReadAll(want.Body)
		if err != nil {
			return
		}
		if want.Method != string(got.method) || want.RequestURI != string(got.path) || !bytes.Equal(body, got.body) {
			t.Errorf("got %s %s %q, want %s %s %q", got.method, got.path, got.body, want.Method, want.RequestURI, body)
		}
	})
}
