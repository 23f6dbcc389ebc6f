package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/insighthub/insighthub/docs/contracttest"
	"github.com/insighthub/insighthub/lib/password"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/trail"
)

// signer is a key in memory.
type signer struct{ key *ecdsa.PrivateKey }

func newSigner(t *testing.T) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{key}
}

func (s signer) PublicKey(context.Context, string) (*ecdsa.PublicKey, error) {
	return &s.key.PublicKey, nil
}

func (s signer) Sign(_ context.Context, _ string, digest [sha256.Size]byte) ([]byte, error) {
	r, v, err := ecdsa.Sign(rand.Reader, s.key, digest[:])
	if err != nil {
		return nil, err
	}
	out := make([]byte, 64)
	r.FillBytes(out[:32])
	v.FillBytes(out[32:])
	return out, nil
}

const (
	issuer = "https://insighthub.test"
	secret = "correct horse battery staple"
)

// platform is the function over a real database.
type platform struct {
	pool    *timescale.Pool
	dsn     string
	handler lambda.Handler
	keys    signer

	contract *contracttest.Contract
}

func newPlatform(t *testing.T) *platform {
	t.Helper()
	pool, dsn := timescaletest.Open(t)
	p := &platform{pool: pool, dsn: dsn, keys: newSigner(t), contract: contracttest.Open(t)}
	var err error
	p.handler, err = wire(wiring{
		pool: pool, keys: p.keys, issuer: issuer, audience: "insighthub", signing: `[{"key":"k"}]`, log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	phc, err := password.Hash(secret, password.DefaultCost(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	made, err := pool.FirstAdministrator(t.Context(), "ada", phc, trail.Entry{Action: "account.create", Detail: "{}"})
	if err != nil || !made {
		t.Fatal(made, err)
	}
	return p
}

type answer struct {
	Status  int               `json:"statusCode"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

func (a answer) member(t *testing.T, name string) string {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(a.Body), &members); err != nil {
		t.Fatalf("%q: %v", a.Body, err)
	}
	return fmt.Sprint(members[name])
}

func (p *platform) post(t *testing.T, path, contentType, body string) answer {
	t.Helper()
	return p.from(t, "192.0.2.7", path, contentType, body)
}

func (p *platform) from(t *testing.T, source, path, contentType, body string) answer {
	t.Helper()
	method := "POST"
	if contentType == "" {
		method = "GET"
	}
	headers := map[string]string{"content-type": contentType}
	event, err := json.Marshal(map[string]any{
		"version": "2.0", "rawPath": path, "headers": headers, "body": body,
		"requestContext": map[string]any{"requestId": "r-1", "http": map[string]string{"method": method, "sourceIp": source}},
	})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := p.handler.Invoke(t.Context(), event)
	if err != nil {
		t.Fatal(err)
	}
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		t.Fatal(err)
	}
	if err := p.contract.Check(contracttest.Exchange{
		Method: method, Path: path, RequestHeaders: headers, RequestBody: []byte(body), Status: a.Status, Headers: a.Headers, Body: []byte(a.Body),
	}); err != nil {
		t.Errorf("not what docs/openapi.yaml says: %v", err)
	}
	return a
}

func (p *platform) json(t *testing.T, path string, members map[string]string) answer {
	t.Helper()
	raw, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return p.post(t, path, "application/json", string(raw))
}

func (p *platform) login(t *testing.T, name, given string) answer {
	t.Helper()
	return p.json(t, "/v1/login", map[string]string{"name": name, "password": given})
}

func (p *platform) refresh(t *testing.T, refresh string) answer {
	t.Helper()
	return p.json(t, "/v1/refresh", map[string]string{"refresh_token": refresh})
}

// checkTrail verifies the chain and returns how often each action stands in it.
func (p *platform) checkTrail(t *testing.T) map[trail.Action]int {
	t.Helper()
	var verifier trail.Verifier
	actions := make(map[trail.Action]int)
	for after := int64(0); ; {
		entries, err := p.pool.TrailAfter(t.Context(), after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			return actions
		}
		for _, e := range entries {
			if err := verifier.Next(e); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(e.Detail+e.Object, secret) || strings.Contains(e.Detail+e.Object, "ihr_") {
				t.Errorf("entry %d holds a secret", e.Seq)
			}
			actions[e.Action]++
			after = e.Seq
		}
	}
}

func (p *platform) verifier(t *testing.T) *token.Verifier {
	t.Helper()
	keys, err := token.NewKeySet(token.KeySetConfig{Source: p.keys, Keys: []token.SigningKey{{Key: "k"}}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	v, err := token.NewVerifier(token.VerifierConfig{Issuer: issuer, Audience: "insighthub", Keys: keys, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestLoginRefreshLogout(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	a := p.login(t, " ADA ", secret)
	if a.Status != 200 || a.Headers["cache-control"] != "no-store" {
		t.Fatalf("got %+v", a)
	}
	claims, err := p.verifier(t).Verify(t.Context(), a.member(t, "access_token"))
	if err != nil || claims.Grants["*"] != "admin" || len(claims.Subject) != 36 {
		t.Fatalf("got %+v, %v", claims, err)
	}
	first := a.member(t, "refresh_token")
	b := p.refresh(t, first)
	if b.Status != 200 {
		t.Fatalf("got %+v", b)
	}
	second := b.member(t, "refresh_token")
	if a := p.json(t, "/v1/logout", map[string]string{"refresh_token": second}); a.Status != 204 {
		t.Errorf("got %+v", a)
	}
	if a := p.refresh(t, second); a.Status != 401 {
		t.Errorf("after the logout: got %+v", a)
	}
	if got := p.checkTrail(t); got["session.start"] != 1 || got["session.end"] != 1 || got["session.refuse"] != 1 {
		t.Errorf("trail %v", got)
	}
}

// TestRefreshTokenReuse: whoever stole a token and whoever owns it are told apart
// by nobody, so both are out.
func TestRefreshTokenReuse(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	first := p.login(t, "ada", secret).member(t, "refresh_token")
	second := p.refresh(t, first).member(t, "refresh_token")
	if a := p.refresh(t, first); a.Status != 401 {
		t.Errorf("the second use: got %+v", a)
	}
	if a := p.refresh(t, second); a.Status != 401 {
		t.Errorf("the family goes on: got %+v", a)
	}
	if a := p.login(t, "ada", secret); a.Status != 200 {
		t.Errorf("a new login: got %+v", a)
	}
	if got := p.checkTrail(t); got["session.reuse"] != 1 {
		t.Errorf("trail %v", got)
	}
}

// TestConcurrentRefresh: of many uses at once one wins at most.
func TestConcurrentRefresh(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	refresh := p.login(t, "ada", secret).member(t, "refresh_token")
	results := make(chan int)
	for range 8 {
		go func() { results <- p.refresh(t, refresh).Status }()
	}
	won := 0
	for range 8 {
		if <-results == 200 {
			won++
		}
	}
	if won != 1 {
		t.Errorf("%d exchanges of one token", won)
	}
}

func TestDisabledAccount(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	refresh := p.login(t, "ada", secret).member(t, "refresh_token")
	timescaletest.Exec(t, p.dsn, "UPDATE account SET disabled = true")
	right, unknown := p.login(t, "ada", secret), p.login(t, "bob", secret)
	if right.Status != 401 || right.Body != unknown.Body {
		t.Errorf("disabled %+v, unknown %+v: want the same", right, unknown)
	}
	if a := p.refresh(t, refresh); a.Status != 401 {
		t.Errorf("got %+v", a)
	}
}

// TestBadRequests: what is no login is refused before any account is looked at.
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
		"null":           {"/v1/login", j, `null`, 401},
		"NUL":            {"/v1/login", j, `{"name":"a\u0000da","password":"x"}`, 401},
		"SQL":            {"/v1/login", j, `{"name":"ada' OR '1'='1","password":"x"}`, 401},
		"header lines":   {"/v1/login", j, `{"name":"ada\r\nSet-Cookie: a=b","password":"x"}`, 401},
		"long name":      {"/v1/login", j, `{"name":"` + strings.Repeat("a", 500) + `","password":"x"}`, 401},
		"short refresh":  {"/v1/refresh", j, `{"refresh_token":"x"}`, 401},
		"SQL refresh":    {"/v1/refresh", j, `{"refresh_token":"ihr_' OR 1=1 --"}`, 401},
		"nowhere":        {"/v1/nowhere", j, `{}`, 404},
		"no form":        {"/v1/token", j, `{}`, 400},
		"twice":          {"/v1/token", "application/x-www-form-urlencoded", "grant_type=client_credentials&grant_type=x", 400},
		"password grant": {"/v1/token", "application/x-www-form-urlencoded", "grant_type=password&username=ada&password=x", 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := p.from(t, "192.0.2."+name, c.path, c.kind, c.body)
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

// TestTenThousandWrongPasswords: only a few are looked at; the right one is locked
// out with them for a while, and a name that does not exist is locked alike.
func TestTenThousandWrongPasswords(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	tried := func(name string, attempts int) (looked, locked int) {
		for i := range attempts {
			switch a := p.from(t, fmt.Sprintf("198.51.100.%d", i%200), "/v1/login", "application/json",
				fmt.Sprintf(`{"name":%q,"password":"guess %d"}`, name, i)); a.Status {
			case 401:
				looked++
			case 429:
				locked++
				if a.Headers["retry-after"] == "" {
					t.Fatalf("got %+v, want Retry-After", a)
				}
			default:
				t.Fatalf("got %+v", a)
			}
		}
		return looked, locked
	}
	looked, locked := tried("ada", 10_000)
	if looked > 20 || looked+locked != 10_000 {
		t.Errorf("%d passwords were looked at, %d refused", looked, locked)
	}
	if a := p.from(t, "203.0.113.1", "/v1/login", "application/json", `{"name":"ada","password":"`+secret+`"}`); a.Status != 429 {
		t.Errorf("the right password meanwhile: got %+v", a)
	}
	if looked, locked := tried("nobody", 50); looked > 20 || locked < 30 {
		t.Errorf("a name that does not exist: %d looked at, %d refused", looked, locked)
	}
	if got := p.checkTrail(t); got["session.refuse"] != 10_051 {
		t.Errorf("trail %v", got)
	}
	timescaletest.Exec(t, p.dsn, "UPDATE login_attempt SET locked_until = now() - interval '1 second'")
	if a := p.login(t, "ada", secret); a.Status != 200 {
		t.Errorf("after the wait: got %+v", a)
	}
}

// TestSpraying: one password for many names is slowed down by the address.
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
		t.Errorf("%d of 100 were refused", locked)
	}
}

func TestPublicKeys(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	a := p.post(t, "/.well-known/jwks.json", "", "")
	kid, err := token.KeyID(&p.keys.key.PublicKey)
	if err != nil || a.Status != 200 || !strings.Contains(a.Body, kid) || strings.Contains(a.Body, `"d"`) {
		t.Errorf("got %+v, %v", a, err)
	}
	if a := p.post(t, "/.well-known/oauth-authorization-server", "", ""); a.member(t, "token_endpoint") != issuer+"/v1/token" {
		t.Errorf("got %+v", a)
	}
}

// TestDatabaseDown: nobody is let in, and nobody is told that a password is wrong.
func TestDatabaseDown(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.pool.Close()
	a := p.login(t, "ada", secret)
	if a.Status < 500 || strings.Contains(a.Body, "pool") {
		t.Errorf("got %+v", a)
	}
}

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
