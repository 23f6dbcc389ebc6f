package httpapi

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/local/lambda"
)

// FuzzParseResponse checks that no response of a function makes the API panic or write a
// status that HTTP does not have.
func FuzzParseResponse(f *testing.F) {
	for _, seed := range []string{
		``, `null`, `"text"`, `12`, `{}`, `{"statusCode":200}`, `{"statusCode":99}`, `{"statusCode":1e3}`, `{"statusCode":null}`,
		`{"statusCode":202,"headers":{"a":"b","c":1,"":"x","d\n":"e\r\n"},"cookies":["x"],"body":"AQ==","isBase64Encoded":true}`,
		`{"statusCode":204,"body":"x"}`, `{"statusCode":200,"headers":{"content-length":"1"},"body":"long"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		r, err := parseResponse(payload)
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		r.write(w)
		if w.Code < 200 || w.Code > 599 {
			t.Errorf("status %d, want 200 to 599", w.Code)
		}
	})
}

// TestThroughRealFunction sends a body over a socket and through the API to a process
// behind the Runtime API and back.
func TestThroughRealFunction(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "bootstrap")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "lambda.norpc", "-o", binary, "../lambda/testdata/echo")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the test function: %v\n%s", err, out)
	}
	function, err := lambda.New(lambda.Config{
		Name: "echo", Binary: binary, ReservedConcurrency: -1, MemoryMB: 512, Timeout: 5 * time.Minute, InitTimeout: 5 * time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := function.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	server := httptest.NewServer(newAPI(t, Config{Routes: []Route{{
		Method: "POST", Path: "/echo", Function: function, Timeout: 10 * time.Minute,
	}}}))
	defer server.Close()
	body := string(telemetryBody(1000))
	// The function returns its payload, which has no statusCode: it is the body.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/echo", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	got, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%d %.200s, %v", response.StatusCode, got, err)
	}
	if want := string(appendJSON(nil, []byte(body))); !strings.Contains(string(got), `"body":`+want) {
		t.Errorf("the function did not get the body: %.300s", got)
	}
	if !strings.Contains(string(got), `"x-amzn-trace-id":"Root=1-`) {
		t.Errorf("no trace header: %.600s", got)
	}
}
