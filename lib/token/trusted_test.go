package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/token/tokentest"
)

const externalIssuer = "https://idp.example/pool"

// issuer is an external issuer with a key of each kind. Its server responds with body.
type issuer struct {
	*httptest.Server
	keys map[string]crypto.Signer // by kid

	mu       sync.Mutex
	status   int
	body     string
	moved    string // Location of a redirect
	requests int
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{keys: make(map[string]crypto.Signer), status: http.StatusOK}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i.keys["rsa+/="] = rsaKey // the kids of Cognito are base64
	for kid, curve := range map[string]elliptic.Curve{"p256": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521()} {
		if i.keys[kid], err = ecdsa.GenerateKey(curve, rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	if _, i.keys["ed"], err = ed25519.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	i.publish(t, slices.Collect(maps.Keys(i.keys))...)
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.requests++
		if i.moved != "" {
			w.Header().Set("Location", i.moved)
		}
		w.WriteHeader(i.status)
		_, _ = w.Write([]byte(i.body))
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) respond(status int, body string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.status, i.body, i.moved = status, body, ""
}

func (i *issuer) redirect(to string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.status, i.moved = http.StatusFound, to
}

func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.requests
}

// publish makes the set of these keys the response.
func (i *issuer) publish(t *testing.T, kids ...string) {
	t.Helper()
	var keys []members
	for _, kid := range kids {
		keys = append(keys, publicJWK(t, kid, i.keys[kid].Public()))
	}
	raw, err := json.Marshal(members{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	i.respond(http.StatusOK, string(raw))
}

func publicJWK(t *testing.T, kid string, key crypto.PublicKey) members {
	t.Helper()
	m := members{"kid": kid, "use": "sig"}
	switch k := key.(type) {
	case *rsa.PublicKey:
		m["kty"], m["n"], m["e"] = "RSA", b64(k.N.Bytes()), b64(big.NewInt(int64(k.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		half := len(point) / 2
		m["kty"], m["crv"], m["x"], m["y"] = "EC", k.Params().Name, b64(point[1:1+half]), b64(point[1+half:])
	case ed25519.PublicKey:
		m["kty"], m["crv"], m["x"] = "OKP", "Ed25519", b64(k)
	}
	return m
}

func (i *issuer) config(algorithms ...string) token.TrustedIssuer {
	return token.TrustedIssuer{Issuer: externalIssuer, JWKSURI: i.URL, Audience: "client-1", Algorithms: algorithms, GrantsClaim: "groups"}
}

// sign signs with golang-jwt, as an issuer may.
func (i *issuer) sign(t *testing.T, alg, kid string, header, claims members) string {
	t.Helper()
	tok := jwt.NewWithClaims(jwt.GetSigningMethod(alg), jwt.MapClaims(claims))
	tok.Header = with(members{"alg": alg, "kid": kid}, header)
	text, err := tok.SignedString(i.keys[kid])
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (b *platform) externalClaims() members {
	at := b.now.Unix()
	return members{
		"iss": externalIssuer, "aud": "client-1", "sub": "ann", "iat": at, "exp": at + 3600, "jti": "j-1",
		"groups": []string{"staff", "plant-1:operator", "*:viewer", "line:3:admin"},
	}
}

func TestTrustedAlgorithms(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	all := map[string]string{
		"RS256": "rsa+/=", "RS384": "rsa+/=", "RS512": "rsa+/=", "PS256": "rsa+/=", "PS384": "rsa+/=", "PS512": "rsa+/=",
		"ES256": "p256", "ES384": "p384", "ES512": "p521", "EdDSA": "ed",
	}
	b := newPlatform(t, i.config(slices.Collect(maps.Keys(all))...))
	for alg, kid := range all {
		text := i.sign(t, alg, kid, members{"typ": "JWT"}, b.externalClaims())
		b.accepts(t, alg, text)
		alone := newPlatform(t, i.config(alg))
		for other, kid := range all {
			text := i.sign(t, other, kid, nil, alone.externalClaims())
			if other == alg {
				alone.accepts(t, "only "+alg, text)
			} else {
				alone.rejects(t, other+" where "+alg+" is pinned", text)
			}
		}
		// The key of one algorithm under the name of another.
		for other, wrong := range all {
			if wrong == kid {
				continue
			}
			head := encodePart(members{"alg": other, "kid": kid}) + "." + encodePart(b.externalClaims())
			b.rejects(t, other+" with the kid "+kid, head+text[strings.LastIndex(text, "."):])
		}
		forged := text[:strings.LastIndex(text, ".")+1] + b64(make([]byte, 64))
		b.rejects(t, alg+" with zeros", forged)
	}
	if i.count() != 11 {
		t.Errorf("got %d requests from 11 verifiers, want 11", i.count())
	}
}

func TestTrustedClaims(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	b := newPlatform(t, i.config("RS256"))
	mint := func(header, change members) string {
		return i.sign(t, "RS256", "rsa+/=", header, with(b.externalClaims(), change))
	}
	got, err := b.verifier.Verify(t.Context(), mint(nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	want := token.Claims{
		Identity: token.Identity{Subject: externalIssuer + "|ann", Grants: sites("plant-1", "operator", "*", "viewer", "line:3", "admin")},
		Issuer:   externalIssuer, ID: "j-1", IssuedAt: b.now, Expires: b.now.Add(time.Hour),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, change := range []members{
		{"aud": []string{"x", "client-1"}},
		{"aud": nil, "client_id": "client-1"},
		{"jti": nil},
		{"groups": "plant-1:viewer staff"},
		{"groups": members{"plant-1": "admin"}},
		{"groups": []string{"a:viewer", "a:admin", "a:operator"}},
		{"groups": []string{"plant-1:viewer", "plant-2:gateway", "team:red", ":admin", "a\x00:admin"}},
		{"exp": b.now.Add(24 * time.Hour).Unix()},
		{"gateway": "gw-1", "site": "plant-1", "role": "gateway"},
	} {
		text := mint(nil, change)
		b.accepts(t, fmt.Sprint(change), text)
		if c, err := b.verifier.Verify(t.Context(), text); err != nil || c.Role != "" || c.Gateway != "" {
			t.Errorf("%v: %+v, %v; want no gateway", change, c, err)
		}
	}
	for _, change := range []members{
		{"aud": "client-2"},
		{"aud": []string{"client-2"}},
		{"aud": "client-2", "client_id": "client-1"},
		{"aud": nil},
		{"aud": nil, "client_id": []string{"client-1"}},
		{"aud": 1},
		{"iss": externalIssuer + "/"},
		{"iss": tokentest.Issuer},
		{"exp": b.now.Unix() - 30},
		{"exp": nil},
		{"iat": nil},
		{"nbf": b.now.Unix() + 31},
		{"exp": b.now.Add(25 * time.Hour).Unix()},
		{"sub": nil},
		{"sub": ""},
		{"sub": "a\nb"},
		{"jti": 3},
		{"jti": ""},
		{"groups": nil},
		{"groups": []string{}},
		{"groups": []string{"staff"}},
		{"groups": []string{"plant-1:gateway"}},
		{"groups": []string{":admin"}},
		{"groups": []any{"a:admin", 3}},
		{"groups": members{"plant-1": "owner"}},
		{"groups": members{}},
		{"groups": 3},
		{"groups": "admin"},
		{"groups": members{"plant-1": "gateway"}},
	} {
		b.rejects(t, fmt.Sprint(change), mint(nil, change))
	}
	for _, header := range []members{
		{"typ": "logout+jwt"},
		{"typ": "dpop+jwt"},
		{"typ": 1},
		{"kid": nil},
		{"kid": ""},
		{"kid": "no such"},
		{"kid": "unknown"},
		{"kid": strings.Repeat("k", 257)},
		{"kid": 1},
		{"crit": []string{"x"}},
		{"jwk": members{}},
		{"jku": "https://attacker.example"},
		{"x5u": "https://attacker.example"},
		{"x5c": []string{"AAAA"}},
		{"alg": "none"},
		{"alg": "HS256"},
		{"alg": nil},
	} {
		b.rejects(t, fmt.Sprint(header), mint(header, nil))
	}
	for _, header := range []members{{"typ": "at+jwt"}, {"typ": "application/at+jwt"}, {"typ": "jwt"}, {"x5t": "AAAA"}} {
		b.accepts(t, fmt.Sprint(header), mint(header, nil))
	}
	// The public key as a shared secret.
	raw, err := json.Marshal(publicJWK(t, "rsa+/=", i.keys["rsa+/="].Public()))
	if err != nil {
		t.Fatal(err)
	}
	head := encodePart(members{"alg": "HS256", "kid": "rsa+/="}) + "." + encodePart(b.externalClaims())
	mac := hmac.New(sha256.New, raw)
	mac.Write([]byte(head))
	b.rejects(t, "HS256", head+"."+b64(mac.Sum(nil)))
}

// TestTrustedKeysAreCached: the set is read once, and again for an unknown kid, at most once
// per interval; the cached set stays in use while the issuer is unavailable.
func TestTrustedKeysAreCached(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	i.publish(t, "p256")
	b := newPlatform(t, i.config("ES256", "EdDSA"))
	old := func() string { return i.sign(t, "ES256", "p256", nil, b.externalClaims()) }
	fresh := func() string { return i.sign(t, "EdDSA", "ed", nil, b.externalClaims()) }
	asked := func(want int) {
		t.Helper()
		if i.count() != want {
			t.Errorf("got %d requests to the issuer, want %d", i.count(), want)
		}
	}
	for range 3 {
		b.accepts(t, "the known key", old())
	}
	asked(1)
	for n := range 5 {
		b.rejects(t, "an invented key", i.sign(t, "ES256", "p256", members{"kid": fmt.Sprint("invented-", n)}, b.externalClaims()))
	}
	asked(1) // it was just read
	b.now = b.now.Add(30 * time.Second)
	b.rejects(t, "a key that is not there yet", fresh())
	asked(2)
	i.publish(t, "p256", "ed")
	b.now = b.now.Add(30 * time.Second)
	b.accepts(t, "a new key", fresh())
	asked(3)
	for _, failure := range []struct {
		status int
		body   string
	}{
		{500, ""},
		{404, "{}"},

		{200, ""},
		{200, "<html>"},
		{200, `{"keys":{}}`},
		{200, `{"keys":[]}`},
		{200, `{"keys":[],"keys":[]}`},
		{200, `{"keys":[` + strings.Repeat(" ", 200<<10) + `]}`},
		{200, `{"keys":[` + strings.Repeat("{},", 100) + `{}]}`},
	} {
		i.respond(failure.status, failure.body)
		b.now = b.now.Add(20 * time.Minute) // the set is stale
		b.accepts(t, "while the issuer is unavailable", old())
		b.accepts(t, "while the issuer is unavailable", fresh())
	}
	elsewhere := newIssuer(t) // it would respond, and is not trusted
	i.redirect(elsewhere.URL)
	b.now = b.now.Add(20 * time.Minute)
	b.accepts(t, "while the issuer redirects", old())
	if elsewhere.count() > 0 {
		t.Error("a redirect was followed")
	}
	i.publish(t, "ed")
	b.now = b.now.Add(20 * time.Minute)
	b.rejects(t, "a withdrawn key", old())
	i.Close()
	b.now = b.now.Add(20 * time.Minute)
	b.accepts(t, "no response", fresh())
	if _, err := b.verifier.Verify(t.Context(), old()); !errors.Is(err, telemetry.ErrUnavailable) || errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("an unknown key without a response: got %v, want ErrUnavailable", err)
	}
	cold := newPlatform(t, i.config("EdDSA"))
	cold.now = b.now
	if got, err := cold.authorizer.Invoke(t.Context(), event(t, "Bearer "+fresh())); err == nil {
		t.Errorf("without keys the authorizer returns %s, want an error", got)
	}
	b.accepts(t, "the platform's own tokens", b.mint(t, gatewayOne()))
}

// TestUnusableKeys publishes keys that must not be used.
func TestUnusableKeys(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i.keys["rsa"] = key
	good := publicJWK(t, "rsa", &key.PublicKey)
	for name, keys := range map[string][]members{
		"for encryption":        {with(good, members{"use": "enc"})},
		"for other operations":  {with(good, members{"key_ops": []string{"sign"}})},
		"of another algorithm":  {with(good, members{"alg": "PS256"})},
		"private":               {with(good, members{"d": b64(key.D.Bytes())})},
		"without a kid":         {with(good, members{"kid": nil})},
		"twice":                 {good, good},
		"twice in two kinds":    {publicJWK(t, "rsa", i.keys["p256"].Public()), good},
		"exponent one":          {with(good, members{"e": "AQ"})},
		"even exponent":         {with(good, members{"e": "BA"})},
		"huge exponent":         {with(good, members{"e": b64(make([]byte, 9)) + "AAAA"})},
		"short modulus":         {with(good, members{"n": b64(key.N.Bytes()[:128])})},
		"huge modulus":          {with(good, members{"n": b64(append(key.N.Bytes(), make([]byte, 1025)...))})},
		"modulus with padding":  {with(good, members{"n": b64(key.N.Bytes()) + "=="})},
		"a shared secret":       {{"kty": "oct", "kid": "rsa", "k": "AAAA"}},
		"a type that is not":    {with(good, members{"kty": "rsa"})},
		"members of wrong kind": {with(good, members{"n": 5})},
	} {
		raw, err := json.Marshal(members{"keys": append(keys, publicJWK(t, "ed", i.keys["ed"].Public()))})
		if err != nil {
			t.Fatal(err)
		}
		i.respond(http.StatusOK, string(raw))
		b := newPlatform(t, i.config("RS256", "EdDSA"))
		b.accepts(t, "beside one "+name, i.sign(t, "EdDSA", "ed", nil, b.externalClaims()))
		b.rejects(t, name, i.sign(t, "RS256", "rsa", nil, b.externalClaims()))
	}
	short, err := rsa.GenerateKey(rand.Reader, 1024) // too short, to be rejected
	if err != nil {
		t.Fatal(err)
	}
	i.keys["short"] = short
	i.respond(http.StatusOK, string(mustJSON(t, members{"keys": []members{publicJWK(t, "short", &short.PublicKey), good}})))
	weak := newPlatform(t, i.config("RS256"))
	weak.rejects(t, "a modulus of 1024 bits", i.sign(t, "RS256", "short", nil, weak.externalClaims()))
	usable := with(good, members{"alg": "RS256", "key_ops": []string{"verify"}})
	i.respond(http.StatusOK, string(mustJSON(t, members{"keys": []members{usable}})))
	b := newPlatform(t, i.config("RS256"))
	b.accepts(t, "the key as it should be", i.sign(t, "RS256", "rsa", nil, b.externalClaims()))
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestParsePublicKeyRejects(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	good := publicJWK(t, "p256", i.keys["p256"].Public())
	x, _ := good["x"].(string)
	for name, key := range map[string]any{
		"another curve": publicJWK(t, "p384", i.keys["p384"].Public()), "RSA": publicJWK(t, "r", i.keys["rsa+/="].Public()),
		"Ed25519":               publicJWK(t, "ed", i.keys["ed"].Public()),
		"not on the curve":      with(good, members{"y": x}),
		"the point at infinity": with(good, members{"x": b64(make([]byte, 32)), "y": b64(make([]byte, 32))}),
		"short x":               with(good, members{"x": x[:42]}), "long x": with(good, members{"x": x + "AAAA"}),
		"no y": with(good, members{"y": nil}), "another name of the curve": with(good, members{"crv": "p-256"}),
		"private": with(good, members{"d": x}), "for encryption": with(good, members{"use": "enc"}),
		"another algorithm": with(good, members{"alg": "ES384"}), "a list": []members{good}, "null": nil,
		"oversized": with(good, members{"x5c": strings.Repeat("A", token.MaxTokenBytes)}),
	} {
		if _, id, err := token.ParsePublicKey(mustJSON(t, key)); !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("%s: %s, %v", name, id, err)
		}
	}
}
