package awsjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/insighthub/insighthub/cdk/local/awsjson"
)

type echo struct{ Text string }

func newService(log io.Writer) http.Handler {
	return awsjson.New(awsjson.Config{TargetPrefix: "Test_1.", MaxBytes: 100, Log: log, Operations: map[string]awsjson.Operation{
		"Echo":   awsjson.Of(func(in echo) (any, error) { return in, nil }),
		"Empty":  awsjson.JSON(func([]byte) (any, error) { return nil, nil }),
		"Reject": awsjson.Of(func(echo) (any, error) { return nil, awsjson.Errorf("LimitExceededException", "at most %d", 3) }),
		"Fail":   awsjson.Of(func(echo) (any, error) { return nil, errors.New("secret reason") }),
		"Append": func(in, out []byte) ([]byte, error) { return append(append(out, in...), in...), nil },
	}})
}

func serve(t *testing.T, h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if got := w.Header().Get("Content-Type"); got != awsjson.ContentType {
		t.Errorf("content type: got %q, want %q", got, awsjson.ContentType)
	}
	if w.Header().Get("X-Amzn-Requestid") == "" {
		t.Error("the response has no request id")
	}
	return w
}

func request(t *testing.T, operation string, body io.Reader) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", body)
	r.Header.Set("X-Amz-Target", "Test_1."+operation)
	r.Header.Set("Content-Type", awsjson.ContentType)
	return r
}

func TestResponses(t *testing.T) {
	h := newService(nil)
	for range 2 { // the second time with used buffers
		for _, c := range []struct{ operation, body, want string }{
			{"Echo", `{"Text":"a"}`, `{"Text":"a"}`},
			{"Empty", `{}`, ""},
			{"Append", "ab", "abab"},
			{"Append", "", ""},
		} {
			w := serve(t, h, request(t, c.operation, strings.NewReader(c.body)))
			if got := w.Body.String(); w.Code != http.StatusOK || got != c.want {
				t.Errorf("%s %q: got %d %q, want 200 %q", c.operation, c.body, w.Code, got, c.want)
			}
		}
	}
	r := request(t, "Echo", strings.NewReader("{}"))
	r.Header.Set("Content-Type", awsjson.ContentType+"; charset=utf-8")
	if w := serve(t, h, r); w.Code != http.StatusOK {
		t.Errorf("with a charset: got status %d, want 200", w.Code)
	}
}

func TestErrors(t *testing.T) {
	var log bytes.Buffer
	h := newService(&log)
	set := func(r *http.Request, header, value string) *http.Request {
		r.Header.Set(header, value)
		return r
	}
	get := request(t, "Echo", http.NoBody)
	get.Method = http.MethodGet
	for name, c := range map[string]struct {
		request *http.Request
		status  int
		kind    awsjson.ErrorType
	}{
		"method":            {get, 400, awsjson.UnknownOperation},
		"another service":   {set(request(t, "", http.NoBody), "X-Amz-Target", "Other.Echo"), 400, awsjson.UnknownOperation},
		"another operation": {request(t, "Other", strings.NewReader("{}")), 400, awsjson.UnknownOperation},
		"content type": {
			set(request(t, "Echo", strings.NewReader("{}")), "Content-Type", "application/cbor"), 400,
			awsjson.Serialization,
		},
		"not JSON":   {request(t, "Echo", strings.NewReader("{")), 400, awsjson.Serialization},
		"wrong type": {request(t, "Echo", strings.NewReader(`{"Text":1}`)), 400, awsjson.Serialization},
		"large":      {request(t, "Echo", strings.NewReader(strings.Repeat(" ", 101))), 413, awsjson.RequestEntityTooLarge},
		"large, no length": {
			request(t, "Echo", io.LimitReader(strings.NewReader(strings.Repeat(" ", 200)), 101)), 413,
			awsjson.RequestEntityTooLarge,
		},
		"cut off":  {request(t, "Echo", iotest.ErrReader(io.ErrUnexpectedEOF)), 400, awsjson.Serialization},
		"rejected": {request(t, "Reject", strings.NewReader("{}")), 400, "LimitExceededException"},
		"failed":   {request(t, "Fail", strings.NewReader("{}")), 500, awsjson.InternalFailure},
	} {
		t.Run(name, func(t *testing.T) {
			w := serve(t, h, c.request)
			var got awsjson.Error
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatalf("body %q: %v", w.Body, err)
			}
			if w.Code != c.status || got.Type != c.kind || got.Message == "" {
				t.Errorf("got %d %+v, want %d %s and a message", w.Code, got, c.status, c.kind)
			}
			if strings.Contains(got.Message, "secret") {
				t.Errorf("message %q has the text of an internal error", got.Message)
			}
		})
	}
	if got, want := log.String(), "Test_1.Fail: secret reason\n"; got != want {
		t.Errorf("log: got %q, want %q", got, want)
	}
}

func TestSeconds(t *testing.T) {
	if got := awsjson.Seconds(time.UnixMicro(1_500_750_999)); got != 1500.75 {
		t.Errorf("got %v, want 1500.75", got)
	}
}

// FuzzService checks that the response to any request is JSON, or empty.
func FuzzService(f *testing.F) {
	h := newService(nil)
	f.Add("POST", "Test_1.Echo", awsjson.ContentType, []byte(`{"Text":"a"}`))
	f.Add("GET", "Test_1.", "", []byte(`{`))
	f.Fuzz(func(t *testing.T, method, target, contentType string, body []byte) {
		if target == "Test_1.Append" {
			t.Skip("it returns the request")
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
		r.Method = method
		r.Header.Set("X-Amz-Target", target)
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
			t.Errorf("status %d with body %q, want JSON", w.Code, w.Body)
		}
	})
}
