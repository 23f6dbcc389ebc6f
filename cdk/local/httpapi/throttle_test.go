package httpapi

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/cdk/local/lambda"
)

// returning is an Invoker that counts its invocations and returns payload.
func returning(n *int, payload string) Invoker {
	return invokerFunc(func(context.Context, []byte) (lambda.Result, error) {
		*n++
		return lambda.Result{Payload: []byte(payload)}, nil
	})
}

// TestThrottle: each route has a bucket of its own, which is asked before its authorizer.
func TestThrottle(t *testing.T) {
	t.Parallel()
	var verified, served, logins int
	now := testNow
	guard := &Authorizer{
		Function:        returning(&verified, `{"isAuthorized":true}`),
		IdentitySources: []string{"$request.header.Authorization"}, SimpleResponses: true,
	}
	api := newAPI(t, Config{Now: func() time.Time { return now }, Routes: []Route{
		{Method: "POST", Path: "/v1/login", Function: returning(&logins, `{"statusCode":204}`), Throttle: &Throttle{10, 3}},
		{
			Method: "ANY", Path: "/v1/{path+}", Function: returning(&served, `{"statusCode":204}`), Authorizer: guard,
			Throttle: &Throttle{0.5, 1},
		},
		{Method: "GET", Path: "/docs", Function: responding(`{"statusCode":204}`)},
		{Method: "GET", Path: "/closed", Function: responding(`{"statusCode":204}`), Throttle: &Throttle{}},
		{Method: "GET", Path: "/account", Function: responding(`{"statusCode":204}`), Throttle: &Throttle{1, -1}},
	}})
	passed := func(n int, method, path string) (ok int) {
		t.Helper()
		for range n {
			w := serve(api, newRequest(t, method, path, "", "Authorization", "Bearer x"))
			switch {
			case w.Code == http.StatusNoContent:
				ok++
			case w.Code != http.StatusTooManyRequests || w.Body.String() != `{"message":"Too Many Requests"}` ||
				w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Apigw-Requestid") == "":
				t.Errorf("%s %s: %d %s %v", method, path, w.Code, w.Body, w.Header())
			}
		}
		return ok
	}
	for _, step := range []struct {
		after        time.Duration
		method, path string
		n, want      int
	}{
		{0, "POST", "/v1/login", 10, 3},                      // the burst
		{0, "GET", "/v1/sites", 5, 1},                        // has tokens of its own
		{0, "GET", "/v1/login", 5, 0},                        // belongs to the route above
		{0, "GET", "/docs", 100, 100},                        // no limit
		{0, "GET", "/closed", 5, 0},                          // 0 and 0 close a route
		{0, "GET", "/account", 6000, accountBurst},           // a rate without a burst has the account's
		{200 * time.Millisecond, "POST", "/v1/login", 10, 2}, // 0.2 s at 10/s
		{time.Hour, "POST", "/v1/login", 10, 3},              // not more than the burst
		{0, "GET", "/v1/sites", 5, 1},
		{-time.Hour, "POST", "/v1/login", 5, 0}, // a clock that is set back gives nothing
		{time.Second, "POST", "/v1/login", 10, 3},
		{time.Second, "GET", "/v1/sites", 10, 0}, // the first request after the clock was set back
		{2 * time.Second, "GET", "/v1/sites", 10, 1},
	} {
		now = now.Add(step.after)
		if got := passed(step.n, step.method, step.path); got != step.want {
			t.Errorf("after %v, %s %s: %d of %d passed, want %d", step.after, step.method, step.path, got, step.n, step.want)
		}
	}
	if diff := cmp.Diff([]int{11, 3, 3}, []int{logins, served, verified}); diff != "" {
		t.Errorf("invocations of login, resources and authorizer (-want +got):\n%s", diff)
	}
}

// BenchmarkThrottled measures a request that the throttle stops.
func BenchmarkThrottled(b *testing.B) {
	api, err := New(Config{Routes: []Route{{Method: "POST", Path: "/v1/login", Function: responding(`{}`), Throttle: &Throttle{}}}})
	if err != nil {
		b.Fatal(err)
	}
	r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "/v1/login", http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	w := &discarded{header: make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		api.ServeHTTP(w, r)
	}
	if w.status != http.StatusTooManyRequests {
		b.Errorf("status %d", w.status)
	}
}

type discarded struct {
	header http.Header
	status int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) Write(p []byte) (int, error) { return len(p), nil }
func (d *discarded) WriteHeader(status int)      { d.status = status }
