package token_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/token/tokentest"
)

// Any text is rejected, or is a token that was minted.
func FuzzVerify(f *testing.F) {
	b := newPlatform(f)
	gateway, person := b.mint(f, gatewayOne()), b.mint(f, tokentest.PersonOf("u-1", "*", token.Admin))
	for _, seed := range []string{
		gateway, person, "", "..", "e30.e30.AA", gateway + "=", strings.Replace(gateway, ".", "\n.", 1),
		gateway[:len(gateway)-1] + sibling(gateway[len(gateway)-1]),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := b.verifier.Verify(t.Context(), text)
		if err == nil && text != gateway && text != person {
			t.Errorf("accepted %q", text)
		}
		if err != nil && !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("%q: %v", text, err)
		}
	})
}

// For any header and claims with a valid signature: accepted claims mean the same to
// encoding/json.
func FuzzClaims(f *testing.F) {
	b := newPlatform(f)
	header := plain(b.header(f))
	f.Add(header, plain(b.claims()))
	f.Add(header, plain(b.personClaims(members{"plant-1": "viewer"})))
	f.Add(header, `{"iss":"`+tokentest.Issuer+`","iss":"x"}`)
	f.Add(header, `{"a":[[[[[[[[[]]]]]]]]],"\u0061":1}`)
	f.Add(strings.Replace(header, "ES256", "none", 1), plain(b.claims()))
	f.Fuzz(func(t *testing.T, header, claims string) {
		got, err := b.verifier.Verify(t.Context(), b.forge(t, header, claims))
		if err != nil {
			if !errors.Is(err, telemetry.ErrInvalid) {
				t.Errorf("%v", err)
			}
			return
		}
		var h struct{ Alg, Typ string }
		var common map[string]any
		if json.Unmarshal([]byte(header), &h) != nil || h.Alg != "ES256" || h.Typ != "at+jwt" {
			t.Errorf("header %q was accepted", header)
		}
		if err := json.Unmarshal([]byte(claims), &common); err != nil {
			t.Fatalf("claims %q: %v", claims, err)
		}
		if common["iss"] != tokentest.Issuer || common["aud"] != tokentest.Audience ||
			common["sub"] != got.Subject || common["jti"] != got.ID {
			t.Errorf("claims %q were read as %+v", claims, got)
		}
		if role, _ := common["role"].(string); role != string(got.Role) {
			t.Errorf("claims %q were read as %+v", claims, got)
		}
		if !b.now.Before(got.Expires.Add(token.ClockSkew)) || got.Expires.Sub(got.IssuedAt) > token.MaxLifetime {
			t.Errorf("accepted from %v to %v", got.IssuedAt, got.Expires)
		}
		grants, _ := common["grants"].(map[string]any)
		if len(grants) != len(got.Grants) {
			t.Errorf("grants %v were read as %v", grants, got.Grants)
		}
		for site, role := range got.Grants {
			if grants[string(site)] != string(role) {
				t.Errorf("grants %v were read as %v", grants, got.Grants)
			}
		}
	})
}

// Whatever key set an issuer publishes, a token that its keys did not sign is rejected.
func FuzzJWKS(f *testing.F) {
	b := newPlatform(f)
	text := b.forge(f, members{"alg": "ES256", "kid": "a"}, b.externalClaims())
	for _, seed := range []string{
		`{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",` +
			`"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`,
		`{"keys":[{"kty":"RSA","kid":"a","e":"AQAB","n":"` + strings.Repeat("u", 342) + `"}]}`,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
		`{"keys":[{"kty":"oct","kid":"a","k":"AAAA"}]}`, `{"keys":null}`, `{"keys":[[]]}`, `[]`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, set []byte) {
		server := fixed(set)
		v, err := token.NewVerifier(token.VerifierConfig{
			Issuer: tokentest.Issuer, Audience: tokentest.Audience, Keys: keySet(t, b), HTTP: server, Now: b.clock,
			Trusted: []token.TrustedIssuer{{
				Issuer: externalIssuer, JWKSURI: "https://idp.example/", Audience: "client-1",
				Algorithms: []string{"ES256", "RS256", "EdDSA"}, GrantsClaim: "groups",
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := v.Verify(t.Context(), text); err == nil {
			t.Errorf("%s: accepted %+v", set, got)
		}
		if key, id, err := token.ParsePublicKey(set); err == nil {
			if again, err := token.KeyID(key); err != nil || again != id {
				t.Errorf("%s: %s and %s, %v", set, id, again, err)
			}
		}
	})
}

// fixed responds to every request with the same bytes.
type fixed []byte

func (f fixed) Do(*http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	_, _ = w.Write(f)
	return w.Result(), nil
}

func keySet(tb testing.TB, b *platform) *token.KeySet {
	tb.Helper()
	set, err := token.NewKeySet(token.KeySetConfig{Source: b.keys, Keys: []token.SigningKey{{Key: "current"}}, Now: b.clock})
	if err != nil {
		tb.Fatal(err)
	}
	return set
}

// Settings are parsed or rejected.
func FuzzSettings(f *testing.F) {
	f.Add(`[{"key":"a"},{"key":"b","not_after":"2027-01-01T00:00:00Z"}]`)
	f.Add(`[{"issuer":"i","jwks_uri":"https://i/k","audience":"a","algorithms":["RS256"],"grants_claim":"g"}]`)
	f.Fuzz(func(t *testing.T, text string) {
		if keys, err := token.ParseSigningKeys(text); err == nil && (len(keys) == 0 || !keys[0].NotAfter.IsZero()) {
			t.Errorf("%q: %v", text, keys)
		}
		if list, err := token.ParseTrustedIssuers(text); err == nil {
			for _, i := range list {
				if len(i.Algorithms) == 0 || i.JWKSURI == "" {
					t.Errorf("%q: %v", text, list)
				}
			}
		}
	})
}
