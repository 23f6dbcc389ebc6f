package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/insighthub/insighthub/lib/api/apitest"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/token/tokentest"
)

// gateway registers a gateway and returns its key and kid.
func (p *platform) gateway(t *testing.T, name, site string) (*ecdsa.PrivateKey, string) {
	t.Helper()
	key := p.keys.Private(name)
	kid, err := token.KeyID(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := token.MarshalPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	timescaletest.Exec(t, p.DSN,
		"INSERT INTO gateway (name, site, site_since, registered_at) VALUES ($1, $2, now(), now()) ON CONFLICT DO NOTHING", name, site)
	timescaletest.Exec(t, p.DSN,
		"INSERT INTO gateway_key (kid, gateway_id, jwk) SELECT $1, id, $2 FROM gateway WHERE name = $3", kid, string(jwk), name)
	return key, kid
}

// assertion returns an assertion of gw-1, changed by change unless it is nil.
func assertion(t *testing.T, key *ecdsa.PrivateKey, kid string, change func(jwt.MapClaims, map[string]any)) string {
	t.Helper()
	now := time.Now()
	claims := jwt.MapClaims{
		"iss": "gw-1", "sub": "gw-1", "aud": tokentest.Issuer + "/v1/token", "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}
	signed := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	signed.Header["kid"] = kid
	if change != nil {
		change(claims, signed.Header)
	}
	text, err := signed.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (p *platform) token(t *testing.T, assertion string) apitest.Response {
	t.Helper()
	return p.post(t, address, "/v1/token", "application/x-www-form-urlencoded", "grant_type=client_credentials"+
		"&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion="+assertion)
}

func TestGatewayToken(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	key, kid := p.gateway(t, "gw-1", "plant-1")
	text := assertion(t, key, kid, nil)
	a := p.token(t, text)
	if a.Status != 200 {
		t.Fatalf("got %+v", a)
	}
	claims, err := p.verifier(t).Verify(t.Context(), a.Member(t, "access_token"))
	if err != nil || claims.Gateway != "gw-1" || claims.Site != "plant-1" || claims.Role != "gateway" {
		t.Errorf("got %+v, %v", claims, err)
	}
	if a := p.token(t, text); a.Status != 401 || a.Member(t, "error") != "invalid_client" {
		t.Errorf("replayed: got %+v", a)
	}
	if a := p.token(t, assertion(t, key, kid, nil)+"&client_id=gw-1"); a.Status != 200 {
		t.Errorf("with its name: got %+v", a)
	}
	if a := p.token(t, assertion(t, key, kid, nil)+"&client_id=gw-2"); a.Status != 401 {
		t.Errorf("with another's name: got %+v", a)
	}
	timescaletest.Exec(t, p.DSN, "UPDATE gateway SET revoked_at = now()")
	if a := p.token(t, assertion(t, key, kid, nil)); a.Status != 401 {
		t.Errorf("revoked: got %+v", a)
	}
	if got := p.Trail(t); got["token.refuse"] != 3 {
		t.Errorf("trail %v", got)
	}
}

// inSeconds returns a NumericDate (RFC 7519) that is n seconds ahead.
func inSeconds(n int64) int64 { return time.Now().Unix() + n }

// TestAssertionAttacks checks that no forged or altered assertion gets a token.
func TestAssertionAttacks(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	key, kid := p.gateway(t, "gw-1", "plant-1")
	other, otherKid := p.gateway(t, "gw-2", "plant-2")
	stranger := p.keys.Private("stranger")
	for name, text := range map[string]string{
		"another's key":     assertion(t, other, otherKid, nil),
		"a stranger's key":  assertion(t, stranger, kid, nil),
		"unknown kid":       assertion(t, key, strings.Repeat("A", 43), nil),
		"kid of SQL":        assertion(t, key, "' OR '1'='1", nil),
		"kid of a path":     assertion(t, key, "../../dev/null", nil),
		"another audience":  assertion(t, key, kid, func(c jwt.MapClaims, _ map[string]any) { c["aud"] = "https://elsewhere.test" }),
		"no audience":       assertion(t, key, kid, func(c jwt.MapClaims, _ map[string]any) { delete(c, "aud") }),
		"another subject":   assertion(t, key, kid, func(c jwt.MapClaims, _ map[string]any) { c["sub"] = "gw-2" }),
		"no jti":            assertion(t, key, kid, func(c jwt.MapClaims, _ map[string]any) { delete(c, "jti") }),
		"no exp":            assertion(t, key, kid, func(c jwt.MapClaims, _ map[string]any) { delete(c, "exp") }),
		"expired":           assertion(t, key, kid, func(c jwt.MapClaims, _ map[string]any) { c["iat"], c["exp"] = 1000, 1060 }),
		"valid for a year":  assertion(t, key, kid, func(c jwt.MapClaims, _ map[string]any) { c["exp"] = inSeconds(365 * 86_400) }),
		"not yet valid":     assertion(t, key, kid, func(c jwt.MapClaims, _ map[string]any) { c["nbf"] = inSeconds(3600) }),
		"brings its key":    assertion(t, key, kid, func(_ jwt.MapClaims, h map[string]any) { h["jwk"] = map[string]string{"kty": "EC"} }),
		"names its key":     assertion(t, key, kid, func(_ jwt.MapClaims, h map[string]any) { h["jku"] = "https://elsewhere.test/jwks" }),
		"critical unknown":  assertion(t, key, kid, func(_ jwt.MapClaims, h map[string]any) { h["crit"] = []string{"x"} }),
		"nothing":           "x",
		"empty parts":       "..",
		"an access token's": "eyJhbGciOiJub25lIn0.eyJpc3MiOiJndy0xIn0.",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if a := p.token(t, text); a.Status != 401 {
				t.Errorf("got %+v", a)
			}
		})
	}
}

// TestAssertionReasons: a rejection says what is wrong with an assertion, as far as its owner
// knows it already, and what time it is; the words of what only the platform knows are the same.
func TestAssertionReasons(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	key, kid := p.gateway(t, "gw-1", "plant-1")
	claim := func(name string, value any) func(jwt.MapClaims, map[string]any) {
		return func(c jwt.MapClaims, _ map[string]any) {
			if value == nil {
				delete(c, name)
			} else {
				c[name] = value
			}
		}
	}
	header := func(name string, value any) func(jwt.MapClaims, map[string]any) {
		return func(_ jwt.MapClaims, h map[string]any) {
			if value == nil {
				delete(h, name)
			} else {
				h[name] = value
			}
		}
	}
	shifted := func(seconds, lifetime int64) func(jwt.MapClaims, map[string]any) {
		return func(c jwt.MapClaims, _ map[string]any) {
			c["iat"], c["exp"] = inSeconds(seconds), inSeconds(seconds+lifetime)
		}
	}
	bare := func(exp int64) func(jwt.MapClaims, map[string]any) { // without iat
		return func(c jwt.MapClaims, _ map[string]any) { delete(c, "iat"); c["exp"] = inSeconds(exp) }
	}
	for name, c := range map[string]struct {
		change func(jwt.MapClaims, map[string]any)
		want   string // of the description; empty if it gets a token
	}{
		"45 s fast":                          {shifted(45, 60), ""},
		"45 s slow":                          {shifted(-45, 60), ""},
		"45 s slow, exp passed":              {shifted(-85, 60), ""},
		"45 s fast, 5 minutes":               {shifted(45, 300), ""},
		"without iat, 45 s fast, 5 minutes":  {bare(345), ""},
		"without iat, 45 s slow, exp passed": {bare(-20), ""},
		"2 minutes fast":                     {shifted(120, 60), "iat is 1?? s ahead of the server's clock, and 60 s are tolerated"},
		"2 minutes slow":                     {shifted(-180, 60), "exp is 12? s behind the server's clock, and less than 60 s"},
		"nbf ahead":                          {claim("nbf", inSeconds(900)), "nbf is ??? s ahead of the server's clock, and 60 s"},
		"an hour":                            {shifted(0, 3600), "it is valid for 3600 s, from iat to exp, and 300 s are allowed"},
		"an hour without iat":                {bare(3600), "exp is 3??? s ahead of the server's clock, and without iat at most 360 s"},
		"301 s":                              {shifted(0, 301), "it is valid for 301 s"},
		"ends before it begins":              {shifted(30, -10), "exp is not later than iat"},
		"milliseconds": {
			func(c jwt.MapClaims, _ map[string]any) { c["exp"] = inSeconds(60) * 1000 },
			"exp is no number of seconds since 1970; it looks like milliseconds or microseconds",
		},
		"a text for exp": {claim("exp", "soon"), "claim exp: want a number of seconds since 1970"},
		"no exp":         {claim("exp", nil), "no claim exp"},
		"no jti":         {claim("jti", nil), "no member 'jti'"},
		"no sub":         {claim("sub", nil), "no member 'sub'"},
		"another sub":    {claim("sub", "gw-2"), "iss and sub differ"},
		"no aud":         {claim("aud", nil), "aud must be " + tokentest.Issuer + " or " + tokentest.Issuer + "/v1/token"},
		"a slash at the end of aud": {
			claim("aud", tokentest.Issuer+"/"), "aud must be " + tokentest.Issuer + " or " + tokentest.Issuer + "/v1/token",
		},
		"no kid": {
			func(_ jwt.MapClaims, h map[string]any) { delete(h, "kid") }, "kid must be the RFC 7638 thumbprint of the gateway's key",
		},
		"a kid of another form": {
			func(_ jwt.MapClaims, h map[string]any) { h["kid"] = "key-1" }, "kid must be the RFC 7638 thumbprint of the gateway's key",
		},
		"several audiences": {
			claim("aud", []string{tokentest.Issuer, "https://elsewhere.test"}),
			"aud must be " + tokentest.Issuer + " or " + tokentest.Issuer + "/v1/token, and nothing else",
		},
		"both own audiences":  {claim("aud", []string{tokentest.Issuer, tokentest.Issuer + "/v1/token"}), "and nothing else"},
		"one audience twice":  {claim("aud", []string{tokentest.Issuer, tokentest.Issuer}), "and nothing else"},
		"no audience in list": {claim("aud", []string{}), "aud must be "},
		"aud null":            {claim("aud", json.RawMessage("null")), "aud must be "},
		"aud [null]":          {claim("aud", []any{nil}), "aud must be "},
		"aud of lists":        {claim("aud", []any{[]string{tokentest.Issuer}}), "aud must be "},
		"aud an object":       {claim("aud", map[string]string{"x": tokentest.Issuer}), "aud must be "},
		"aud a number":        {claim("aud", 1), "aud must be "},
		"aud in other case":   {claim("aud", strings.ToUpper(tokentest.Issuer)), "aud must be "},
		"aud of other stage":  {claim("aud", "https://staging.elsewhere.test/v1/token"), "aud must be "},
		"a list of one":       {claim("aud", []string{tokentest.Issuer}), ""},
		"the issuer":          {claim("aud", tokentest.Issuer), ""},
		"no typ":              {header("typ", nil), ""},
		"typ jwt":             {header("typ", "jwt"), ""},
		"typ with its prefix": {header("typ", "application/JWT"), ""},
		"explicit typ, the issuer": {
			func(c jwt.MapClaims, h map[string]any) {
				h["typ"], c["aud"] = "client-authentication+jwt", tokentest.Issuer
			}, "",
		},
		"explicit typ, the endpoint": {
			header("typ", "client-authentication+jwt"), "aud must be " + tokentest.Issuer + ", and nothing else",
		},
		"an access token's typ":       {header("typ", "at+jwt"), "typ must be JWT or client-authentication+jwt, or be left out"},
		"a logout token's typ":        {header("typ", "logout+jwt"), "typ must be JWT"},
		"a DPoP proof's typ":          {header("typ", "dpop+jwt"), "typ must be JWT"},
		"a security event's typ":      {header("typ", "secevent+jwt"), "typ must be JWT"},
		"an authorization grant's":    {header("typ", "authorization-grant+jwt"), "typ must be JWT"},
		"an empty typ":                {header("typ", ""), "typ must be JWT"},
		"a typ that is no text":       {header("typ", 1), "typ must be JWT"},
		"a nested token":              {header("cty", "JWT"), "header: cty is not accepted"},
		"an unencoded payload":        {header("b64", false), "header: b64 is not accepted"},
		"an encrypted token's header": {header("enc", "A128GCM"), "header: enc is not accepted"},
		"a certificate chain":         {header("x5c", []string{"AA"}), "header: x5c is not accepted"},
		"an address of certificates":  {header("x5u", "https://elsewhere.test"), "header: x5u is not accepted"},
		"issued long ago": {
			func(c jwt.MapClaims, _ map[string]any) { c["iat"] = inSeconds(-86_400) }, "it is valid for 864?? s",
		},
		"alg RS256": {func(_ jwt.MapClaims, h map[string]any) { h["alg"] = "RS256" }, "header: want alg ES256"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p.explains(t, p.token(t, assertion(t, key, kid, c.change)), c.want)
		})
	}
	good := assertion(t, key, kid, nil)
	p.explains(t, p.token(t, "a.b"), "it must be three parts with dots between them")
	p.explains(t, p.token(t, good+"=="), "each part must be base64url without padding")
	p.explains(t, p.token(t, good+"AAAA"), "the signature must be r and s, 64 bytes together (RFC 7518, 3.4), and not DER")
	p.explains(t, p.token(t, good+"&client_id=gw-2"), "client_id must be its iss, or be left out")
	p.explains(t, p.token(t, good), "")
	p.explains(t, p.token(t, good), "its jti was used before, and each assertion is valid for one token")
}

