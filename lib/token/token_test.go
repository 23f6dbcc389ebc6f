package token_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/token/tokentest"
)

func TestMintAndVerify(t *testing.T) {
	t.Parallel()
	b := newPlatform(t)
	for _, who := range []token.Identity{
		gatewayOne(),
		tokentest.GatewayOf("gw <é> \"1\"", "Werk & Söhne"),
		{Subject: "u-1", Grants: sites("plant-1", "operator", "*", "viewer")},
		{Subject: "u-2", Grants: sites()},
	} {
		text, minted, err := tokentest.Minter(t, b.keys, b.clock).Mint(t.Context(), who, token.PersonLifetime)
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.verifier.Verify(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		want := token.Claims{
			Identity: who, Issuer: tokentest.Issuer, ID: minted.ID, IssuedAt: b.now, Expires: b.now.Add(token.PersonLifetime),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("verified (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, minted); diff != "" || len(minted.ID) != 22 {
			t.Errorf("minted (-want +got):\n%s", diff)
		}
	}
}

// TestOtherLibrary parses the tokens with golang-jwt.
func TestOtherLibrary(t *testing.T) {
	t.Parallel()
	b := newPlatform(t)
	text := b.mint(t, tokentest.PersonOf("u-1", "plant-1", token.Admin))
	var claims jwt.MapClaims
	parsed, err := jwt.NewParser(
		jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer(tokentest.Issuer), jwt.WithAudience(tokentest.Audience),
		jwt.WithStrictDecoding(),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithTimeFunc(b.clock),
	).ParseWithClaims(text, &claims, func(*jwt.Token) (any, error) { return &b.keys.Private("current").PublicKey, nil })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.header(t), parsed.Header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"plant-1": "admin"}, claims["grants"]); diff != "" || claims["sub"] != "u-1" {
		t.Errorf("claims %v", claims)
	}
}

func TestMintRejects(t *testing.T) {
	t.Parallel()
	b := newPlatform(t)
	m := tokentest.Minter(t, b.keys, b.clock)
	long := make(map[telemetry.SiteID]token.Role)
	for i := range token.MaxGrants {
		long[telemetry.SiteID(fmt.Sprintf("%03d%s", i, strings.Repeat("x", 120)))] = token.Viewer
	}
	for name, c := range map[string]struct {
		who token.Identity
		ttl time.Duration
	}{
		"nobody":           {token.Identity{}, time.Minute},
		"no grants at all": {token.Identity{Subject: "u-1"}, time.Minute},
		"a gateway and grants": {
			token.Identity{Subject: "g", Gateway: "g", Site: "s", Role: token.Gateway, Grants: sites("a", "viewer")}, time.Minute,
		},
		"every site":        {tokentest.GatewayOf("gw-1", token.EverySite), time.Minute},
		"a person's role":   {token.Identity{Subject: "g", Gateway: "g", Site: "s", Role: token.Admin}, time.Minute},
		"unknown role":      {token.Identity{Subject: "u", Grants: sites("a", "root")}, time.Minute},
		"a gateway's grant": {token.Identity{Subject: "u", Grants: sites("a", "gateway")}, time.Minute},
		"control character": {token.Identity{Subject: "u\n", Grants: sites()}, time.Minute},
		"broken UTF-8":      {token.Identity{Subject: "u\xff", Grants: sites()}, time.Minute},
		"too many bytes":    {token.Identity{Subject: "u", Grants: long}, time.Minute},
		"no time":           {gatewayOne(), 0},
		"negative":          {gatewayOne(), -time.Minute},
		"too long":          {gatewayOne(), token.MaxLifetime + time.Second},
		"part of a second":  {gatewayOne(), 1500 * time.Millisecond},
	} {
		if text, _, err := m.Mint(t.Context(), c.who, c.ttl); !errors.Is(err, telemetry.ErrInvalid) || text != "" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	down := errors.New("down")
	b.keys.Fail(down)
	if _, _, err := m.Mint(t.Context(), gatewayOne(), time.Minute); !errors.Is(err, down) || errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("without the signer: %v", err)
	}
}

