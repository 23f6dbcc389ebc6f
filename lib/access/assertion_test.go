package access_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/access"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/token/tokentest"
)

// gateway registers a gateway and returns its key and kid.
func (l *login) gateway(t *testing.T, name string) (*ecdsa.PrivateKey, string) {
	t.Helper()
	key := new(tokentest.Keys).Private(name)
	kid, err := token.KeyID(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := token.MarshalPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	timescaletest.Exec(t, l.dsn, "INSERT INTO gateway (name, site, site_since, registered_at) VALUES ($1, 'plant-1', now(), now())", name)
	timescaletest.Exec(t, l.dsn,
		"INSERT INTO gateway_key (kid, gateway_id, jwk) SELECT $1, id, $2 FROM gateway WHERE name = $3", kid, string(jwk), name)
	return key, kid
}

// assert sends an assertion that is to be rejected, and returns the explanation and the
// statements that it took.
func (l *login) assert(t *testing.T, key *ecdsa.PrivateKey, kid, gateway, audience string, ahead time.Duration) (string, []string) {
	t.Helper()
	at := l.clock().Add(ahead)
	signed := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": gateway, "sub": gateway, "aud": audience, "jti": rand.Text(), "iat": at.Unix(), "exp": at.Add(time.Minute).Unix(),
	})
	signed.Header["kid"] = kid
	text, err := signed.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	l.proxy.reset()
	_, err = l.service.GatewayToken(t.Context(), text, "", []string{tokentest.Issuer}, "192.0.2.1")
	rejected, ok := errors.AsType[*access.Rejected](err)
	if !ok {
		t.Fatalf("got %v, want a rejection", err)
	}
	return rejected.Explanation, l.proxy.reset()
}

// TestRejectedAssertionsDoTheSame: a rejection that has an explanation looked nothing up, so
// that it says the same of any gateway; the others have none, and take the same statements.
func TestRejectedAssertionsDoTheSame(t *testing.T) {
	t.Parallel()
	l := newLogin(t, cheap())
	key, kid := l.gateway(t, "gw-1")
	revoked, revokedKid := l.gateway(t, "gw-2")
	timescaletest.Exec(t, l.dsn, "UPDATE gateway SET revoked_at = now() WHERE name = 'gw-2'")
	l.assert(t, revoked, kid, "gw-1", tokentest.Issuer, 0) // prepares the statements
	explanation, want := l.assert(t, revoked, kid, "gw-1", tokentest.Issuer, 0)
	if explanation != "" || count(want, "SELECT g.name, g.site") != 1 {
		t.Fatalf("a wrong signature: got the explanation %q after %q", explanation, want)
	}
	for name, c := range map[string]struct {
		key          *ecdsa.PrivateKey
		kid, gateway string
	}{
		"unknown gateway": {key, kid, "gw-0"}, "another's key": {revoked, revokedKid, "gw-1"}, "revoked": {revoked, revokedKid, "gw-2"},
	} {
		explanation, got := l.assert(t, c.key, c.kid, c.gateway, tokentest.Issuer, 0)
		if diff := cmp.Diff(want, got); diff != "" || explanation != "" {
			t.Errorf("%s: got the explanation %q and work (-wrong signature +this):\n%s", name, explanation, diff)
		}
	}
	_, want = l.assert(t, key, kid, "gw-0", "https://elsewhere.test", 0)
	if count(want, "SELECT g.name, g.site") != 0 {
		t.Errorf("another audience: got work %q, want no look-up", want)
	}
	for name, c := range map[string]struct {
		gateway, audience string
		ahead             time.Duration
	}{
		"another audience": {"gw-1", "https://elsewhere.test", 0}, "fast": {"gw-1", tokentest.Issuer, time.Hour},
		"slow": {"gw-2", tokentest.Issuer, -time.Hour}, "fast, unknown": {"gw-0", tokentest.Issuer, time.Hour},
	} {
		explanation, got := l.assert(t, key, kid, c.gateway, c.audience, c.ahead)
		if diff := cmp.Diff(want, got); diff != "" || explanation == "" {
			t.Errorf("%s: got the explanation %q and work (-another audience +this):\n%s", name, explanation, diff)
		}
	}
}
