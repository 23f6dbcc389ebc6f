package token_test

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/token/tokentest"
)

// FuzzAssertion: of any header and claims that a gateway signed, only an assertion of that
// gateway, for this platform and with a short lifetime is accepted.
func FuzzAssertion(f *testing.F) {
	b := newPlatform(f)
	at := b.now.Unix()
	claims := members{"iss": "gw-1", "sub": "gw-1", "aud": "https://a/v1/token", "jti": "1", "iat": at, "exp": at + 60}
	header := plain(with(b.header(f), members{"typ": "JWT"}))
	for _, c := range []members{
		claims,
		with(claims, members{"aud": []string{"x", "https://a"}}),
		with(claims, members{"iat": nil}),
		with(claims, members{"exp": at + 1e9}),
		with(claims, members{"nbf": at + 60}),
		with(claims, members{"sub": "gw-2"}),
	} {
		f.Add(header, plain(c))
	}
	f.Add(`{"alg":"none"}`, `{"iss":"gw-1","iss":"gw-2"}`)
	audiences := []string{"https://a", "https://a/v1/token"}
	f.Fuzz(func(t *testing.T, header, claims string) {
		text := b.forge(t, header, claims)
		asked := false
		find := func(context.Context, telemetry.GatewayID, string) (*ecdsa.PublicKey, error) {
			asked = true
			return &b.keys.Private("current").PublicKey, nil
		}
		got, err := token.VerifyAssertion(t.Context(), text, audiences, b.now, find)
		if err != nil {
			// What was rejected before the key was looked up is explained, and nothing else.
			rejected, ok := errors.AsType[*token.RejectionError](err)
			if !ok || !errors.Is(err, telemetry.ErrInvalid) || asked != (rejected.Explanation == "") {
				t.Errorf("%q %q: %v", header, claims, err)
			}
			return
		}
		var common struct {
			Iss, Sub, Jti string
			Aud           any
		}
		if err := json.Unmarshal([]byte(claims), &common); err != nil {
			t.Fatalf("%q: %v", claims, err)
		}
		list, many := common.Aud.([]any)
		if !many {
			list = []any{common.Aud}
		}
		if common.Iss != string(got.Gateway) || common.Sub != common.Iss || common.Jti != got.ID ||
			!slices.ContainsFunc(list, func(a any) bool { return a == audiences[0] || a == audiences[1] }) {
			t.Errorf("%q was read as %+v", claims, got)
		}
		if end := got.Expires.Sub(b.now); end <= 0 || end > token.MaxAssertionLifetime+2*token.AssertionSkew {
			t.Errorf("%q: valid for %v", claims, end)
		}
	})
}

// FuzzAuthorizerEvent: for any event, the response is "not authorized" unless it contains the
// minted token in its place; an error means that the event is not valid.
func FuzzAuthorizerEvent(f *testing.F) {
	b := newPlatform(f)
	good := b.mint(f, gatewayOne())
	for _, authorization := range []string{"Bearer " + good, "bearer " + good, "Basic " + good, good, "", "Bearer " + good + " "} {
		f.Add(event(f, authorization))
	}
	f.Add([]byte(`{"version":"2.0","type":"REQUEST","headers":{"AUTHORIZATION":"Bearer TOKEN","authorization":"x"}}`))
	f.Add([]byte(`{"version":"1.0"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		b.log.Reset()
		out, err := b.authorizer.Invoke(t.Context(), payload)
		if err != nil {
			return
		}
		var response struct{ IsAuthorized bool }
		if err := json.Unmarshal(out, &response); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		var sent struct {
			IdentitySource []string
			Headers        map[string]string
		}
		if err := json.Unmarshal(payload, &sent); err != nil {
			t.Fatal(err)
		}
		places := append([]string{}, sent.IdentitySource...)
		for _, value := range sent.Headers {
			places = append(places, value)
		}
		there := slices.ContainsFunc(places, func(s string) bool { return len(s) > len(good) && s[len(s)-len(good):] == good })
		if response.IsAuthorized && !there {
			t.Errorf("%s: %s", payload, out)
		}
	})
}

// FuzzTrustedClaims: whatever a trusted issuer signs, an accepted token is of the issuer's own
// subject, with known roles, and not valid for longer than MaxTrustedLifetime.
func FuzzTrustedClaims(f *testing.F) {
	b := newPlatform(f)
	for _, c := range []members{
		nil,
		{"groups": "plant-1:viewer staff"},
		{"groups": members{"plant-1": "admin"}},
		{"groups": []string{"a:gateway", ":admin"}},
		{"aud": []string{"x", "client-1"}},
		{"aud": nil, "client_id": "client-1"},
		{"exp": 1e18},
	} {
		f.Add(`{"alg":"ES256","kid":"a","typ":"JWT"}`, plain(with(b.externalClaims(), c)))
	}
	key := b.keys.Private("external")
	jwk, err := token.MarshalPublicKey(&key.PublicKey)
	if err != nil {
		f.Fatal(err)
	}
	var public map[string]any
	if err := json.Unmarshal(jwk, &public); err != nil {
		f.Fatal(err)
	}
	public["kid"] = "a"
	set, err := json.Marshal(members{"keys": []any{public}})
	if err != nil {
		f.Fatal(err)
	}
	v, err := token.NewVerifier(token.VerifierConfig{
		Issuer: tokentest.Issuer, Audience: tokentest.Audience, Keys: keySet(f, b), HTTP: fixed(set), Now: b.clock,
		Trusted: []token.TrustedIssuer{{
			Issuer: externalIssuer, JWKSURI: "https://idp.example/", Audience: "client-1",
			Algorithms: []string{"ES256"}, GrantsClaim: "groups",
		}},
	})
	if err != nil {
		f.Fatal(err)
	}
	if _, err := v.Verify(f.Context(), signed(f, key, `{"alg":"ES256","kid":"a"}`, b.externalClaims())); err != nil {
		f.Fatal(err) // otherwise the fuzz target tests nothing
	}
	f.Fuzz(func(t *testing.T, header, claims string) {
		got, err := v.Verify(t.Context(), signed(t, key, header, claims))
		if err != nil {
			if !errors.Is(err, telemetry.ErrInvalid) {
				t.Errorf("%q %q: %v", header, claims, err)
			}
			return
		}
		var common struct{ Iss, Sub string }
		err = json.Unmarshal([]byte(claims), &common)
		if err != nil || common.Iss != externalIssuer || got.Subject != externalIssuer+"|"+common.Sub {
			t.Errorf("%q was read as %+v, %v", claims, got, err)
		}
		if len(got.Grants) == 0 || got.Gateway != "" || got.Role != "" || got.Expires.Sub(b.now) > token.MaxTrustedLifetime+time.Minute {
			t.Errorf("%q was read as %+v", claims, got)
		}
		for site, role := range got.Grants {
			if telemetry.ValidName(site) != nil || role != token.Viewer && role != token.Operator && role != token.Admin {
				t.Errorf("%q grants %q at %q", claims, role, site)
			}
		}
	})
}
