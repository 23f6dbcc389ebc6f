package token

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// MaxAssertionLifetime limits a gateway's assertion, and so the time for which its jti
// is remembered.
const MaxAssertionLifetime = 5 * time.Minute

// Assertion holds the claims of a gateway's assertion (RFC 7523, 3): iss and sub are
// the gateway.
type Assertion struct {
	Gateway telemetry.GatewayID
	ID      string // jti, unique for the gateway
	Expires time.Time
}

// AssertionKey finds the public key of a gateway by the kid of the assertion, its
// RFC 7638 thumbprint. The error wraps telemetry.ErrNotFound if the gateway has no such
// key.
type AssertionKey func(ctx context.Context, gateway telemetry.GatewayID, kid string) (*ecdsa.PublicKey, error)

// VerifyAssertion returns the claims of an assertion that the gateway signed with ES256
// for one of the audiences and that is valid now. The caller checks whether its ID was
// used before. The error wraps telemetry.ErrInvalid if the assertion is not accepted; any
// other error is find's.
func VerifyAssertion(ctx context.Context, text string, audiences []string, now time.Time, find AssertionKey) (Assertion, error) {
	a, err := verifyAssertion(ctx, text, audiences, now, find)
	if err != nil {
		return Assertion{}, fmt.Errorf("verify an assertion: %w", err)
	}
	return a, nil
}

func verifyAssertion(ctx context.Context, text string, audiences []string, now time.Time, find AssertionKey) (Assertion, error) {
	c, err := parse(text)
	if err != nil {
		return Assertion{}, err
	}
	kid, err := assertionHeader(c.header)
	if err != nil {
		return Assertion{}, err
	}
	a, err := readAssertion(c.claims, audiences, now)
	if err != nil {
		return Assertion{}, err
	}
	if err := checkSignature(c.signature); err != nil {
		return Assertion{}, err
	}
	key, err := find(ctx, a.Gateway, kid)
	if errors.Is(err, telemetry.ErrNotFound) {
		return Assertion{}, reject(gatewayKey)
	}
	if err != nil {
		return Assertion{}, err
	}
	return a, verifyES256(c, key)
}

// assertionHeader returns the kid. Any typ is accepted: common libraries write JWT.
func assertionHeader(h object) (string, error) {
	if err := checkHeader(h); err != nil {
		return "", err
	}
	if alg, err := h.text("alg"); err != nil || alg != ownAlgorithm {
		return "", reject(headerValue, "alg", ownAlgorithm)
	}
	kid, err := h.text("kid")
	if err != nil || !isThumbprint(kid) {
		return "", reject(headerThumbprint)
	}
	return kid, nil
}

func readAssertion(c object, audiences []string, now time.Time) (Assertion, error) {
	issuer, err := c.text("iss")
	if err != nil {
		return Assertion{}, err
	}
	subject, err := c.text("sub")
	if err != nil {
		return Assertion{}, err
	}
	if issuer != subject {
		return Assertion{}, reject(issuerNotSubject)
	}
	gateway := telemetry.GatewayID(issuer)
	if err := telemetry.ValidName(gateway); err != nil {
		return Assertion{}, fmt.Errorf("claim iss: %w", err)
	}
	if !hasAudience(c["aud"], audiences) {
		return Assertion{}, reject(otherAudience)
	}
	if _, ok := c["iat"]; !ok { // optional in RFC 7523; then only exp limits the lifetime
		c["iat"] = json.RawMessage(strconv.FormatInt(now.Unix(), 10))
	}
	t, err := readTimes(c)
	if err != nil {
		return Assertion{}, err
	}
	if err := t.check(now, MaxAssertionLifetime); err != nil {
		return Assertion{}, err
	}
	id, err := c.text("jti")
	if err != nil {
		return Assertion{}, err
	}
	if err := checkText("jti", id, maxIDBytes); err != nil {
		return Assertion{}, err
	}
	// Remember the jti until after the skew: until then the assertion is accepted.
	return Assertion{Gateway: gateway, ID: id, Expires: t.expires.Add(ClockSkew)}, nil
}

// hasAudience reports whether aud, a string or a list of strings, has one of the audiences.
func hasAudience(aud json.RawMessage, audiences []string) bool {
	var list []string
	if err := json.Unmarshal(aud, &list); err != nil {
		var one string
		if err := json.Unmarshal(aud, &one); err != nil {
			return false
		}
		list = []string{one}
	}
	return slices.ContainsFunc(list, func(have string) bool { return slices.Contains(audiences, have) })
}

// MarshalPublicKey returns a key of P-256 as a JWK with the members crv, kid, kty, x and y.
func MarshalPublicKey(key *ecdsa.PublicKey) ([]byte, error) {
	x, y, err := coordinates(key)
	if err != nil {
		return nil, err
	}
	id, err := KeyID(key)
	if err != nil {
		return nil, err
	}
	return []byte(`{"crv":"P-256","kid":"` + id + `","kty":"EC","x":"` + x + `","y":"` + y + `"}`), nil
}
