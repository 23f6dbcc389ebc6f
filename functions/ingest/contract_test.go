package main

import (
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/docs/contracttest"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// checkContract checks a response of the function, as the runtime gets it, against
// docs/openapi.yaml. sent is the body before base64. Events that the response lists as
// rejected are removed from it, since the contract describes the accepted ones.
func checkContract(t *testing.T, c *contracttest.Contract, headers map[string]string, sent, response []byte) (status int, kind string) {
	t.Helper()
	var a struct {
		StatusCode int
		Headers    map[string]string
		Body       string
	}
	if err := json.Unmarshal(response, &a); err != nil {
		t.Fatalf("%s: %v", response, err)
	}
	var body struct {
		Type   string
		Errors []struct{ Index int }
	}
	if err := json.Unmarshal([]byte(a.Body), &body); err != nil {
		t.Fatalf("%s: %v", a.Body, err)
	}
	if a.StatusCode == http.StatusAccepted && len(body.Errors) > 0 {
		var document struct {
			Events []json.RawMessage `json:"events"`
		}
		if err := json.Unmarshal(sent, &document); err != nil {
			t.Fatal(err)
		}
		for _, e := range slices.Backward(body.Errors) {
			document.Events = slices.Delete(document.Events, e.Index, e.Index+1)
		}
		// The response lists only the first of many.
		document.Events = slices.DeleteFunc(document.Events, func(e json.RawMessage) bool { return string(e) == "{}" })
		var err error
		if sent, err = json.Marshal(document); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Check(contracttest.Exchange{
		Method: "POST", Path: "/v1/telemetry", RequestHeaders: headers, RequestBody: sent,
		Status: a.StatusCode, Headers: a.Headers, Body: []byte(a.Body),
	}); err != nil {
		t.Errorf("got a response that docs/openapi.yaml does not describe: %v\n%s", err, response)
	}
	return a.StatusCode, body.Type
}

// stream returns the function with a Kinesis that responds to each call with the same.
func stream(t *testing.T, status int, body string) lambda.Handler {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	handler, err := lambdahost.New(t.Context(), environment(map[string]string{
		"STREAM_NAME": "telemetry", "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none",
		"AWS_ENDPOINT_URL_KINESIS": server.URL, "AWS_ENDPOINT_URL": server.URL, "MAX_INFLATED_BYTES": "65536",
	}), slog.New(slog.DiscardHandler), build)
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

const (
	stored    = `{"FailedRecordCount":0,"Records":[{"SequenceNumber":"1","ShardId":"shardId-000000000000"}]}`
	throttled = `{"FailedRecordCount":1,"Records":[{"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"x"}]}`
	denied    = `{"__type":"AccessDeniedException","message":"secret"}`
)

// exchange is a request to the function and the wanted response.
type exchange struct {
	headers map[string]string
	body    []byte
	base64  bool
	raw     bool           // isBase64Encoded is true although the body is not encoded
	caller  map[string]any // differences from the usual caller
	status  int
	kind    string // the last part of the problem's type; empty without one
}

func (x exchange) payload(t *testing.T) []byte {
	t.Helper()
	caller := map[string]any{"gateway": "gw-1", "site": "plant-1", "role": "gateway", "expires": time.Now().Add(time.Hour).Unix()}
	maps.Copy(caller, x.caller)
	body := string(x.body)
	if x.base64 {
		body = base64.StdEncoding.EncodeToString(x.body)
	}
	out, err := json.Marshal(map[string]any{
		"version": "2.0", "headers": x.headers, "body": body, "isBase64Encoded": x.base64 || x.raw,
		"requestContext": map[string]any{"requestId": "r-1", "authorizer": map[string]any{"lambda": caller}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// exchanges returns requests with every kind of response that depends on the request alone.
func exchanges(t *testing.T) map[string]exchange {
	t.Helper()
	good := `{"device":"press-1","metric":"temperature","time":"` + time.Now().UTC().Format(time.RFC3339Nano) + `","value":71.25}`
	of := func(text string, status int, kind string) exchange {
		return exchange{headers: map[string]string{"content-type": "application/json"}, body: []byte(text), status: status, kind: kind}
	}
	with := func(x exchange, change func(*exchange)) exchange {
		x.headers = maps.Clone(x.headers)
		change(&x)
		return x
	}
	whole := `{"events":[` + good + `]}`
	encoded := func(encoding, body, kind string, status int) exchange {
		return with(of(body, status, kind), func(x *exchange) { x.headers["content-encoding"], x.base64 = encoding, true })
	}
	typed := func(contentType string) exchange {
		return with(of(whole, 415, "unsupported-type"), func(x *exchange) { x.headers["content-type"] = contentType })
	}
	record := typed("application/x-protobuf")
	record.status, record.kind, record.base64 = 400, "bad-record", true
	called := func(status int, kind, member string, value any) exchange {
		return with(of(whole, status, kind), func(x *exchange) { x.caller = map[string]any{member: value} })
	}
	return map[string]exchange{
		"all accepted":     of(whole, 202, ""),
		"some accepted":    of(`{"events":[{},`+good+`,{"device":1}]}`, 202, ""),
		"many rejected":    of(`{"events":[`+strings.Repeat(`{},`, 150)+good+`]}`, 202, ""),
		"none accepted":    of(`{"events":[{}]}`, 422, "no-event-accepted"),
		"none of many":     of(`{"events":[{}`+strings.Repeat(`,{}`, 150)+`]}`, 422, "no-event-accepted"),
		"not JSON":         of(`{`, 400, "not-json"),
		"bad envelope":     of(`{"events":[]}`, 400, "bad-envelope"),
		"too deep":         of(`{"events":[{"x":`+strings.Repeat("[", 100)+strings.Repeat("]", 100)+`}]}`, 400, "too-deep"),
		"too many":         of(`{"events":[1`+strings.Repeat(`,1`, telemetry.MaxBatchEvents)+`]}`, 413, "too-many-events"),
		"too large":        of(strings.Repeat(" ", 5<<20), 413, "body-too-large"),
		"too large within": encoded("gzip", gzipped(t, strings.Repeat(" ", 70<<10)), "inflated-too-large", 413),
		"not gzip":         encoded("gzip", whole, "bad-gzip", 400),
		"not zstd":         encoded("zstd", whole, "bad-zstd", 400),
		"gzip":             encoded("gzip", gzipped(t, whole), "", 202),
		"unknown encoding": encoded("br", whole, "unsupported-encoding", 415),
		"unknown type":     typed("text/plain"),
		"no type":          typed(""),
		"bad record":       record,
		"not base64":       with(of("!", 400, "bad-base64"), func(x *exchange) { x.raw = true }),
		"expired token":    called(401, "token-expired", "expires", 1),
		"no gateway":       called(403, "no-gateway", "gateway", ""),
		"account's token":  called(403, "not-a-gateway", "role", "admin"),
		"no site":          called(403, "no-gateway", "site", nil),
	}
}

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var out strings.Builder
	w := gzip.NewWriter(&out)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestResponsesByTheContract: docs/openapi.yaml describes every response that a request or
// the stream can cause, and every response that it describes for this operation occurs,
// except 429, which only API Gateway sends (tested by cdk/local/stack).
func TestResponsesByTheContract(t *testing.T) {
	t.Parallel()
	contract, kinds := contracttest.Open(t), make(map[int][]string)
	try := func(name string, handler lambda.Handler, x exchange, within time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		response, err := handler.Invoke(ctx, x.payload(t))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		sent := x.body
		if x.headers["content-encoding"] == "gzip" && x.status == http.StatusAccepted {
			sent = exchanges(t)["all accepted"].body
		}
		status, kind := checkContract(t, contract, x.headers, sent, response)
		if want := "urn:insighthub:problem:" + x.kind; status != x.status || x.kind != "" && kind != want {
			t.Errorf("%s: got %d %s, want %d %s: %s", name, status, kind, x.status, x.kind, response)
		}
		if !slices.Contains(kinds[status], x.kind) {
			kinds[status] = append(kinds[status], x.kind)
		}
	}
	good := stream(t, http.StatusOK, stored)
	for name, x := range exchanges(t) {
		try(name, good, x, 2*time.Minute)
	}
	whole := exchanges(t)["all accepted"]
	whole.status, whole.kind = http.StatusServiceUnavailable, "unavailable"
	try("throttled", stream(t, http.StatusOK, throttled), whole, 400*time.Millisecond) // it retries until then
	whole.status, whole.kind = http.StatusInternalServerError, "internal"
	try("denied", stream(t, http.StatusBadRequest, denied), whole, 2*time.Minute)
	for _, list := range kinds {
		slices.Sort(list)
	}
	want := map[int][]string{
		202: {""},
		400: {"bad-base64", "bad-envelope", "bad-gzip", "bad-record", "bad-zstd", "not-json", "too-deep"},
		401: {"token-expired"},
		403: {"no-gateway", "not-a-gateway"},
		413: {"body-too-large", "inflated-too-large", "too-many-events"},
		415: {"unsupported-encoding", "unsupported-type"},
		422: {"no-event-accepted"},
		500: {"internal"},
		503: {"unavailable"},
	}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("kinds of responses (-want +got):\n%s", diff)
	}
	described := contract.Statuses("POST", "/v1/telemetry")
	tried := append(slices.Sorted(maps.Keys(kinds)), http.StatusTooManyRequests)
	slices.Sort(tried)
	if diff := cmp.Diff(described, tried); diff != "" {
		t.Errorf("statuses (-described +occurred):\n%s", diff)
	}
}
