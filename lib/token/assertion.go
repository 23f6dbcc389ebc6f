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

// MaxAssertionLifetime bounds a gateway's assertion, and so for how long its jti
// has to be remembered.
const MaxAssertionLifetime = 5 * time.Minute

// Assertion is what a gateway's assertion says (RFC 7523, 3): iss and sub are the
// gateway.
type Assertion struct {
	Gateway telemetry.GatewayID
	ID      string // jti, unique for the gateway
	Expires time.Time
}

// AssertionKey finds the public key of a gateway by the kid of the assertion, its
// RFC 7638 thumbprint. An error that wraps telemetry.ErrNotFound says that the
// gateway has no such key.
type AssertionKey func(ctx context.Context, gateway telemetry.GatewayID, kid string) (*ecdsa.PublicKey, error)

// VerifyAssertion returns what an assertion says if the gateway signed it with
// ES256 for one of the audiences and it is valid now. Whether its ID was used
// before is for the caller to check. An error that wraps telemetry.ErrInvalid is the
// assertion's fault, any other is find's.
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
	if err := plausible(c.signature); err != nil {
		return Assertion{}, err
	}
	key, err := find(ctx, a.Gateway, kid)
	if errors.Is(err, telemetry.ErrNotFound) {
		return Assertion{}, invalid("the gateway has no such key")
	}
	if err != nil {
		return Assertion{}, err
	}
	return a, verifyES256(c, key)
}

// assertionHeader returns the kid. The typ is free: common libraries write JWT.
func assertionHeader(h object) (string, error) {
	if err := refuseHeader(h); err != nil {
		return "", err
	}
	if alg, err := h.text("alg"); err != nil || alg != ownAlgorithm {
		return "", invalid("header: want alg %s", ownAlgorithm)
	}
	kid, err := h.text("kid")
	if err != nil || !isThumbprint(kid) {
		return "", invalid("header: kid is no thumbprint")
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
		return Assertion{}, invalid("iss and sub differ")
	}
	gateway := telemetry.GatewayID(issuer)
	if err := telemetry.ValidName(gateway); err != nil {
		return Assertion{}, fmt.Errorf("claim iss: %w", err)
	}
	if !names(c["aud"], audiences) {
		return Assertion{}, invalid("another audience")
	}
	if _, ok := c["iat"]; !ok { // RFC 7523 leaves it out; then only exp bounds it
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
	// Whoever may use it for some seconds after exp may not use it twice then either.
	return Assertion{Gateway: gateway, ID: id, Expires: t.expires.Add(ClockSkew)}, nil
}

// names reports whether an aud, a text or a list of texts, has one of the audiences.
func names(aud json.RawMessage, audiences []string) bool {
	var list []string
	if err := json.Unmarshal(aud, &list); err != nil {
		var one string
		if err := json.Unmarshal(aud, &one); err != nil {
			return false
		}
		list = []string{one}
	}
	for _, have := range list {
		if slices.Contains(audiences, have) {
			return true
		}
	}
	return false
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
