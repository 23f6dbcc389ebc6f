package main

import (
	"crypto/ecdsa"
	"crypto/rand"
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
