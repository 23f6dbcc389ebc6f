package http_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/denylist"
	"github.com/insighthub/insighthub/lib/directory"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/problem"
	"github.com/insighthub/insighthub/lib/telemetry"
)

type reply struct {
	StatusCode      int               `json:"statusCode"`
	Headers         map[string]string `json:"headers"`
	Cookies         []string          `json:"cookies"`
	Body            string            `json:"body"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
}

// newHandler returns a Handler at 1,000 seconds after the Unix epoch.
func newHandler(handler http.HandlerFunc) *lambdahttp.Handler {
	return lambdahttp.New(lambdahttp.Config{Handler: handler, Now: func() time.Time { return time.Unix(1000, 0) }})
}

func invoke(t *testing.T, handler http.HandlerFunc, payload string) reply {
	t.Helper()
	raw, err := newHandler(handler).Invoke(t.Context(), []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	var a reply
	if err := json.Unmarshal(raw, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func payload(expires int, more string) string {
	return fmt.Sprintf(`{"version":"2.0","rawPath":"/v1/sites/a%%2Fb","rawQueryString":"q=1&q=2",
		"headers":{"x-one":"1","if-match":"\"3\""},%s
		"requestContext":{"requestId":"r-1","domainName":"api.test","http":{"method":"PUT","sourceIp":"192.0.2.1"},
		"authorizer":{"lambda":{"subject":"ada","grants":{"plant-1":"operator"},"expires":%d}}}}`, more, expires)
}

func TestRequest(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /v1/sites/{site}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		caller, ok := lambdahttp.CallerOf(r.Context())
		info := lambdahttp.InfoOf(r.Context())
		http.SetCookie(w, &http.Cookie{Name: "c", Value: "v"})
		w.Header().Set("X-Site", r.PathValue("site"))
		w.WriteHeader(http.StatusAccepted)
		_, _ = fmt.Fprint(w, ok, caller.Subject, " ", info, r.URL.Query()["q"],
			r.Header.Get("X-One"), r.Header.Get("If-Match"), string(body), r.Host)
	})
	a := invoke(t, mux.ServeHTTP, payload(1001, `"body":"aGVsbG8=","isBase64Encoded":true,`))
	const want = `trueada {r-1 192.0.2.1} [1 2]1"3"helloapi.test`
	if a.StatusCode != http.StatusAccepted || a.Body != want || a.Headers["x-site"] != "a/b" || len(a.Cookies) != 1 || a.IsBase64Encoded {
		t.Errorf("got %+v, want %s", a, want)
	}
}

// TestExpiredToken: a response of the authorizer that API Gateway has cached does not
// extend the token.
func TestExpiredToken(t *testing.T) {
	t.Parallel()
	a := invoke(t, func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") }, payload(1000, ""))
	if a.StatusCode != http.StatusUnauthorized || a.Headers["www-authenticate"] != "Bearer" ||
		a.Headers["content-type"] != problem.ContentType {
		t.Errorf("got %+v, want a 401 problem with WWW-Authenticate", a)
	}
}

func TestResponses(t *testing.T) {
	t.Parallel()
	a := invoke(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte{0xff, 0}) }, payload(1001, ""))
	if a.Body != "/wA=" || !a.IsBase64Encoded {
		t.Errorf("bytes: got %+v, want base64", a)
	}
	a = invoke(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 5 {
			_, _ = w.Write(make([]byte, 1<<20))
		}
	}, payload(1001, ""))
	if a.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(a.Body, "export") {
		t.Errorf("too long: got %d %.200s", a.StatusCode, a.Body)
	}
	a = invoke(t, func(http.ResponseWriter, *http.Request) {}, payload(1001, `"body":"%","isBase64Encoded":true,`))
	if a.StatusCode != http.StatusBadRequest {
		t.Errorf("not base64: got %+v, want 400", a)
	}
}

func TestNotAnHTTPEvent(t *testing.T) {
	t.Parallel()
	h := lambdahttp.New(lambdahttp.Config{Handler: http.NotFoundHandler(), Now: time.Now})
	for _, payload := range []string{``, `{}`, `{"version":"1.0"}`, `[]`} {
		if _, err := h.Invoke(t.Context(), []byte(payload)); err == nil {
			t.Errorf("%q: want an error", payload)
		}
	}
}

func TestGrants(t *testing.T) {
	t.Parallel()
	c := lambdahttp.Caller{Grants: map[telemetry.SiteID]directory.Role{"a": "operator", "b": "viewer", "c": "root"}}
	for _, want := range []struct {
		role directory.Role
		site telemetry.SiteID
		may  bool
	}{
		{"viewer", "a", true},
		{"operator", "a", true},
		{"admin", "a", false},
		{"viewer", "b", true},
		{"operator", "b", false},
		{"viewer", "c", false},
		{"root", "c", false},
		{"", "c", false},
		{"", "none", false},
		{"gateway", "a", false},
		{"viewer", "*", false},
	} {
		if got := c.May(want.role, want.site); got != want.may {
			t.Errorf("May(%s, %s): got %t, want %t", want.role, want.site, got, want.may)
		}
	}
	every := lambdahttp.Caller{Grants: map[telemetry.SiteID]directory.Role{"*": "viewer", "a": "admin"}}
	if !every.May("viewer", "z") || every.May("operator", "z") || !every.May("admin", "a") || every.MayEverywhere("admin") {
		t.Error("the grant for every site does not hold at each site as it should")
	}
	if sites, all := every.Sites("admin"); all || len(sites) != 1 || sites[0] != "a" {
		t.Errorf("Sites(admin): got %v, %t, want [a], false", sites, all)
	}
	gateway := lambdahttp.Caller{Role: directory.GatewayRole, Site: "a", Gateway: "g"}
	if gateway.May("viewer", "a") {
		t.Error("a gateway may read, want no rights of an account")
	}
}

// denials denies the tokens of mallory, and fails for the others' if err is set.
type denials struct{ err error }

func (d denials) Denied(_ context.Context, t denylist.Token) (bool, error) {
	return t == denylist.Token{Subject: "mallory", Session: "s-1", Version: 7, Issued: 900}, d.err
}

// TestDeniedToken: the authorizer's response that API Gateway has cached does not make a
// denied token valid. While it is not known what is denied, nobody is served.
func TestDeniedToken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		subject string
		err     error
		status  int
	}{
		{"ada", nil, 200},
		{"mallory", nil, 401},
		{"mallory", telemetry.ErrUnavailable, 401},
		{"ada", telemetry.ErrUnavailable, 503},
	} {
		served, revoked := false, ""
		h := lambdahttp.New(lambdahttp.Config{
			Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served = true }),
			Now:     func() time.Time { return time.Unix(1000, 0) }, Denials: denials{c.err},
			Revoked: func(caller *lambdahttp.Caller, info lambdahttp.Info) { revoked = caller.Subject + " " + info.SourceIP },
		})
		event := strings.Replace(payload(2000, ""), `"subject":"ada"`,
			`"subject":"`+c.subject+`","session":"s-1","version":7,"issued":900`, 1)
		raw, err := h.Invoke(t.Context(), []byte(event))
		var got reply
		if err != nil || json.Unmarshal(raw, &got) != nil || got.StatusCode != c.status || served != (c.status == 200) {
			t.Errorf("%+v: got %s, %v, served %t", c, raw, err, served)
		}
		if want := map[bool]string{true: "mallory 192.0.2.1"}[c.status == 401]; revoked != want {
			t.Errorf("%+v: reported %q, want %q", c, revoked, want)
		}
	}
}
