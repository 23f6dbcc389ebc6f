package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/api/apitest"
	"github.com/insighthub/insighthub/lib/denylist"
	"github.com/insighthub/insighthub/lib/denylist/denylisttest"
	"github.com/insighthub/insighthub/lib/refusals"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/token/tokentest"
	"github.com/insighthub/insighthub/lib/trail"
)

const (
	secret  = apitest.Password
	address = "192.0.2.7"
)

// platform is the function over a real database with one account, ada.
type platform struct {
	*apitest.Platform
	keys     *tokentest.Keys
	denied   *denylisttest.Objects
	failures *refusals.Collector
}

// Trail is that of Platform with what the process has not reported yet.
func (p *platform) Trail(t *testing.T) map[trail.Action]int {
	t.Helper()
	p.failures.Shutdown(t.Context())
	return p.Platform.Trail(t)
}

func newPlatform(t *testing.T) *platform {
	t.Helper()
	pool, dsn := timescaletest.OpenAs(t, timescale.FunctionAccess)
	timescaletest.SumAtOnce(t, dsn)
	failures, err := refusals.New(refusals.Config{
		Publisher: refusals.PublisherFunc(pool.PublishReports), Registerer: prometheus.NewRegistry(), Now: time.Now, NewID: rand.Text,
		ShutdownTimeout: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	keys, denied := new(tokentest.Keys), &denylisttest.Objects{}
	handler, err := wire(wiring{
		pool: pool, failures: failures, keys: keys, denials: denylist.Publisher{Source: pool, Objects: denied},
		issuer: tokentest.Issuer, audience: tokentest.Audience, signing: `[{"key":"current"}]`, log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	apitest.FirstAdministrator(t, timescaletest.Owner(t, dsn), "ada")
	return &platform{apitest.New(t, pool, dsn, handler), keys, denied, failures}
}

func (p *platform) post(t *testing.T, source, path, contentType, body string) apitest.Response {
	t.Helper()
	path, query, _ := strings.Cut(path, "?")
	return p.Send(t, apitest.Request{
		Method: http.MethodPost, Path: path, Query: query,
		Headers: map[string]string{"content-type": contentType}, Body: body, SourceIP: source,
	})
}

func (p *platform) postJSON(t *testing.T, path string, members map[string]string) apitest.Response {
	t.Helper()
	raw, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return p.post(t, address, path, "application/json", string(raw))
}

func (p *platform) login(t *testing.T, name, given string) apitest.Response {
	t.Helper()
	return p.postJSON(t, "/v1/login", map[string]string{"name": name, "password": given})
}

func (p *platform) refresh(t *testing.T, refresh string) apitest.Response {
	t.Helper()
	return p.postJSON(t, "/v1/refresh", map[string]string{"refresh_token": refresh})
}

func (p *platform) verifier(t *testing.T) *token.Verifier {
	t.Helper()
	return tokentest.Verifier(t, p.keys, time.Now)
}

func TestLoginRefreshLogout(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	a := p.login(t, " ADA ", secret)
	if a.Status != 200 || a.Headers["cache-control"] != "no-store" {
		t.Fatalf("got %+v", a)
	}
	claims, err := p.verifier(t).Verify(t.Context(), a.Member(t, "access_token"))
	if err != nil || claims.Grants["*"] != "admin" || len(claims.Subject) != 36 {
		t.Fatalf("got %+v, %v", claims, err)
	}
	first := a.Member(t, "refresh_token")
	b := p.refresh(t, first)
	if b.Status != 200 {
		t.Fatalf("got %+v", b)
	}
	second := b.Member(t, "refresh_token")
	if a := p.postJSON(t, "/v1/logout", map[string]string{"refresh_token": second}); a.Status != 204 {
		t.Errorf("got %+v", a)
	}
	if a := p.refresh(t, second); a.Status != 401 {
		t.Errorf("after the logout: got %+v, want 401", a)
	}
	if got := p.Trail(t); got["session.start"] != 1 || got["session.end"] != 1 || got["session.refuse"] != 1 {
		t.Errorf("trail %v", got)
	}
}

// TestRefreshTokenReuse checks that a second use after the grace ends the sessions of the
// login: the platform cannot distinguish the owner of a token from a thief.
func TestRefreshTokenReuse(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	first := p.login(t, "ada", secret).Member(t, "refresh_token")
	second := p.refresh(t, first).Member(t, "refresh_token")
	timescaletest.Exec(t, p.DSN, "UPDATE refresh_token SET used_at = used_at - interval '11 seconds' WHERE used_at IS NOT NULL")
	if a := p.refresh(t, first); a.Status != 401 {
		t.Errorf("the second use: got %+v, want 401", a)
	}
	if a := p.refresh(t, second); a.Status != 401 {
		t.Errorf("another token of the login: got %+v, want 401", a)
	}
	if a := p.login(t, "ada", secret); a.Status != 200 {
		t.Errorf("a new login: got %+v, want 200", a)
	}
	if got := p.Trail(t); got["session.reuse"] != 1 || got["session.repeat"] != 0 {
		t.Errorf("trail %v", got)
	}
}

// TestConcurrentRefresh checks that concurrent uses of a token all get the same next one.
func TestConcurrentRefresh(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	refresh := p.login(t, "ada", secret).Member(t, "refresh_token")
	results := make(chan apitest.Response)
	for range 8 {
		go func() { results <- p.refresh(t, refresh) }()
	}
	next := make(map[string]int)
	for range 8 {
		next[(<-results).Member(t, "refresh_token")]++
	}
	for text, n := range next {
		if n != 8 || text == refresh || p.refresh(t, text).Status != 200 {
			t.Errorf("got %d different successors, want one for all, that is valid", len(next))
		}
	}
	if got := p.Trail(t); got["session.reuse"] != 0 || got["session.repeat"] != 7 {
		t.Errorf("trail %v", got)
	}
}

func TestDisabledAccount(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	refresh := p.login(t, "ada", secret).Member(t, "refresh_token")
	timescaletest.Exec(t, p.DSN, "UPDATE account SET disabled = true")
	right, unknown := p.login(t, "ada", secret), p.login(t, "bob", secret)
	if right.Status != 401 || right.Body != unknown.Body {
		t.Errorf("disabled %+v, unknown %+v: want the same", right, unknown)
	}
	if a := p.refresh(t, refresh); a.Status != 401 {
		t.Errorf("got %+v", a)
	}
}

// TestOtherMethods: a method that an open path does not support is 405 with those that it
// does, by contract.
func TestOtherMethods(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	for path, allow := range map[string]string{
		"/v1/login": "POST", "/v1/refresh": "POST", "/v1/logout": "POST", "/v1/token": "POST",
		"/.well-known/jwks.json": "GET, HEAD", "/.well-known/oauth-authorization-server": "GET, HEAD",
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} {
			if strings.Contains(allow, method) {
				continue
			}
			a := p.Send(t, apitest.Request{Method: method, Path: path, SourceIP: address})
			if a.Status != 405 || a.Headers["allow"] != allow {
				t.Errorf("%s %s: got %d, Allow %q, want 405, %q", method, path, a.Status, a.Headers["allow"], allow)
			}
		}
		if strings.HasPrefix(allow, "GET") {
			p.Send(t, apitest.Request{Method: "GET", Path: path, Query: "x=1", SourceIP: address}).Want(t, 400)
		}
	}
}

// TestBadRequests checks that malformed requests are rejected.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	const j = "application/json"
	for name, c := range map[string]struct {
		path, kind, body string
		status           int
	}{
		"no type":        {"/v1/login", "text/plain", `{}`, 415},
		"no JSON":        {"/v1/login", j, `name=ada`, 400},
		"unknown member": {"/v1/login", j, `{"name":"ada","password":"x","admin":true}`, 400},
		"member twice":   {"/v1/login", j, `{"name":"ada","name":"bob","password":"x"}`, 400},
		"other case":     {"/v1/login", j, `{"Name":"ada","password":"x"}`, 400},
		"half a pair":    {"/v1/login", j, `{"name":"ada","password":"\ud800"}`, 400},
		"two documents":  {"/v1/login", j, `{"name":"ada"} {}`, 400},
		"deep":           {"/v1/login", j, strings.Repeat(`{"name":`, 1000), 400},
		"huge":           {"/v1/login", j, `{"name":"` + strings.Repeat("a", 1<<20) + `"}`, 413},
		"null member":    {"/v1/login", j, `{"name":"ada","password":null}`, 400},
		"missing member": {"/v1/login", j, `{"name":"ada"}`, 422},
		"a parameter":    {"/v1/login?name=ada", j, `{"name":"ada","password":"x"}`, 400},
		"compressed":     {"/v1/login", j + "; charset=latin1", `{"name":"ada","password":"x"}`, 415},
		"null":           {"/v1/login", j, `null`, 400},
		"NUL":            {"/v1/login", j, `{"name":"a\u0000da","password":"x"}`, 401},
		"SQL":            {"/v1/login", j, `{"name":"ada' OR '1'='1","password":"x"}`, 401},
		"header lines":   {"/v1/login", j, `{"name":"ada\r\nSet-Cookie: a=b","password":"x"}`, 401},
		"long name":      {"/v1/login", j, `{"name":"` + strings.Repeat("a", 500) + `","password":"x"}`, 401},
		"short refresh":  {"/v1/refresh", j, `{"refresh_token":"x"}`, 401},
		"SQL refresh":    {"/v1/refresh", j, `{"refresh_token":"ihr_' OR 1=1 --"}`, 401},
		"nowhere":        {"/v1/nowhere", j, `{}`, 404},
		"no form":        {"/v1/token", j, `{}`, 400},
		"twice":          {"/v1/token", "application/x-www-form-urlencoded", "grant_type=client_credentials&grant_type=x", 400},
		"a secret too": {
			"/v1/token", "application/x-www-form-urlencoded", "grant_type=client_credentials&client_secret=x&client_assertion=x" +
				"&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer", 400,
		},
		"password grant": {"/v1/token", "application/x-www-form-urlencoded", "grant_type=password&username=ada&password=x", 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := p.post(t, "192.0.2."+name, c.path, c.kind, c.body)
			if a.Status != c.status {
				t.Errorf("got %+v, want %d", a, c.status)
			}
			for name, value := range a.Headers {
				if strings.ContainsAny(value, "\r\n") {
					t.Errorf("header %s has a line end", name)
				}
			}
		})
	}
}

// TestTenThousandWrongPasswords checks that only a few passwords are verified, that the
// right one is locked for a while, and that a name that does not exist is locked too.
func TestTenThousandWrongPasswords(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	attempt := func(name string, attempts int) (verified, locked int) {
		for i := range attempts {
			switch a := p.post(t, fmt.Sprintf("198.51.100.%d", i%200), "/v1/login", "application/json",
				fmt.Sprintf(`{"name":%q,"password":"guess %d"}`, name, i)); a.Status {
			case 401:
				verified++
			case 429:
				locked++
				if a.Headers["retry-after"] == "" {
					t.Fatalf("got %+v, want Retry-After", a)
				}
			default:
				t.Fatalf("got %+v", a)
			}
		}
		return verified, locked
	}
	verified, locked := attempt("ada", 10_000)
	if verified > 20 || verified+locked != 10_000 {
		t.Errorf("got %d passwords verified and %d rejected, want at most 20 verified", verified, locked)
	}
	if a := p.post(t, "203.0.113.1", "/v1/login", "application/json", `{"name":"ada","password":"`+secret+`"}`); a.Status != 429 {
		t.Errorf("the right password meanwhile: got %+v, want 429", a)
	}
	if verified, locked := attempt("nobody", 50); verified > 20 || locked < 30 {
		t.Errorf("a name that does not exist: got %d verified and %d rejected, want at most 20 verified", verified, locked)
	}
	if got := p.Trail(t); got["session.refuse"] != 10_051 {
		t.Errorf("trail %v", got)
	}
	timescaletest.Exec(t, p.DSN, "UPDATE login_attempt SET locked_until = now() - interval '1 second'")
	if a := p.login(t, "ada", secret); a.Status != 200 {
		t.Errorf("after the wait: got %+v", a)
	}
}

// TestSpraying checks that one password for many names is slowed down by the address.
func TestSpraying(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	locked := 0
	for i := range 100 {
		if a := p.login(t, fmt.Sprint("user", i), "Summer2026 Summer2026"); a.Status == 429 {
			locked++
		}
	}
	if locked < 40 {
		t.Errorf("got %d of 100 rejected, want 40 or more", locked)
	}
}

// TestStaleConsole: a console that repeats an old password locks out nobody else behind its
// address, and a person where the person has been is not locked out by strangers.
func TestStaleConsole(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	verified := 0
	for range 200 {
		if p.login(t, "console", "an old password").Status == 401 {
			verified++
		}
	}
	if verified < 5 || verified > 20 {
		t.Errorf("got %d of 200 verified, want at most 20", verified)
	}
	if a := p.login(t, "ada", secret); a.Status != 200 {
		t.Fatalf("another name from the same address: got %+v", a)
	}
	stranger := func(given string) apitest.Response {
		return p.post(t, "198.51.100.1", "/v1/login", "application/json", `{"name":"ada","password":"`+given+`"}`)
	}
	for range 20 {
		stranger("a guess")
	}
	const lock = "UPDATE login_attempt SET locked_until = now() + interval '1 hour' WHERE locked_until IS NOT NULL"
	timescaletest.Exec(t, p.DSN, lock)
	if a := stranger(secret); a.Status != 429 {
		t.Errorf("the name elsewhere: got %+v, want 429", a)
	}
	if a := p.login(t, "ada", secret); a.Status != 200 {
		t.Errorf("ada at her place: got %+v, want a login", a)
	}
	if a := stranger(secret); a.Status != 429 {
		t.Errorf("the name elsewhere, after her login: got %+v, want 429", a)
	}
}

// TestNamesOfOneAccount: all forms of a name log in to its account, and so do names that are
// older than the rules.
func TestNamesOfOneAccount(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	for _, name := range []string{"ada", " ADA ", "Ａｄａ", "ａda"} {
		if a := p.login(t, name, secret); a.Status != 200 {
			t.Errorf("%q: got %+v", name, a)
		}
	}
	for _, name := range []string{"a\u200bda", "аda", "ada\u200f"} {
		if a := p.login(t, name, secret); a.Status != 401 {
			t.Errorf("%q: got %+v, want 401", name, a)
		}
	}
	timescaletest.Exec(t, p.DSN, "INSERT INTO account (name, password) SELECT 'x\u200b  ｙ♥', password FROM account WHERE name = 'ada'")
	timescaletest.Exec(t, p.DSN, "INSERT INTO account (name, password) SELECT 'ｂob', password FROM account WHERE name = 'ada'")
	for _, name := range []string{"X\u200b  Ｙ♥", "Ｂob"} {
		if a := p.login(t, name, secret); a.Status != 200 {
			t.Errorf("%q: got %+v", name, a)
		}
	}
}

func TestPublicKeys(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	a := p.Do(t, nil, "GET", "/.well-known/jwks.json", "")
	kid, err := token.KeyID(&p.keys.Private("current").PublicKey)
	if err != nil || a.Status != 200 || !strings.Contains(a.Body, kid) || strings.Contains(a.Body, `"d"`) {
		t.Errorf("got %+v, %v", a, err)
	}
	a = p.Do(t, nil, "GET", "/.well-known/oauth-authorization-server", "")
	if got, want := a.Member(t, "token_endpoint"), tokentest.Issuer+"/v1/token"; got != want {
		t.Errorf("token_endpoint: got %s, want %s", got, want)
	}
}

// TestDatabaseDown checks that the response is a failure and not a wrong password.
func TestDatabaseDown(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.Pool.Close()
	a := p.login(t, "ada", secret)
	if a.Status < 500 || strings.Contains(a.Body, "pool") {
		t.Errorf("got %+v", a)
	}
}