// short is a Signer with truncated signatures, wide one with keys of another curve.
type (
	short struct{ *tokentest.Keys }
	wide  struct{ *tokentest.Keys }
)

func (s short) Sign(ctx context.Context, name string, digest [32]byte) ([]byte, error) {
	raw, err := s.Keys.Sign(ctx, name, digest)
	return raw[:63], err
}

func (wide) PublicKey(context.Context, string) (*ecdsa.PublicKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	return &key.PublicKey, err
}

func TestWrongSigner(t *testing.T) {
	t.Parallel()
	b := newPlatform(t)
	for _, signer := range []token.Signer{short{b.keys}, wide{b.keys}} {
		m, err := token.NewMinter(token.MinterConfig{
			Signer: signer, Key: "k", Issuer: "i", Audience: "a", Now: b.clock, Random: rand.Reader,
		})
		if err != nil {
			t.Fatal(err)
		}
		if text, _, err := m.Mint(t.Context(), gatewayOne(), time.Minute); err == nil {
			t.Errorf("%T: minted %q", signer, text)
		}
	}
	m, err := token.NewMinter(token.MinterConfig{
		Signer: b.keys, Key: "k", Issuer: "i", Audience: "a", Now: b.clock, Random: io.LimitReader(rand.Reader, 15),
	})
	if err != nil {
		t.Fatal(err)
	}
	if text, _, err := m.Mint(t.Context(), gatewayOne(), time.Minute); err == nil {
		t.Errorf("without randomness: minted %q", text)
	}
}

func TestConstructorsNameAllProblems(t *testing.T) {
	t.Parallel()
	_, minter := token.NewMinter(token.MinterConfig{})
	_, verifier := token.NewVerifier(token.VerifierConfig{Trusted: []token.TrustedIssuer{{}}})
	_, set := token.NewKeySet(token.KeySetConfig{})
	for _, c := range []struct {
		err  error
		want []string
	}{
		{minter, []string{"no key", "no issuer", "no audience"}},
		{verifier, []string{"no issuer", "no audience", "the platform itself", `trusted issuer ""`}},
		{set, []string{"at least one key"}},
	} {
		if !errors.Is(c.err, telemetry.ErrInvalid) {
			t.Fatalf("got %v", c.err)
		}
		for _, want := range c.want {
			if !strings.Contains(c.err.Error(), want) {
				t.Errorf("%v does not mention %s", c.err, want)
			}
		}
	}
}