// explains checks a response to an assertion, whose description contains want, in which ? is
// any character; it is a token if want is empty. It returns the description without the time.
func (p *platform) explains(t *testing.T, a apitest.Response, want string) string {
	t.Helper()
	if want == "" {
		if a.Status != 200 {
			t.Errorf("got %+v, want a token", a)
		}
		return ""
	}
	text, at := a.Member(t, "error_description"), a.Member(t, "server_time")
	now, err := time.Parse(time.RFC3339, at)
	date, err2 := http.ParseTime(a.Headers["date"])
	if err != nil || err2 != nil || !date.Equal(now) || now.After(time.Now()) || time.Since(now) > time.Hour {
		t.Errorf("got the time %q and the date %q (%v, %v)", at, a.Headers["date"], err, err2)
	}
	pattern := strings.ReplaceAll(regexp.QuoteMeta(want), `\?`, ".")
	if a.Status != 401 || a.Member(t, "error") != "invalid_client" || !regexp.MustCompile(pattern).MatchString(text) {
		t.Errorf("got %+v, want %q", a, want)
	}
	rest, ok := strings.CutSuffix(text, " The server's time is "+at+".")
	if !ok {
		t.Errorf("got %q, want the server's time at its end", text)
	}
	return rest
}

// TestSecretReasons: nobody can find out by assertions which gateways exist, which are
// revoked, and which keys they have.
func TestSecretReasons(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	key, kid := p.gateway(t, "gw-1", "plant-1")
	revoked, revokedKid := p.gateway(t, "gw-2", "plant-1")
	expired, expiredKid := p.gateway(t, "gw-3", "plant-1")
	stranger := p.keys.Private("stranger")
	timescaletest.Exec(t, p.DSN, "UPDATE gateway SET revoked_at = now() WHERE name = 'gw-2'")
	timescaletest.Exec(t, p.DSN, "UPDATE gateway_key SET not_after = now() - interval '1 s' WHERE kid = $1", expiredKid)
	as := func(gateway string) func(jwt.MapClaims, map[string]any) {
		return func(c jwt.MapClaims, _ map[string]any) { c["iss"], c["sub"] = gateway, gateway }
	}
	want := ""
	for name, text := range map[string]string{
		"wrong signature":    assertion(t, stranger, kid, nil),
		"unknown kid":        assertion(t, key, strings.Repeat("A", 43), nil),
		"unknown gateway":    assertion(t, key, kid, as("gw-0")),
		"another's key":      assertion(t, key, kid, as("gw-2")),
		"revoked":            assertion(t, revoked, revokedKid, as("gw-2")),
		"revoked, forged":    assertion(t, stranger, revokedKid, as("gw-2")),
		"the key expired":    assertion(t, expired, expiredKid, as("gw-3")),
		"the expired forged": assertion(t, stranger, expiredKid, as("gw-3")),
	} {
		got := p.explains(t, p.token(t, text),
			"the gateway is not registered or is revoked, it has no such key, or the signature is not valid")
		if want == "" {
			want = got
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
