package contracttest_test

import (
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/insighthub/insighthub/docs"
	"github.com/insighthub/insighthub/docs/contracttest"
)

// TestDocument checks that an independent library accepts the contract as OpenAPI 3.1, and
// that each example is valid by its schema.
func TestDocument(t *testing.T) {
	t.Parallel()
	document, err := openapi3.NewLoader().LoadFromData(docs.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	if err := document.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	n, problems := contracttest.Open(t).Examples()
	for _, err := range problems {
		t.Error(err)
	}
	if n < 40 {
		t.Errorf("got %d examples, want 40 or more", n)
	}
}

// site returns an exchange that the contract allows.
func site() contracttest.Exchange {
	return contracttest.Exchange{
		Method: "GET", Path: "/v1/sites/plant-1", Status: 200,
		Headers: map[string]string{"content-type": "application/json", "etag": `"1"`, "cache-control": "no-store"},
		Body: []byte(`{"name":"plant-1","title":"","time_zone":"UTC",` +
			`"created_at":"2026-11-23T09:08:33Z","updated_at":"2026-11-23T09:08:33Z"}`),
	}
}

// TestCheckSees checks that each difference from the contract is found.
func TestCheckSees(t *testing.T) {
	t.Parallel()
	c := contracttest.Open(t)
	if err := c.Check(site()); err != nil {
		t.Fatal(err)
	}
	body := func(text string) func(*contracttest.Exchange) {
		return func(x *contracttest.Exchange) { x.Body = []byte(text) }
	}
	problem := func(status int, text string, headers ...string) func(*contracttest.Exchange) {
		return func(x *contracttest.Exchange) {
			x.Status, x.Body, x.Headers = status, []byte(text), map[string]string{"content-type": "application/problem+json"}
			for _, h := range headers {
				x.Headers[h] = "1"
			}
		}
	}
	notAllowed := func(x *contracttest.Exchange, allow string) {
		problem(405, `{"type":"about:blank","title":"Method Not Allowed","status":405}`)(x)
		x.Method, x.Headers["allow"] = "DELETE", allow
	}
	right := site()
	if notAllowed(&right, "GET, HEAD, PUT"); c.Check(right) != nil {
		t.Error(c.Check(right))
	}
	whole := string(site().Body)
	for name, change := range map[string]func(*contracttest.Exchange){
		"a status":             func(x *contracttest.Exchange) { x.Status = 206 },
		"a member":             body(strings.Replace(whole, `{`, `{"version":1,`, 1)),
		"a missing member":     body(strings.Replace(whole, `"title":"",`, ``, 1)),
		"a member's kind":      body(strings.Replace(whole, `"title":""`, `"title":1`, 1)),
		"a time":               body(strings.Replace(whole, `2026-11-23T`, `yesterday`, 1)),
		"no JSON":              body(`{`),
		"no ETag":              func(x *contracttest.Exchange) { delete(x.Headers, "etag") },
		"a wrong ETag":         func(x *contracttest.Exchange) { x.Headers["etag"] = "W/1" },
		"a header":             func(x *contracttest.Exchange) { x.Headers["x-powered-by"] = "Go" },
		"a CORS header":        func(x *contracttest.Exchange) { x.Headers["access-control-allow-origin"] = "*" },
		"a media type":         func(x *contracttest.Exchange) { x.Headers["content-type"] = "text/plain" },
		"a parameter":          func(x *contracttest.Exchange) { x.Query = "sql=1" },
		"a path":               func(x *contracttest.Exchange) { x.Path = "/v1/secret" },
		"other methods":        func(x *contracttest.Exchange) { notAllowed(x, "GET, POST") },
		"no methods":           func(x *contracttest.Exchange) { notAllowed(x, "") },
		"another status in it": problem(404, `{"type":"about:blank","title":"Not Found","status":400}`),
		"a problem's member":   problem(404, `{"type":"about:blank","title":"Not Found","status":404,"stack":"x"}`),
		"a problem's header":   problem(404, `{"type":"about:blank","title":"Not Found","status":404}`, "etag"),
		"no Retry-After":       problem(503, `{"type":"about:blank","title":"Service Unavailable","status":503}`),
		"no WWW-Authenticate":  problem(401, `{"type":"about:blank","title":"Unauthorized","status":401}`),
	} {
		x := site()
		change(&x)
		if err := c.Check(x); err == nil {
			t.Errorf("%s: got no error, want one", name)
		}
	}
}

// TestCheckSeesRequests checks that a served request that the contract does not allow is
// found.
func TestCheckSeesRequests(t *testing.T) {
	t.Parallel()
	c := contracttest.Open(t)
	change := func() contracttest.Exchange {
		x := site()
		x.Method, x.RequestBody = "PUT", []byte(`{"title":"x","time_zone":"UTC"}`)
		x.RequestHeaders = map[string]string{"content-type": "application/json", "if-match": `"1"`}
		return x
	}
	if err := c.Check(change()); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*contracttest.Exchange){
		"no If-Match":    func(x *contracttest.Exchange) { delete(x.RequestHeaders, "if-match") },
		"a bad If-Match": func(x *contracttest.Exchange) { x.RequestHeaders["if-match"] = "1" },
		"a part":         func(x *contracttest.Exchange) { x.RequestBody = []byte(`{"title":"x"}`) },
		"a member":       func(x *contracttest.Exchange) { x.RequestBody = []byte(`{"admin":true}`) },
		"no type":        func(x *contracttest.Exchange) { delete(x.RequestHeaders, "content-type") },
		"a long path":    func(x *contracttest.Exchange) { x.Path = "/v1/sites/" + strings.Repeat("a", 129) },
	} {
		x := change()
		edit(&x)
		if err := c.Check(x); err == nil {
			t.Errorf("%s: got no error, want one", name)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	if _, err := contracttest.Parse([]byte("paths: [")); err == nil {
		t.Error("got no error, want one")
	}
}