// TestThumbprint compares KeyID with RFC 7638: the members in the order of their names,
// without white space.
func TestThumbprint(t *testing.T) {
	t.Parallel()
	// The key of RFC 7515, A.3; its thumbprint was computed separately.
	x, _ := new(big.Int).SetString("7fcdce2770f6c45d4183cbee6fdb4b7b580733357be9ef13bacf6e3c7bd15445", 16)
	y, _ := new(big.Int).SetString("c7f144cd1bbd9b7e872cdfedb9eeb9f4b3695d6ea90b24ad8a4623288588e5ad", 16)
	point := make([]byte, 65)
	point[0] = 4
	x.FillBytes(point[1:33])
	y.FillBytes(point[33:])
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		t.Fatal(err)
	}
	got, err := token.KeyID(key)
	if err != nil || got != thumbprintOfRFC7515A3 {
		t.Errorf("got %s, %v", got, err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []*ecdsa.PublicKey{nil, &other.PublicKey} {
		if id, err := token.KeyID(key); err == nil {
			t.Errorf("a key of another curve got %s", id)
		}
	}
	jwk := []byte(`{"kty":"EC","crv":"P-256","kid":"mine","use":"sig","x":"` + b64(point[1:33]) + `","y":"` + b64(point[33:]) + `"}`)
	if parsed, id, err := token.ParsePublicKey(jwk); err != nil || id != got || !parsed.Equal(key) {
		t.Errorf("ParsePublicKey: %s, %v", id, err)
	}
}

const thumbprintOfRFC7515A3 = "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"

// TestRotation: a key verifies before and after it signs, until its NotAfter.
func TestRotation(t *testing.T) {
	t.Parallel()
	b := newPlatform(t)
	end := b.now.Add(time.Hour)
	set, err := token.NewKeySet(token.KeySetConfig{
		Source: b.keys, Now: b.clock, Keys: []token.SigningKey{{Key: "next"}, {Key: "current", NotAfter: end}},
	})
	if err != nil {
		t.Fatal(err)
	}
	v, err := token.NewVerifier(token.VerifierConfig{Issuer: tokentest.Issuer, Audience: tokentest.Audience, Keys: set, Now: b.clock})
	if err != nil {
		t.Fatal(err)
	}
	b.use(t, v)
	next, err := token.NewMinter(token.MinterConfig{
		Signer: b.keys, Key: "next", Issuer: tokentest.Issuer, Audience: tokentest.Audience, Now: b.clock, Random: rand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	mint := func() string {
		t.Helper()
		text, _, err := next.Mint(t.Context(), gatewayOne(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	b.accepts(t, "the new key", mint())
	b.accepts(t, "the old key", b.mint(t, gatewayOne()))
	if n := len(published(t, set)); n != 2 {
		t.Errorf("%d keys are published, want 2", n)
	}
	b.now = end
	b.accepts(t, "the old key at its end", b.mint(t, gatewayOne()))
	b.now = end.Add(time.Nanosecond)
	b.rejects(t, "the old key after its end", b.mint(t, gatewayOne()))
	b.accepts(t, "the new key after that", mint())
	keys := published(t, set)
	if len(keys) != 1 {
		t.Fatalf("published %v", keys)
	}
	for _, want := range []string{"kty EC", "use sig", "alg ES256", "crv P-256"} {
		name, value, _ := strings.Cut(want, " ")
		if keys[0][name] != value {
			t.Errorf("%s is %q, want %q", name, keys[0][name], value)
		}
	}
	raw, _ := json.Marshal(keys[0]) // texts
	key, id, err := token.ParsePublicKey(raw)
	if err != nil || id != keys[0]["kid"] || !key.Equal(&b.keys.Private("next").PublicKey) || len(keys[0]) != 7 {
		t.Errorf("published %v, %v", keys[0], err)
	}
}

func published(t *testing.T, set *token.KeySet) []map[string]string {
	t.Helper()
	raw, err := set.JWKS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Keys []map[string]string }
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return doc.Keys
}

// partly is a source that cannot read one key.
type partly struct {
	*tokentest.Keys
	lacks string
}

func (p *partly) PublicKey(ctx context.Context, name string) (*ecdsa.PublicKey, error) {
	key, err := p.Keys.PublicKey(ctx, name)
	if name == p.lacks {
		return nil, fmt.Errorf("key %q: %w", name, telemetry.ErrInvalid) // even this is not the token's fault
	}
	return key, err
}

// TestSourceUnavailable: tokens of cached keys are accepted; a token whose key cannot be read
// is neither authorized nor rejected; and not every request reaches the source.
func TestSourceUnavailable(t *testing.T) {
	t.Parallel()
	b := newPlatform(t)
	source := &partly{Keys: b.keys, lacks: "other"}
	set, err := token.NewKeySet(token.KeySetConfig{
		Source: source, Now: b.clock, Keys: []token.SigningKey{{Key: "other"}, {Key: "current"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	v, err := token.NewVerifier(token.VerifierConfig{Issuer: tokentest.Issuer, Audience: tokentest.Audience, Keys: set, Now: b.clock})
	if err != nil {
		t.Fatal(err)
	}
	b.use(t, v)
	id, err := token.KeyID(&b.keys.Private("other").PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	other := signed(t, b.keys.Private("other"), with(b.header(t), members{"kid": id}), b.claims())
	unclear := func() {
		t.Helper()
		if _, err := v.Verify(t.Context(), other); errors.Is(err, telemetry.ErrInvalid) || !errors.Is(err, telemetry.ErrUnavailable) {
			t.Errorf("got %v, want unavailable", err)
		}
		if got, err := b.authorizer.Invoke(t.Context(), event(t, "Bearer "+other)); err == nil {
			t.Errorf("the authorizer returns %s, want an error", got)
		}
	}
	text := b.mint(t, gatewayOne())
	unclear()
	calls := b.keys.Calls()
	for range 10 {
		unclear()
		b.accepts(t, "the cached key", text)
	}
	if b.keys.Calls() != calls {
		t.Errorf("got %d more requests to the source within a second, want none", b.keys.Calls()-calls)
	}
	if _, err := set.JWKS(t.Context()); !errors.Is(err, telemetry.ErrUnavailable) {
		t.Errorf("JWKS without a key: %v", err)
	}
	source.lacks = ""
	b.now = b.now.Add(time.Second)
	b.accepts(t, "the source is available", other)
	b.keys.Fail(telemetry.ErrUnavailable)
	b.accepts(t, "the source is unavailable again", other)
	b.rejects(t, "an unknown key, all keys being cached",
		b.forge(t, with(b.header(t), members{"kid": strings.Repeat("A", 43)}), b.claims()))
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.Verify(canceled, text); err != nil {
		t.Errorf("a context that has ended: %v", err)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	keys, err := token.ParseSigningKeys(`[{"key":"a"},{"key":"b","not_after":"2027-01-01T00:00:00Z"}]`)
	want := []token.SigningKey{{Key: "a"}, {Key: "b", NotAfter: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}}
	if diff := cmp.Diff(want, keys); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, text := range []string{
		``, `{}`, `[]`, `[{}]`, `[{"key":"a"},{"key":"a"}]`, `[{"key":"a","not_after":"2027-01-01T00:00:00Z"}]`,
		`[{"key":"a"},{"key":"b","not_after":"soon"}]`,
		`[` + strings.Repeat(`{"key":"a"},`, 16) + `{"key":"b"}]`,
	} {
		if keys, err := token.ParseSigningKeys(text); err == nil {
			t.Errorf("%s: %v", text, keys)
		}
	}
	const good = `{"issuer":"https://i.example","jwks_uri":"https://i.example/k","audience":"a","algorithms":["RS256"],"grants_claim":"g"}`
	for text, ok := range map[string]bool{
		`[]`: true, `[` + good + `]`: true, `[` + strings.Replace(good, "https://i.example/k", "http://127.0.0.1:1/k", 1) + `]`: true,
		`{}`: false, `[{}]`: false, `[` + good + `,` + good + `]`: false, `[` + strings.Replace(good, "RS256", "HS256", 1) + `]`: false,
		`[` + strings.Replace(good, "RS256", "none", 1) + `]`:                                  false,
		`[` + strings.Replace(good, `["RS256"]`, `[]`, 1) + `]`:                                false,
		`[` + strings.Replace(good, "https://i.example/k", "http://i.example/k", 1) + `]`:      false,
		`[` + strings.Replace(good, "https://i.example/k", "file:///etc/passwd", 1) + `]`:      false,
		`[` + strings.Replace(good, "https://i.example/k", "https://u:p@i.example/k", 1) + `]`: false,
		`[` + strings.Replace(good, `"g"`, `""`, 1) + `]`:                                      false,
		`[` + strings.Replace(good, `"a"`, `""`, 1) + `]`:                                      false,
	} {
		if _, err := token.ParseTrustedIssuers(text); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}
