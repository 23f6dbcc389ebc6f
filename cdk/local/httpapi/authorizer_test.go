package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
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

// counting is an authorizer that counts its invocations.
type counting struct {
	invocations atomic.Int32
	mu          sync.Mutex
	last        []byte
	response    string
	err         error
	wait        chan struct{}
}

func (c *counting) Invoke(ctx context.Context, payload []byte) (lambda.Result, error) {
	c.invocations.Add(1)
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
	return lambda.Result{Payload: []byte(c.response)}, c.err
}

func authorized(t *testing.T, a *Authorizer, payload *[]byte, now func() time.Time) *API {
	t.Helper()
	return newAPI(t, Config{Now: now, Routes: []Route{
		{Method: "POST", Path: "/v1/{kind}", Function: recording(payload), Authorizer: a},
		{Method: "GET", Path: "/other", Function: responding(`{}`), Authorizer: a},
	}})
}

func TestAuthorizerRequestAndContext(t *testing.T) {
	authorizer := &counting{response: allowed}
	var payload []byte
	api := authorized(t, &Authorizer{
		Function: authorizer, IdentitySources: []string{"$request.header.Authorization", "$request.querystring.k"}, SimpleResponses: true,
	}, &payload, nil)
	w := serve(api, newRequest(t, "POST", "/v1/telemetry?k=v", `{"secret":1}`,
		"Authorization", "Bearer t", "Content-Type", "application/json"))
	if w.Code != 200 {
		t.Fatalf("got %d %s, want 200", w.Code, w.Body)
	}
	var request events.APIGatewayV2CustomAuthorizerV2Request
	if err := json.Unmarshal(authorizer.last, &request); err != nil {
		t.Fatalf("%s: %v", authorizer.last, err)
	}
	if request.Version != "2.0" || request.Type != "REQUEST" || request.RouteKey != "POST /v1/{kind}" ||
		request.RawPath != "/v1/telemetry" ||
		request.RouteArn != "arn:aws:execute-api:eu-central-1:000000000000:local/$default/POST/v1/telemetry" ||
		request.Headers["authorization"] != "Bearer t" || request.PathParameters["kind"] != "telemetry" ||
		request.QueryStringParameters["k"] != "v" ||
		request.RequestContext.HTTP.Method != "POST" || !cmp.Equal(request.IdentitySource, []string{"Bearer t", "v"}) {
		t.Errorf("event of the authorizer: %s", authorizer.last)
	}
	if bytes.Contains(authorizer.last, []byte("secret")) {
		t.Errorf("event of the authorizer contains the body: %s", authorizer.last)
	}
	var got events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal(payload, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"gateway": "gw-1", "site": "plant-1", "n": 3.0}, got.RequestContext.Authorizer.Lambda); diff != "" {
		t.Errorf("context (-want +got):\n%s", diff)
	}
	for _, r := range []*http.Request{
		newRequest(t, "POST", "/v1/telemetry", "", "Authorization", "Bearer t"),
		newRequest(t, "POST", "/v1/telemetry?k=v", ""),
	} {
		if w := serve(api, r); w.Code != 401 || w.Body.String() != `{"message":"Unauthorized"}` {
			t.Errorf("identity source missing: got %d %s, want 401", w.Code, w.Body)
		}
	}
	if n := authorizer.invocations.Load(); n != 1 {
		t.Errorf("%d invocations, want 1: none without an identity source", n)
	}
}

func TestAuthorizerResponses(t *testing.T) {
	policy := func(effect, resource string) string {
		return `{"principalId":"p","policyDocument":{"Version":"2012-10-17","Statement":[` +
			`{"Action":"execute-api:Invoke","Effect":"` + effect + `","Resource":` + resource + `}]}}`
	}
	const arn = "arn:aws:execute-api:eu-central-1:000000000000:local/$default/POST/v1/telemetry"
	tests := []struct {
		name, response string
		err            error
		simple         bool
		status         int
	}{
		{"allow", allowed, nil, true, 200},
		{"allow without context", `{"isAuthorized":true}`, nil, true, 200},
		{"null context", `{"isAuthorized":true,"context":null}`, nil, true, 200},
		{"deny", `{"isAuthorized":false}`, nil, true, 403},
		{"no decision", `{}`, nil, true, 500},
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
			authorizer := &counting{response: tt.response, err: tt.err}
			api := authorized(t, &Authorizer{
				Function: authorizer, IdentitySources: []string{"$request.header.Authorization"},
				ResultTTL: time.Minute, SimpleResponses: tt.simple,
			}, &payload, nil)
			for range 2 {
				if w := serve(api, newRequest(t, "POST", "/v1/telemetry", "", "Authorization", "t")); w.Code != tt.status {
					t.Errorf("got %d %s, want %d", w.Code, w.Body, tt.status)
				}
			}
			want := int32(1)
			if tt.status == 500 {
				want = 2 // failures are not cached
			}
			if n := authorizer.invocations.Load(); n != want {
				t.Errorf("%d invocations, want %d", n, want)
			}
		})
	}
}

