package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/cdk/local/lambda"
)

const allowed = `{"isAuthorized":true,"context": {"gateway": "gw-1", "site": "plant-1", "n": 3}}`

// counting is an authorizer that counts its calls.
type counting struct {
	calls  atomic.Int32
	mu     sync.Mutex
	last   []byte
	answer string
	err    error
	wait   chan struct{}
}

func (c *counting) Invoke(ctx context.Context, payload []byte) (lambda.Result, error) {
	c.calls.Add(1)
	c.mu.Lock()
	c.last = bytes.Clone(payload)
	c.mu.Unlock()
	if c.wait != nil {
		select {
		case <-c.wait:
		case <-ctx.Done():
			return lambda.Result{}, ctx.Err()
		}
	}
	return lambda.Result{Payload: []byte(c.answer)}, c.err
}

func authorized(t *testing.T, a *Authorizer, payload *[]byte, now func() time.Time) *API {
	t.Helper()
	return newAPI(t, Config{Now: now, Routes: []Route{
		{Method: "POST", Path: "/v1/{kind}", Function: recording(payload), Authorizer: a},
		{Method: "GET", Path: "/other", Function: answering(`{}`), Authorizer: a},
	}})
}

func TestAuthorizerRequestAndContext(t *testing.T) {
	authorizer := &counting{answer: allowed}
	var payload []byte
	api := authorized(t, &Authorizer{Function: authorizer, IdentitySources: []string{"$request.header.Authorization", "$request.querystring.k"}, SimpleResponses: true}, &payload, nil)
	w := serve(api, newRequest(t, "POST", "/v1/telemetry?k=v", `{"secret":1}`, "Authorization", "Bearer t", "Content-Type", "application/json"))
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	var asked events.APIGatewayV2CustomAuthorizerV2Request
	if err := json.Unmarshal(authorizer.last, &asked); err != nil {
		t.Fatalf("%s: %v", authorizer.last, err)
	}
	if asked.Version != "2.0" || asked.Type != "REQUEST" || asked.RouteKey != "POST /v1/{kind}" || asked.RawPath != "/v1/telemetry" ||
		asked.RouteArn != "arn:aws:execute-api:eu-central-1:000000000000:local/$default/POST/v1/telemetry" ||
		asked.Headers["authorization"] != "Bearer t" || asked.PathParameters["kind"] != "telemetry" || asked.QueryStringParameters["k"] != "v" ||
		asked.RequestContext.HTTP.Method != "POST" || !cmp.Equal(asked.IdentitySource, []string{"Bearer t", "v"}) {
		t.Errorf("authorizer was asked %s", authorizer.last)
	}
	if bytes.Contains(authorizer.last, []byte("secret")) {
		t.Errorf("authorizer got the body: %s", authorizer.last)
	}
	var got events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal(payload, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"gateway": "gw-1", "site": "plant-1", "n": 3.0}, got.RequestContext.Authorizer.Lambda); diff != "" {
		t.Errorf("context: %s", diff)
	}
	for _, r := range []*http.Request{
		newRequest(t, "POST", "/v1/telemetry", "", "Authorization", "Bearer t"),
		newRequest(t, "POST", "/v1/telemetry?k=v", ""),
	} {
		if w := serve(api, r); w.Code != 401 || w.Body.String() != `{"message":"Unauthorized"}` {
			t.Errorf("identity source missing: %d %s", w.Code, w.Body)
		}
	}
	if n := authorizer.calls.Load(); n != 1 {
		t.Errorf("%d calls, want 1: a missing source must not reach the authorizer", n)
	}
}

