package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/cdk/local/lambda"
)

// invokerFunc is a function that implements Invoker.
type invokerFunc func(ctx context.Context, payload []byte) (lambda.Result, error)

func (f invokerFunc) Invoke(ctx context.Context, payload []byte) (lambda.Result, error) {
	return f(ctx, payload)
}

// responding returns an Invoker that always returns payload.
func responding(payload string) Invoker { return fixedInvoker{[]byte(payload)} }

// recording returns an Invoker that copies its last payload to into.
func recording(into *[]byte) Invoker {
	return invokerFunc(func(_ context.Context, payload []byte) (lambda.Result, error) {
		*into = bytes.Clone(payload)
		return lambda.Result{Payload: []byte(`{"statusCode":200}`)}, nil
	})
}

func newAPI(t *testing.T, cfg Config) *API {
	t.Helper()
	api, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return api
}

func serve(api http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	return w
}

func newRequest(t *testing.T, method, target, body string, header ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

var testNow = time.Date(2026, 11, 23, 9, 8, 33, 123e6, time.UTC)

func TestPayload(t *testing.T) {
	base := func() events.APIGatewayV2HTTPRequest {
		return events.APIGatewayV2HTTPRequest{
			Version: "2.0", RouteKey: "ANY /v1/{site}/{rest+}", RawPath: "/v1/plant 1/a/b",
			Headers: map[string]string{
				"host": "api.example.com:8080", "x-forwarded-for": "192.0.2.1", "x-forwarded-port": "8080",
				"x-forwarded-proto": "http", "x-amzn-trace-id": "Root=1-2-3",
			},
			PathParameters: map[string]string{"site": "plant 1", "rest": "a/b"},
			StageVariables: map[string]string{"colour": "blue"},
			RequestContext: events.APIGatewayV2HTTPRequestContext{
				RouteKey: "ANY /v1/{site}/{rest+}", AccountID: "111122223333", Stage: "$default", APIID: "abc",
				DomainName: "api.example.com", DomainPrefix: "api", Time: "23/Nov/2026:09:08:33 +0000", TimeEpoch: testNow.UnixMilli(),
				HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{
					Method: "POST", Path: "/v1/plant 1/a/b", Protocol: "HTTP/1.1", SourceIP: "192.0.2.1",
				},
			},
		}
	}
	tests := []struct {
		name, query, body string
		header            []string
		want              func(*events.APIGatewayV2HTTPRequest)
	}{
		{"no body", "", "", nil, func(*events.APIGatewayV2HTTPRequest) {}},
		{"json", "", `{"a":"b\n"}` + "\n\x01ü", []string{
			"Content-Type", "application/json; charset=utf-8",
		}, func(e *events.APIGatewayV2HTTPRequest) {
			e.Body = `{"a":"b\n"}` + "\n\x01ü"
			e.Headers["content-type"] = "application/json; charset=utf-8"
			e.Headers["content-length"] = "15"
		}},
		{"problem json", "", `{}`, []string{"Content-Type", "Application/Problem+JSON"}, func(e *events.APIGatewayV2HTTPRequest) {
			e.Body = `{}`
			e.Headers["content-type"] = "Application/Problem+JSON"
			e.Headers["content-length"] = "2"
		}},
		{"protobuf", "", "\x01\x00\xff", []string{"Content-Type", "application/x-protobuf"}, func(e *events.APIGatewayV2HTTPRequest) {
			e.Body, e.IsBase64Encoded = "AQD/", true
			e.Headers["content-type"] = "application/x-protobuf"
			e.Headers["content-length"] = "3"
		}},
		{"gzip", "", "{}", []string{
			"Content-Type", "application/json", "Content-Encoding", "gzip",
		}, func(e *events.APIGatewayV2HTTPRequest) {
			e.Body, e.IsBase64Encoded = "e30=", true
			e.Headers["content-type"] = "application/json"
			e.Headers["content-encoding"] = "gzip"
			e.Headers["content-length"] = "2"
		}},
		{"headers, cookies and query", "?a=1&b=x%20y&a=2&c", "", []string{
			"X-Many", "one", "X-Many", `tw"o`, "Cookie", "s=1; t=2", "Cookie", "u=3", "User-Agent", "gateway/1",
			"Connection", "keep-alive", "X-Forwarded-For", "203.0.113.7",
		}, func(e *events.APIGatewayV2HTTPRequest) {
			e.RawQueryString = "a=1&b=x%20y&a=2&c"
			e.QueryStringParameters = map[string]string{"a": "1,2", "b": "x y", "c": ""}
			e.Cookies = []string{"s=1", "t=2", "u=3"}
			e.Headers["x-many"] = `one,tw"o`
			e.Headers["user-agent"] = "gateway/1"
			e.Headers["x-forwarded-for"] = "203.0.113.7, 192.0.2.1"
			e.RequestContext.HTTP.UserAgent = "gateway/1"
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var payload []byte
			api := newAPI(t, Config{
				Routes: []Route{{Method: "ANY", Path: "/v1/{site}/{rest+}", Function: recording(&payload)}},
				APIID:  "abc", AccountID: "111122223333", StageVariables: map[string]string{"colour": "blue"},
				Now: func() time.Time { return testNow },
			})
			r := newRequest(t, http.MethodPost, "http://api.example.com:8080/v1/plant%201/a/b"+tt.query, tt.body,
				append(tt.header, "X-Amzn-Trace-Id", "Root=1-2-3")...)
			w := serve(api, r)
			var got events.APIGatewayV2HTTPRequest
			if err := json.Unmarshal(payload, &got); err != nil {
				t.Fatalf("%s: %v", payload, err)
			}
			if id := got.RequestContext.RequestID; id == "" || id != w.Header().Get("Apigw-Requestid") {
				t.Errorf("request id %q, header %q", id, w.Header().Get("Apigw-Requestid"))
			}
			got.RequestContext.RequestID = ""
			want := base()
			tt.want(&want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("payload (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRouting(t *testing.T) {
	keys := []string{
		"GET /pets/dog/1", "GET /pets/dog/{id}", "GET /pets/{proxy+}", "ANY /{proxy+}", "$default",
		"GET /v1/{site}/kpi", "POST /v1/telemetry", "ANY /v1/telemetry", "GET /v1/{a}/{b}", "GET /",
	}
	tests := []struct{ method, path, want string }{
		{"GET", "/pets/dog/1", "GET /pets/dog/1"},
		{"GET", "/pets/dog/2", "GET /pets/dog/{id}"},
		{"GET", "/pets/cat/1", "GET /pets/{proxy+}"},
		{"GET", "/pets/dog/1/2", "GET /pets/{proxy+}"},
		{"POST", "/test/5", "ANY /{proxy+}"},
		{"POST", "/pets/dog/1", "ANY /{proxy+}"},
		{"POST", "/v1/telemetry", "POST /v1/telemetry"},
		{"PUT", "/v1/telemetry", "ANY /v1/telemetry"},
		{"GET", "/v1/plant/kpi", "GET /v1/{site}/kpi"},
		{"GET", "/v1/plant/other", "GET /v1/{a}/{b}"},
		{"GET", "/v1//kpi", "ANY /{proxy+}"},
		{"GET", "/", "GET /"},
		{"POST", "/", "$default"},
	}
	for _, reversed := range []bool{false, true} {
		var payload []byte
		var routes []Route
		for i := range keys {
			key := keys[i]
			if reversed {
				key = keys[len(keys)-1-i]
			}
			method, path, ok := strings.Cut(key, " ")
			if !ok {
				method, path = "", key
			}
			routes = append(routes, Route{Method: method, Path: path, Function: recording(&payload)})
		}
		api := newAPI(t, Config{Routes: routes})
		for _, tt := range tests {
			payload = nil
			serve(api, newRequest(t, tt.method, tt.path, ""))
			var got events.APIGatewayV2HTTPRequest
			if err := json.Unmarshal(payload, &got); err != nil || got.RouteKey != tt.want {
				t.Errorf("%s %s: route %q, want %q (%v)", tt.method, tt.path, got.RouteKey, tt.want, err)
			}
		}
	}
}

func TestStage(t *testing.T) {
	var payload []byte
	api := newAPI(t, Config{Stage: "prod", Routes: []Route{{Method: "GET", Path: "/a", Function: recording(&payload)}}})
	if w := serve(api, newRequest(t, "GET", "/prod/a", "")); w.Code != 200 || !bytes.Contains(payload, []byte(`"rawPath":"/prod/a"`)) {
		t.Errorf("got status %d, event %s, want 200 with the stage in rawPath", w.Code, payload)
	}
	for _, path := range []string{"/a", "/production/a", "/prod"} {
		if w := serve(api, newRequest(t, "GET", path, "")); w.Code != 404 {
			t.Errorf("%s: status %d, want 404", path, w.Code)
		}
	}
}

func TestErrorResponses(t *testing.T) {
	failing := func(err error) Invoker {
		return invokerFunc(func(context.Context, []byte) (lambda.Result, error) { return lambda.Result{}, err })
	}
	slow := invokerFunc(func(ctx context.Context, _ []byte) (lambda.Result, error) {
		<-ctx.Done()
		return lambda.Result{}, ctx.Err()
	})
	unhandled := invokerFunc(func(context.Context, []byte) (lambda.Result, error) {
		return lambda.Result{Payload: []byte(`{"errorMessage":"secret"}`), FunctionError: lambda.Unhandled}, nil
	})
	tests := []struct {
		name     string
		function Invoker
		status   int
		body     string
	}{
		{"throttled", failing(lambda.ErrThrottled), 503, `{"message":"Service Unavailable"}`},
		{"closed", failing(lambda.ErrClosed), 503, `{"message":"Service Unavailable"}`},
		{"payload too large", failing(lambda.ErrTooLarge), 413, `{"message":"Request Entity Too Large"}`},
		{"other", failing(errors.New("secret")), 500, `{"message":"Internal Server Error"}`},
		{"timeout", slow, 503, `{"message":"Service Unavailable"}`},
		{"function error", unhandled, 500, `{"message":"Internal Server Error"}`},
		{"not JSON", responding(`<html>`), 500, `{"message":"Internal Server Error"}`},
		{"nothing", responding(``), 500, `{"message":"Internal Server Error"}`},
		{"status is text", responding(`{"statusCode":"OK"}`), 500, `{"message":"Internal Server Error"}`},
		{"status out of range", responding(`{"statusCode":42}`), 500, `{"message":"Internal Server Error"}`},
		{"status 0", responding(`{"statusCode":0}`), 500, `{"message":"Internal Server Error"}`},
		{"bad base64", responding(`{"statusCode":200,"body":"!","isBase64Encoded":true}`), 500, `{"message":"Internal Server Error"}`},
		{"header is a list", responding(`{"statusCode":200,"headers":{"a":["b"]}}`), 500, `{"message":"Internal Server Error"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			api := newAPI(t, Config{Routes: []Route{{Method: "POST", Path: "/a", Function: tt.function, Timeout: 20 * time.Millisecond}}})
			w := serve(api, newRequest(t, "POST", "/a", "{}"))
			if w.Code != tt.status || w.Body.String() != tt.body || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, tt.status, tt.body)
			}
			if w := serve(api, newRequest(t, "GET", "/a", "")); w.Code != 404 || w.Body.String() != `{"message":"Not Found"}` {
				t.Errorf("no route: got %d %s, want 404", w.Code, w.Body)
			}
		})
	}
}

func TestBodyLimit(t *testing.T) {
	var payload []byte
	api := newAPI(t, Config{Routes: []Route{{Method: "POST", Path: "/a", Function: recording(&payload)}}})
	for _, declared := range []bool{true, false} {
		for _, tt := range []struct{ size, status int }{{0, 200}, {1, 200}, {5000, 200}, {MaxBodyBytes, 200}, {MaxBodyBytes + 1, 413}} {
			r := newRequest(t, "POST", "/a", "")
			r.Body = io.NopCloser(io.LimitReader(endless{}, int64(tt.size)))
			r.ContentLength = int64(tt.size)
			if !declared {
				r.ContentLength = -1
			}
			payload = nil
			if w := serve(api, r); w.Code != tt.status {
				t.Errorf("%d bytes, declared %t: status %d, want %d", tt.size, declared, w.Code, tt.status)
			}
			var got events.APIGatewayV2HTTPRequest
			if tt.status == 200 && (json.Unmarshal(payload, &got) != nil || len(got.Body) != tt.size) {
				t.Errorf("%d bytes, declared %t: the function got %d", tt.size, declared, len(got.Body))
			}
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestResponses(t *testing.T) {
	tests := []struct {
		name, response, body, contentType string
		status                            int
		header                            http.Header
	}{
		{
			"full", `{"statusCode":202,"headers":{"content-type":"application/json","X-N":3,"x-b":true},"cookies":["a=1","b=2"],` +
				`"body":"{\"accepted\":1}"}`,
			`{"accepted":1}`, "application/json", 202,
			http.Header{"X-N": {"3"}, "X-B": {"true"}, "Set-Cookie": {"a=1", "b=2"}},
		},
		{
			"base64", `{"statusCode":200,"headers":{"Content-Type":"image/png"},"body":"AQL/","isBase64Encoded":true}`,
			"\x01\x02\xff", "image/png", 200, nil,
		},
		{"no content type", `{"statusCode":404,"body":"gone"}`, "gone", "text/plain;charset=utf-8", 404, nil},
		{"no content", `{"statusCode":204}`, "", "text/plain;charset=utf-8", 204, nil},
		{"inferred object", ` {"a":1} `, `{"a":1}`, "application/json", 200, nil},
		{"inferred text", `"Hello\n"`, "Hello\n", "application/json", 200, nil},
		{"inferred number", `12`, "12", "application/json", 200, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			api := newAPI(t, Config{Routes: []Route{{Path: "$default", Function: responding(tt.response)}}})
			server := httptest.NewServer(api)
			defer server.Close()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/any", nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = response.Body.Close() }()
			body, err := io.ReadAll(response.Body)
			contentType := response.Header.Get("Content-Type")
			if err != nil || response.StatusCode != tt.status || string(body) != tt.body || contentType != tt.contentType {
				t.Errorf("got %d %q %s, %v, want %d %q %s",
					response.StatusCode, body, contentType, err, tt.status, tt.body, tt.contentType)
			}
			for name, want := range tt.header {
				if diff := cmp.Diff(want, response.Header[name]); diff != "" {
					t.Errorf("header %s (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}

func TestNewRejects(t *testing.T) {
	f := responding("{}")
	source := func(text string) *Authorizer { return &Authorizer{Function: f, IdentitySources: []string{text}} }
	for name, routes := range map[string][]Route{
		"no method":        {{Path: "/", Function: f}},
		"no slash":         {{Method: "GET", Path: "a", Function: f}},
		"twice":            {{Method: "GET", Path: "/a", Function: f}, {Method: "GET", Path: "/a", Function: f}},
		"two defaults":     {{Path: "$default", Function: f}, {Path: "$default", Function: f}},
		"greedy not last":  {{Method: "GET", Path: "/{a+}/b", Function: f}},
		"open brace":       {{Method: "GET", Path: "/{a", Function: f}},
		"empty parameter":  {{Method: "GET", Path: "/{}", Function: f}},
		"identity source":  {{Method: "GET", Path: "/", Function: f, Authorizer: source("$request.body")}},
		"identity context": {{Method: "GET", Path: "/", Function: f, Authorizer: source("$context.foo")}},
	} {
		if _, err := New(Config{Routes: routes}); err == nil {
			t.Errorf("%s: got nil, want an error", name)
		}
	}
}
