package stack

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/cdk/local/httpapi"
	"github.com/insighthub/insighthub/cdk/local/lambda"
	"github.com/insighthub/insighthub/docs/contracttest"
)

// outcome is an Invoker with a fixed result.
type outcome struct {
	result lambda.Result
	err    error
}

func (o outcome) Invoke(context.Context, []byte) (lambda.Result, error) { return o.result, o.err }

func returns(payload string) outcome { return outcome{result: lambda.Result{Payload: []byte(payload)}} }

// contractFront returns the API with the stage's routes, functions and an authorizer.
func contractFront(t *testing.T, c *contracttest.Contract, function, authorizer outcome, throttled bool) http.Handler {
	t.Helper()
	guard := &httpapi.Authorizer{Function: authorizer, IdentitySources: []string{"$request.header.Authorization"}, SimpleResponses: true}
	routes := []httpapi.Route{
		{Method: "POST", Path: "/v1/telemetry", Function: function, Authorizer: guard},
		{Method: "ANY", Path: "/v1/{path+}", Function: function, Authorizer: guard},
	}
	for _, key := range c.OpenOperations() {
		method, path, _ := strings.Cut(key, " ")
		routes = append(routes, httpapi.Route{Method: method, Path: path, Function: function})
	}
	if throttled {
		for i := range routes {
			routes[i].Throttle = &httpapi.Throttle{} // never a token
		}
	}
	front, err := httpapi.New(httpapi.Config{Routes: routes, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return front
}

// TestGatewayErrorsMatchTheContract makes the API reject every operation of the contract in
// each way that API Gateway does, and validates the responses.
func TestGatewayErrorsMatchTheContract(t *testing.T) {
	t.Parallel()
	c := contracttest.Open(t)
	yes, fine := returns(`{"isAuthorized":true}`), returns(`{"statusCode":204}`)
	open := c.OpenOperations()
	for name, way := range map[string]struct {
		function, authorizer outcome
		token                string
		bodyBytes            int
		throttled            bool
		status               int
	}{
		"no token":            {fine, yes, "", 0, false, http.StatusUnauthorized},
		"not authorized":      {fine, returns(`{"isAuthorized":false}`), "x", 0, false, http.StatusForbidden},
		"authorizer fails":    {fine, outcome{err: errors.New("down")}, "x", 0, false, http.StatusInternalServerError},
		"too large":           {fine, yes, "x", httpapi.MaxBodyBytes + 1, false, http.StatusRequestEntityTooLarge},
		"too large a payload": {outcome{err: lambda.ErrTooLarge}, yes, "x", 10, false, http.StatusRequestEntityTooLarge},
		"rate limit":          {fine, yes, "x", 0, true, http.StatusTooManyRequests},
		"function fails": {
			outcome{result: lambda.Result{FunctionError: "Unhandled"}},
			yes, "x", 0, false,
			http.StatusInternalServerError,
		},
		"function's response": {returns(`<html>`), yes, "x", 0, false, http.StatusInternalServerError},
		"no concurrency":      {outcome{err: lambda.ErrThrottled}, yes, "x", 0, false, http.StatusServiceUnavailable},
		"function too slow":   {outcome{err: context.DeadlineExceeded}, yes, "x", 0, false, http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			front, checked := contractFront(t, c, way.function, way.authorizer, way.throttled), 0
			for _, operation := range c.Operations() {
				method, path, _ := strings.Cut(operation, " ")
				guarded := !slices.Contains(open, operation)
				needsToken := way.status == http.StatusUnauthorized || way.status == http.StatusForbidden || name == "authorizer fails"
				if needsToken && !guarded || way.status == http.StatusRequestEntityTooLarge && method != "POST" && method != "PUT" {
					continue
				}
				path = regexp.MustCompile(`\{\w+\}`).ReplaceAllString(path, "x")
				x := serveOnce(t, front, method, path, way.token, way.bodyBytes)
				if x.Status != way.status {
					t.Errorf("%s: got %d, want %d", operation, x.Status, way.status)
				}
				if err := c.CheckFront(x); err != nil {
					t.Errorf("the response does not match docs/openapi.yaml: %v", err)
				}
				checked++
			}
			if checked < 5 {
				t.Errorf("checked %d operations, want at least 5", checked)
			}
		})
	}
}

// TestUnknownPaths: paths that are not in the contract are not found.
func TestUnknownPaths(t *testing.T) {
	t.Parallel()
	c := contracttest.Open(t)
	front := contractFront(t, c, returns(`{"statusCode":204}`), returns(`{"isAuthorized":true}`), false)
	var got []int
	for _, path := range []string{"/", "/v2/sites", "/openapi.json", "/.well-known/security.txt"} {
		x := serveOnce(t, front, "GET", path, "x", 0)
		if err := c.CheckFront(x); err != nil {
			t.Error(err)
		}
		got = append(got, x.Status)
	}
	if diff := cmp.Diff([]int{404, 404, 404, 404}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func serveOnce(t *testing.T, front http.Handler, method, path, token string, bodyBytes int) contracttest.Exchange {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, bytes.NewReader(make([]byte, bodyBytes)))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	front.ServeHTTP(w, r)
	x := contracttest.Exchange{Method: method, Path: path, Status: w.Code, Headers: make(map[string]string), Body: w.Body.Bytes()}
	for header := range w.Header() {
		x.Headers[header] = w.Header().Get(header)
	}
	return x
}