func TestAuthorizerAnswers(t *testing.T) {
	policy := func(effect, resource string) string {
		return `{"principalId":"p","policyDocument":{"Version":"2012-10-17","Statement":[{"Action":"execute-api:Invoke","Effect":"` + effect + `","Resource":` + resource + `}]}}`
	}
	const arn = "arn:aws:execute-api:eu-central-1:000000000000:local/$default/POST/v1/telemetry"
	tests := []struct {
		name, answer string
		err          error
		simple       bool
		status       int
	}{
		{"yes", allowed, nil, true, 200},
		{"yes without context", `{"isAuthorized":true}`, nil, true, 200},
		{"null context", `{"isAuthorized":true,"context":null}`, nil, true, 200},
		{"no", `{"isAuthorized":false}`, nil, true, 403},
		{"no answer", `{}`, nil, true, 500},
		{"not JSON", `x`, nil, true, 500},
		{"context is a list", `{"isAuthorized":true,"context":[]}`, nil, true, 500},
		{"failure", allowed, errors.New("down"), true, 500},
		{"throttled", allowed, lambda.ErrThrottled, true, 500},
		{"policy allows", policy("Allow", `"`+arn+`"`), nil, false, 200},
		{"policy allows by pattern", policy("Allow", `["nothing","arn:aws:execute-api:*:*:local/*/POST/v1/?elemetry"]`), nil, false, 200},
		{"policy allows another", policy("Allow", `"arn:aws:execute-api:*/GET/*"`), nil, false, 403},
		{"policy denies", policy("Deny", `"*"`), nil, false, 403},
		{"no policy", `{"isAuthorized":true}`, nil, false, 500},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var payload []byte
			authorizer := &counting{answer: tt.answer, err: tt.err}
			api := authorized(t, &Authorizer{Function: authorizer, IdentitySources: []string{"$request.header.Authorization"}, ResultTTL: time.Minute, SimpleResponses: tt.simple}, &payload, nil)
			for range 2 {
				if w := serve(api, newRequest(t, "POST", "/v1/telemetry", "", "Authorization", "t")); w.Code != tt.status {
					t.Errorf("%d %s, want %d", w.Code, w.Body, tt.status)
				}
			}
			want := int32(1)
			if tt.status == 500 {
				want = 2 // failures are not kept
			}
			if n := authorizer.calls.Load(); n != want {
				t.Errorf("%d calls, want %d", n, want)
			}
		})
	}
}

func TestAuthorizerCache(t *testing.T) {
	now := testNow
	authorizer := &counting{answer: allowed}
	var payload []byte
	api := authorized(t, &Authorizer{
		Function: authorizer, IdentitySources: []string{"$request.header.Authorization"}, ResultTTL: time.Minute, SimpleResponses: true, CacheSize: 4,
	}, &payload, func() time.Time { return now })
	ask := func(token string, want int32) {
		t.Helper()
		if w := serve(api, newRequest(t, "POST", "/v1/telemetry", "", "Authorization", token)); w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if n := authorizer.calls.Load(); n != want {
			t.Errorf("%d calls, want %d", n, want)
		}
	}
	ask("a", 1)
	ask("a", 1)
	ask("b", 2)
	if serve(api, newRequest(t, "GET", "/other", "", "Authorization", "a")); authorizer.calls.Load() != 2 {
		t.Error("the routes of one authorizer do not share its cache")
	}
	now = now.Add(time.Minute - time.Nanosecond)
	ask("a", 2)
	now = now.Add(time.Nanosecond)
	ask("a", 3)
	for i := range 20 {
		ask("many"+strconv.Itoa(i), int32(4+i))
	}
	if n := len(api.router.routes[0].cache.entries); n > 4 {
		t.Errorf("%d entries, want at most 4", n)
	}
}

// Requests that come while the authorizer runs share its invocation, and the client that
// caused it may go away without failing the others.
func TestAuthorizerIsInvokedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		authorizer := &counting{answer: allowed, wait: make(chan struct{})}
		api := newAPI(t, Config{Routes: []Route{{Method: "POST", Path: "/a", Function: answering(`{}`), Authorizer: &Authorizer{
			Function: authorizer, IdentitySources: []string{"$request.header.Authorization"}, ResultTTL: time.Minute, SimpleResponses: true,
		}}}})
		ctx, cancel := context.WithCancel(t.Context())
		go serve(api, newRequest(t, "POST", "/a", "", "Authorization", "t").WithContext(ctx))
		synctest.Wait()
		const others = 20
		codes := make(chan int, others)
		for range others {
			r := newRequest(t, "POST", "/a", "", "Authorization", "t")
			go func() { codes <- serve(api, r).Code }()
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		if n := authorizer.calls.Load(); n != 1 || len(codes) > 0 {
			t.Errorf("%d invocations and %d responses while the authorizer runs, want 1 and 0", n, len(codes))
		}
		close(authorizer.wait)
		for range others {
			if code := <-codes; code != 200 {
				t.Errorf("status %d, want 200", code)
			}
		}
		if n := authorizer.calls.Load(); n != 1 {
			t.Errorf("%d invocations of the authorizer, want 1", n)
		}
	})
}

func TestCacheKeyIsUnambiguous(t *testing.T) {
	if cacheKey([]string{"ab", "c"}) == cacheKey([]string{"a", "bc"}) {
		t.Error("two identities with one key")
	}
}
