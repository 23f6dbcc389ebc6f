package token_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
)

func now() time.Time { return time.Date(2026, 11, 23, 9, 10, 0, 0, time.UTC) }

func claims() token.Claims {
	return token.Claims{Gateway: "gw-1", Site: "plant-1", Role: token.Gateway}
}

// newSecret returns a key that exists only in this test.
func newSecret(tb testing.TB) []byte {
	tb.Helper()
	secret := make([]byte, token.MinSecretBytes)
	if _, err := rand.Read(secret); err != nil {
		tb.Fatal(err)
	}
	return secret
}

func mint(tb testing.TB, secret []byte, c token.Claims, ttl time.Duration, at time.Time) string {
	tb.Helper()
	text, err := token.Mint(secret, c, ttl, at)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	secret := newSecret(t)
	text := mint(t, secret, claims(), time.Hour, now())
	for _, at := range []time.Duration{-59 * time.Second, 0, time.Hour, time.Hour + 59*time.Second} {
		got, err := token.Verify(secret, text, now().Add(at))
		if err != nil || got != claims() {
			t.Errorf("after %v: got %+v, %v", at, got, err)
		}
	}
}

func TestRejects(t *testing.T) {
	t.Parallel()
	secret := newSecret(t)
	valid := func() jwt.MapClaims {
		return jwt.MapClaims{
			"iss": token.Issuer, "sub": "gw-1", "site": "plant-1", "role": "gateway",
			"iat": now().Unix(), "exp": now().Add(time.Hour).Unix(),
		}
	}
	sign := func(method jwt.SigningMethod, key any, change func(jwt.MapClaims)) string {
		c := valid()
		if change != nil {
			change(c)
		}
		text, err := jwt.NewWithClaims(method, c).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	set := func(name string, value any) string {
		return sign(jwt.SigningMethodHS256, secret, func(c jwt.MapClaims) { c[name] = value })
	}
	without := func(name string) string {
		return sign(jwt.SigningMethodHS256, secret, func(c jwt.MapClaims) { delete(c, name) })
	}
	if _, err := token.Verify(secret, sign(jwt.SigningMethodHS256, secret, nil), now()); err != nil {
		t.Fatalf("the unchanged token: %v", err)
	}
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	good := sign(jwt.SigningMethodHS256, secret, nil)
	parts := strings.Split(good, ".")
	encode := base64.RawURLEncoding.EncodeToString

	for name, text := range map[string]string{
		"empty":                 "",
		"not a token":           "a.b.c",
		"two parts":             parts[0] + "." + parts[1],
		"no signature":          parts[0] + "." + parts[1] + ".",
		"algorithm none":        sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil),
		"none over a signature": encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "." + parts[2],
		"header names RS256":    encode([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + parts[1] + "." + parts[2],
		"RS256":                 sign(jwt.SigningMethodRS256, private, nil),
		"HS512 with the key":    sign(jwt.SigningMethodHS512, secret, nil),
		"another key":           sign(jwt.SigningMethodHS256, newSecret(t), nil),
		"changed payload":       parts[0] + "." + encode([]byte(`{"iss":"insighthub","sub":"gw-2","site":"plant-1","role":"gateway","exp":99999999999}`)) + "." + parts[2],
		"wrong issuer":          set("iss", "someone"),
		"no issuer":             without("iss"),
		"expired":               set("exp", now().Add(-61*time.Second).Unix()),
		"no expiry":             without("exp"),
		"expiry is text":        set("exp", "tomorrow"),
		"not yet valid":         set("nbf", now().Add(2*time.Minute).Unix()),
		"issued in the future":  set("iat", now().Add(2*time.Minute).Unix()),
		"no subject":            without("sub"),
		"no site":               without("site"),
		"no role":               without("role"),
		"unknown role":          set("role", "root"),
		"control character":     set("sub", "gw\n1"),
		"overlong":              set("sub", strings.Repeat("x", 5000)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := token.Verify(secret, text, now())
			if !errors.Is(err, telemetry.ErrInvalid) {
				t.Errorf("got %+v, %v; want ErrInvalid", got, err)
			}
			if got != (token.Claims{}) {
				t.Errorf("claims %+v beside the error", got)
			}
		})
	}

	// RS/HS confusion: whoever knows a public key must not be able to sign
	// with it, also where that key is what verification is given.
	confused := sign(jwt.SigningMethodHS256, public, nil)
	if _, err := token.Verify(secret, confused, now()); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("signed with a public key: %v", err)
	}
	if _, err := token.Verify(public, sign(jwt.SigningMethodRS256, private, nil), now()); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("RS256 under its public key: %v", err)
	}
}

func TestShortSecretIsThePlatformsFault(t *testing.T) {
	t.Parallel()
	short := newSecret(t)[:token.MinSecretBytes-1]
	if _, err := token.Verify(short, "a.b.c", now()); err == nil || errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("Verify: got %v, want an error that is not the token's", err)
	}
	if _, err := token.Mint(short, claims(), time.Hour, now()); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("Mint: got %v", err)
	}
}

func TestMintRefuses(t *testing.T) {
	t.Parallel()
	secret := newSecret(t)
	for name, c := range map[string]token.Claims{
		"no gateway": {Site: "plant-1", Role: token.Gateway},
		"no site":    {Gateway: "gw-1", Role: token.Gateway},
		"no role":    {Gateway: "gw-1", Site: "plant-1"},
	} {
		if _, err := token.Mint(secret, c, time.Hour, now()); !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := token.Mint(secret, claims(), 0, now()); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("no time: got %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	secret := newSecret(f)
	f.Add(mint(f, secret, claims(), time.Hour, now()))
	f.Add("a.b.c")
	f.Add("..")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := token.Verify(secret, text, now())
		if err == nil && got != claims() {
			t.Errorf("accepted %q as %+v", text, got)
		}
		if err != nil && !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("%q: %v does not wrap ErrInvalid", text, err)
		}
	})
}
