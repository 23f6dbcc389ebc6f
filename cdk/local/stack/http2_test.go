package stack

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/local/kinesis"
)

// startKinesis serves a Kinesis without read limits as the stack does, and counts the requests by protocol.
func startKinesis(t *testing.T) (address string, http1, http2 *atomic.Int32) {
	t.Helper()
	http1, http2 = new(atomic.Int32), new(atomic.Int32)
	api := kinesis.New(kinesis.Config{Limits: kinesis.Limits{
		ReadCallsPerSecond: -1, ReadBytesPerSecond: -1, WriteBytesPerSecond: -1, WriteRecordsPerSecond: -1,
	}}).Handler()
	server := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 {
			http2.Add(1)
		} else {
			http1.Add(1)
		}
		api.ServeHTTP(w, r)
	}), slog.New(slog.DiscardHandler))
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		served.Wait()
	})
	return "http://" + l.Addr().String(), http1, http2
}

// One port serves clients of HTTP/1.1 and those that begin with HTTP/2 without TLS; a body may
// be as large as a request of Kinesis, and more requests may be under way than a connection
// has streams.
func TestHTTP2WithoutTLS(t *testing.T) {
	t.Parallel()
	address, http1, http2 := startKinesis(t)
	for name, c := range map[string]struct {
		version int
		set     func(*http.Protocols)
		count   *atomic.Int32
	}{
		"HTTP/1.1": {1, func(p *http.Protocols) { p.SetHTTP1(true) }, http1},
		"HTTP/2":   {2, func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }, http2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			transport := &http.Transport{Protocols: new(http.Protocols), MaxConnsPerHost: 4}
			c.set(transport.Protocols)
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: 2 * time.Minute}
			call := func(operation, body string) (int, string) {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return 0, ""
				}
				req.Header.Set("Content-Type", "application/x-amz-json-1.1")
				req.Header.Set("X-Amz-Target", "Kinesis_20131202."+operation)
				resp, err := client.Do(req)
				if err != nil {
					t.Error(err)
					return 0, ""
				}
				defer func() { _ = resp.Body.Close() }()
				text, err := io.ReadAll(resp.Body)
				if err != nil || resp.ProtoMajor != c.version {
					t.Errorf("%s: %v, %s", operation, err, resp.Proto)
				}
				return resp.StatusCode, string(text)
			}
			stream := strings.NewReplacer("/", "", ".", "").Replace(name)
			if status, text := call("CreateStream", `{"StreamName":"`+stream+`","ShardCount":1}`); status != 200 {
				t.Fatal(status, text)
			}
			var all sync.WaitGroup
			for range 400 {
				all.Go(func() {
					if status, text := call("PutRecord", `{"StreamName":"`+stream+`","PartitionKey":"k","Data":"AQID"}`); status != 200 {
						t.Error(status, text)
					}
				})
			}
			all.Wait()
			large := `{"PartitionKey":"k","Data":"` + strings.Repeat("AAAA", 340_000) + `"},`
			put := `{"StreamName":"` + stream + `","Records":[` + strings.TrimSuffix(strings.Repeat(large, 5), ",") + `]}`
			if status, text := call("PutRecords", put); status != 200 || !strings.Contains(text, `"FailedRecordCount":0`) {
				t.Errorf("%d bytes: %d %.200s", len(put), status, text)
			}
			if status, text := call("PutRecords", strings.Repeat(" ", 25<<20)); status != 413 {
				t.Errorf("too large a body: %d %s", status, text)
			}
			if n := c.count.Load(); n != 403 {
				t.Errorf("%d requests over %s, want 403", n, name)
			}
		})
	}
}

// TestSDKForJavaScript needs Node.js and the SDK: make test-sdk-js installs it.
func TestSDKForJavaScript(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("INSIGHTHUB_TEST_SDK_JS")
	if dir == "" {
		t.Skip("INSIGHTHUB_TEST_SDK_JS is not set: run make test-sdk-js")
	}
	address, http1, http2 := startKinesis(t)
	command := exec.CommandContext(t.Context(), "node", "testdata/kinesis.mjs", dir, address)
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	if err := command.Run(); err != nil || !strings.Contains(out.String(), "405 records over HTTP/2") {
		t.Errorf("%v\n%s", err, out.String())
	}
	if http1.Load() > 0 || http2.Load() < 400 {
		t.Errorf("%d requests over HTTP/1.1, %d over HTTP/2", http1.Load(), http2.Load())
	}
}
