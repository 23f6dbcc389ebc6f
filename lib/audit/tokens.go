package audit

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/token"
)

// Forgeries makes tokens that must be rejected.
type Forgeries struct {
	// Good is a valid token.
	Good string
	// Mint signs with the platform's key. If it is nil, the expired token and that of
	// another issuer are signed with a random key, and so rejected for that already.
	Mint *MinterConfig
	Now  func() time.Time
}

// forgery is a token that must be rejected, and its name.
type forgery struct{ name, token string }

// probePath is the endpoint that is requested: everybody with a grant may read it.
const probePath = "/v1/sites?limit=1"

// TokensCheck sends tokens with one fault each, and first a valid one: without that, a
// rejection would prove nothing.
func TokensCheck(api API, f Forgeries) Check {
	return func(ctx context.Context) []Finding {
		control, err := api.get(ctx, probePath, f.Good)
		if err == nil && control.status != http.StatusOK {
			err = fmt.Errorf("the response to a valid token is %v", control)
		}
		if err != nil {
			return []Finding{noResponse("tokens", err)}
		}
		list, err := f.list(ctx)
		if err != nil {
			return []Finding{{"tokens", Fail, "the tokens could not be signed: " + err.Error(), "check that the signing key can be used"}}
		}
		var findings []Finding
		for _, bad := range list {
			findings = append(findings, rejected(ctx, api, bad))
		}
		return findings
	}
}

func rejected(ctx context.Context, api API, bad forgery) Finding {
	name := "tokens: " + bad.name
	got, err := api.get(ctx, probePath, bad.token)
	switch {
	case err != nil:
		return noResponse(name, err)
	case got.status == http.StatusUnauthorized, got.status == http.StatusForbidden && bad.token != "":
		return Finding{Check: name, Result: Pass, Found: fmt.Sprintf("rejected with %d", got.status)}
	default:
		return Finding{name, Fail, "the response is " + got.String(), "take the API off the network until the authorizer rejects this"}
	}
}

func (f Forgeries) list(ctx context.Context) ([]forgery, error) {
	parts := strings.Split(f.Good, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("a valid token has %d parts, want 3", len(parts))
	}
	header, err1 := decode(parts[0])
	claims, err2 := decode(parts[1])
	if err1 != nil || err2 != nil {
		return nil, fmt.Errorf("a valid token cannot be decoded: %w", errors.Join(err1, err2))
	}
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	jwk, err := token.MarshalPublicKey(&own.PublicKey)
	if err != nil {
		return nil, err
	}
	altered := with(claims, "grants", map[string]string{"*": "admin"}, "sub", "somebody-else")
	list := []forgery{
		{"none", ""},
		{"altered signature", parts[0] + "." + parts[1] + "." + flip(parts[2])},
		{"altered claims", parts[0] + "." + encode(altered) + "." + parts[2]},
		{"algorithm none", encode(with(header, "alg", "none")) + "." + parts[1] + "."},
		{"algorithm HS256", hs256(with(header, "alg", "HS256"), parts[1], parts[0])},
		{"another key", es256(own, header, claims)},
		{"a key of its own", es256(own, with(header, "jwk", json.RawMessage(jwk), "kid", "own"), claims)},
	}
	expired, stranger, err := f.dated(ctx, own, header, claims)
	if err != nil {
		return nil, err
	}
	return append(list, expired, stranger), nil
}

// dated returns the forgeries whose signature is valid, if there is a key.
func (f Forgeries) dated(ctx context.Context, own *ecdsa.PrivateKey, header, claims map[string]any) (expired, stranger forgery, err error) {
	expired.name, stranger.name = "expired", "another issuer"
	past := f.Now().Add(-time.Hour)
	if f.Mint == nil {
		expired.token = es256(own, header, with(claims, "iat", past.Unix(), "nbf", past.Unix(), "exp", past.Add(mintedLifetime).Unix()))
		stranger.token = es256(own, header, with(claims, "iss", "https://elsewhere.invalid"))
		return expired, stranger, nil
	}
	who := AsAdministrator.claims()
	if expired.token, err = f.Mint.mint(ctx, who, past); err != nil {
		return expired, stranger, err
	}
	other := *f.Mint
	other.Issuer = "https://elsewhere.invalid"
	stranger.token, err = other.mint(ctx, who, f.Now())
	return expired, stranger, err
}

func decode(part string) (members map[string]any, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return nil, err
	}
	err = json.Unmarshal(raw, &members)
	return members, err
}

func encode(members map[string]any) string {
	raw, err := json.Marshal(members)
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// with returns a copy of members with others set: name, value, name, value.
func with(members map[string]any, others ...any) map[string]any {
	out := make(map[string]any, len(members)+len(others)/2)
	maps.Copy(out, members)
	for pair := range slices.Chunk(others, 2) {
		name, _ := pair[0].(string)
		out[name] = pair[len(pair)-1]
	}
	return out
}

// flip changes one bit in the middle of a signature.
func flip(part string) string {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil || len(raw) == 0 {
		return "AAAA"
	}
	raw[len(raw)/2] ^= 1
	return base64.RawURLEncoding.EncodeToString(raw)
}

func es256(key *ecdsa.PrivateKey, header, claims map[string]any) string {
	text := encode(header) + "." + encode(claims)
	digest := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		return text + "."
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// hs256 signs with a public text as if it were a shared secret.
func hs256(header map[string]any, claims, secret string) string {
	text := encode(header) + "." + claims
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