func TestAuthorizerCache(t *testing.T) {
	now := testNow
	authorizer := &counting{response: allowed}
	var payload []byte
	api := authorized(t, &Authorizer{
		Function: authorizer, IdentitySources: []string{"$request.header.Authorization"},
		ResultTTL: time.Minute, SimpleResponses: true, CacheSize: 4,
	}, &payload, func() time.Time { return now })
	request := func(token string, want int32) {
		t.Helper()
		if w := serve(api, newRequest(t, "POST", "/v1/telemetry", "", "Authorization", token)); w.Code != 200 {
			t.Errorf("got %d %s, want 200", w.Code, w.Body)
		}
		if n := authorizer.invocations.Load(); n != want {
			t.Errorf("%d invocations, want %d", n, want)
		}
	}
	request("a", 1)
	request("a", 1)
	request("b", 2)
	if serve(api, newRequest(t, "GET", "/other", "", "Authorization", "a")); authorizer.invocations.Load() != 2 {
		t.Error("the other route of the authorizer does not use its cache")
	}
	now = now.Add(time.Minute - time.Nanosecond)
	request("a", 2)
	now = now.Add(time.Nanosecond)
	request("a", 3)
	for i := range 20 {
		request("many"+strconv.Itoa(i), int32(4+i))
	}
	if n := len(api.router.routes[0].cache.entries); n > 4 {
		t.Errorf("%d cached decisions, want at most 4", n)
	}
}

// Requests that come while the authorizer runs share its invocation, and the client that
// caused it may go away without failing the others.
func TestAuthorizerIsInvokedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		authorizer := &counting{response: allowed, wait: make(chan struct{})}
		api := newAPI(t, Config{Routes: []Route{{Method: "POST", Path: "/a", Function: responding(`{}`), Authorizer: &Authorizer{
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
		if n := authorizer.invocations.Load(); n != 1 || len(codes) > 0 {
			t.Errorf("%d invocations and %d responses while the authorizer runs, want 1 and 0", n, len(codes))
		}
		close(authorizer.wait)
		for range others {
			if code := <-codes; code != 200 {
				t.Errorf("status %d, want 200", code)
			}
		}
		if n := authorizer.invocations.Load(); n != 1 {
			t.Errorf("%d invocations of the authorizer, want 1", n)
		}
	})
}

func TestCacheKeyIsUnambiguous(t *testing.T) {
	if cacheKey([]string{"ab", "c"}) == cacheKey([]string{"a", "bc"}) {
		t.Error("two identities have the same key")
	}
}

// TestGarbageEvictsNobody: a flood of tokens that are denied does not make those who have a
// token wait for the authorizer again.
func TestGarbageEvictsNobody(t *testing.T) {
	t.Parallel()
	invocations := map[string]int{}
	authorizer := invokerFunc(func(_ context.Context, payload []byte) (lambda.Result, error) {
		var e struct{ IdentitySource []string }
		if err := json.Unmarshal(payload, &e); err != nil {
			return lambda.Result{}, err
		}
		invocations[e.IdentitySource[0]]++
		return lambda.Result{Payload: fmt.Appendf(nil, `{"isAuthorized":%t}`, strings.HasPrefix(e.IdentitySource[0], "good"))}, nil
	})
	api := newAPI(t, Config{Routes: []Route{{
		Method: "GET", Path: "/", Function: responding(`{"statusCode":204}`),
		Authorizer: &Authorizer{
			Function: authorizer, IdentitySources: []string{"$request.header.Authorization"}, ResultTTL: time.Hour, SimpleResponses: true,
			CacheSize: 100,
		},
	}}})
	get := func(token string) int {
		return serve(api, newRequest(t, http.MethodGet, "/", "", "Authorization", token)).Code
	}
	for n := range 1000 {
		if n < 50 {
			get(fmt.Sprint("good-", n))
		}
		if status := get(fmt.Sprint("garbage-", n)); status != http.StatusForbidden {
			t.Fatalf("garbage: got %d, want 403", status)
		}
	}
	for n := range 50 {
		if status, token := get(fmt.Sprint("good-", n)), fmt.Sprint("good-", n); status != http.StatusNoContent || invocations[token] != 1 {
			t.Errorf("%s: got %d after %d invocations of the authorizer, want 204 after one", token, status, invocations[token])
		}
	}
	// The newest denials are cached, too.
	if get("garbage-999"); invocations["garbage-999"] != 1 {
		t.Errorf("the last garbage was verified %d times, want once", invocations["garbage-999"])
	}
}
