package token_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"maps"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/token/tokentest"
)

// platform is a verifier, an authorizer with it, and a clock.
type platform struct {
	keys       *tokentest.Keys
	now        time.Time
	verifier   *token.Verifier
	authorizer *token.Authorizer
	log        bytes.Buffer
}

func newPlatform(tb testing.TB, trusted ...token.TrustedIssuer) *platform {
	tb.Helper()
	b := &platform{keys: new(tokentest.Keys), now: time.Date(2026, 11, 23, 9, 10, 0, 0, time.UTC)}
	b.verifier = tokentest.Verifier(tb, b.keys, b.clock, trusted...)
	b.use(tb, b.verifier)
	return b
}

func (b *platform) clock() time.Time { return b.now }

func (b *platform) use(tb testing.TB, v *token.Verifier) {
	tb.Helper()
	b.verifier = v
	b.authorizer = token.NewAuthorizer(token.AuthorizerConfig{Verifier: v, Log: slog.New(slog.NewJSONHandler(&b.log, nil))})
}

func (b *platform) mint(tb testing.TB, who token.Identity) string {
	tb.Helper()
	text, _, err := tokentest.Minter(tb, b.keys, b.clock).Mint(tb.Context(), who, token.GatewayLifetime)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// part is a token's header or claims: an object, or its JSON.
type part any

func encodePart(p part) string {
	text, ok := p.(string)
	if !ok {
		raw, _ := json.Marshal(p) // numbers, strings and lists
		text = string(raw)
	}
	return b64([]byte(text))
}

func b64(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// forge signs any header and claims with a key of the platform.
func (b *platform) forge(tb testing.TB, header, claims part) string {
	tb.Helper()
	return signed(tb, b.keys.Private("current"), header, claims)
}

func signed(tb testing.TB, key *ecdsa.PrivateKey, header, claims part) string {
	tb.Helper()
	text := encodePart(header) + "." + encodePart(claims)
	signature, err := tokentest.Sign(key, sha256.Sum256([]byte(text)))
	if err != nil {
		tb.Fatal(err)
	}
	return text + "." + b64(signature)
}

type members = map[string]any

// with returns a copy with some members changed; nil removes one.
func with(base, changes members) members {
	out := maps.Clone(base)
	for name, value := range changes {
		if out[name] = value; value == nil {
			delete(out, name)
		}
	}
	return out
}

func (b *platform) header(tb testing.TB) members {
	tb.Helper()
	kid, err := token.KeyID(&b.keys.Private("current").PublicKey)
	if err != nil {
		tb.Fatal(err)
	}
	return members{"typ": "at+jwt", "alg": "ES256", "kid": kid}
}

// claims returns a gateway's claims.
func (b *platform) claims() members {
	at := b.now.Unix()
	return members{
		"iss": tokentest.Issuer, "aud": tokentest.Audience, "sub": "gw-1", "jti": "id-1", "iat": at, "nbf": at, "exp": at + 900,
		"gateway": "gw-1", "site": "plant-1", "role": "gateway",
	}
}

// personClaims returns a person's claims.
func (b *platform) personClaims(grants any) members {
	return with(b.claims(), members{"sub": "u-1", "gateway": nil, "site": nil, "role": nil, "grants": grants})
}

func event(tb testing.TB, authorization string) []byte {
	tb.Helper()
	out, err := json.Marshal(map[string]any{
		"version": "2.0", "type": "REQUEST",
		"routeArn":       "arn:aws:execute-api:eu-west-1:123456789012:abcdef123/dev/POST/v1/telemetry",
		"identitySource": []string{authorization},
		"routeKey":       "POST /v1/telemetry",
		"headers":        map[string]string{"authorization": authorization},
		"requestContext": map[string]any{"requestId": "req-1"},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func gatewayOne() token.Identity { return tokentest.GatewayOf("gw-1", "plant-1") }

func sites(pairs ...string) map[telemetry.SiteID]token.Role {
	out := make(map[telemetry.SiteID]token.Role)
	for i := 0; i < len(pairs); i += 2 {
		out[telemetry.SiteID(pairs[i])] = token.Role(pairs[i+1])
	}
	return out
}
