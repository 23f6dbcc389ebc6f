package token

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

const (
	// MaxAssertionLifetime limits a gateway's assertion, and so the time for which its jti
	// is remembered.
	MaxAssertionLifetime = 5 * time.Minute
	// AssertionSkew is the tolerated difference between a gateway's clock and the platform's.
	// The clocks of shop floors are off by more than those of servers (ClockSkew), and RFC 7519
	// allows a few minutes. It costs nothing: an assertion is valid for one use, and its jti is
	// remembered as long as it could be sent again.
	AssertionSkew = time.Minute
)

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
// for one of the audiences, of which the issuer is the first, and that is valid now. The caller checks whether its ID was
// used before. The error wraps a *RejectionError if the assertion is not accepted; any
// other error is find's.
//
// Whatever depends on the assertion, the audiences and the clock alone is checked before
// find is called, and such a rejection has an Explanation. The others have none, and do the
// same work: whether the gateway exists, is revoked, has another key, or did not sign.
func VerifyAssertion(ctx context.Context, text string, audiences []string, now time.Time, find AssertionKey) (Assertion, error) {
	a, err := verifyAssertion(ctx, text, audiences, now, find)
	if err != nil {
		return Assertion{}, fmt.Errorf("verify an assertion: %w", err)
	}
	return a, nil
}

func verifyAssertion(ctx context.Context, text string, audiences []string, now time.Time, find AssertionKey) (Assertion, error) {
	c, kid, a, err := readAssertion(text, audiences, now)
	if err != nil {
		return Assertion{}, explained(err, "")
	}
	key, err := find(ctx, a.Gateway, kid)
	if errors.Is(err, telemetry.ErrNotFound) {
		return Assertion{}, errors.Join(reject(gatewayKey), verifyByNobody(c))
	}
	if err != nil {
		return Assertion{}, err
	}
	return a, verifyES256(c, key)
}

// verifyByNobody takes the time of a wrong signature. The key is the curve's base point, so
// anybody can sign for it: its result must not matter.
func verifyByNobody(c compact) error {
	const coordinateBytes = 32
	point := make([]byte, 1+2*coordinateBytes)
	point[0] = 4 // uncompressed (SEC 1, 2.3.3)
	params := elliptic.P256().Params()
	params.Gx.FillBytes(point[1 : 1+coordinateBytes])
	params.Gy.FillBytes(point[1+coordinateBytes:])
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return err
	}
	_ = verifyES256(c, key)
	return nil
}

// readAssertion does every check that needs no key.
func readAssertion(text string, audiences []string, now time.Time) (c compact, kid string, a Assertion, err error) {
	if c, err = parse(text); err != nil {
		return c, "", a, err
	}
	if kid, err = assertionHeader(c.header); err != nil {
		return c, "", a, err
	}
	if _, ok := c.header["typ"]; ok && assertionType(c.header) == explicitType {
		audiences = audiences[:1]
	}
	if a, err = assertionClaims(c.claims, audiences, now); err != nil {
		return c, "", a, err
	}
	return c, kid, a, checkSignature(c.signature)
}

// explicitType is the typ of assertions by draft-ietf-oauth-rfc7523bis, whose audience must be
// the issuer.
const explicitType = "client-authentication+jwt"

// assertionType returns a header's typ in lower case without the prefix application/ (RFC
// 7515, 4.1.9); empty if it is no text.
func assertionType(h object) string {
	kind, err := h.text("typ")
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(strings.ToLower(kind), "application/")
}

// assertionHeader returns the kid. Common libraries write the typ JWT or none; one of another
// kind of token was not made to authenticate a client (RFC 8725, 3.11).
func assertionHeader(h object) (string, error) {
	if err := checkHeader(h); err != nil {
		return "", err
	}
	if _, ok := h["typ"]; ok {
		if kind := assertionType(h); kind != "jwt" && kind != explicitType {
			return "", explained(reject(otherType), "header: typ must be JWT or %s, or be left out", explicitType)
		}
	}
	if alg, err := h.text("alg"); err != nil || alg != ownAlgorithm {
		return "", reject(headerValue, "alg", ownAlgorithm)
	}
	kid, err := h.text("kid")
	if err != nil || !isThumbprint(kid) {
		return "", explained(reject(headerThumbprint), "header: kid must be the RFC 7638 thumbprint of the gateway's key")
	}
	return kid, nil
}

func assertionClaims(c object, audiences []string, now time.Time) (Assertion, error) {
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
		return Assertion{}, reject(notName, "iss")
	}
	if err := oneAudience(c["aud"], audiences); err != nil {
		return Assertion{}, explained(err, "aud must be %s, and nothing else", strings.Join(audiences, " or "))
	}
	expires, err := assertionTimes(c, now)
	if err != nil {
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
	return Assertion{Gateway: gateway, ID: id, Expires: expires.Add(AssertionSkew)}, nil
}

// assertionTimes checks when an assertion is valid, and returns its exp. iat is optional in
// RFC 7523: without it, exp alone limits the lifetime, by the gateway's clock.
func assertionTimes(c object, now time.Time) (time.Time, error) {
	if _, ok := c["iat"]; !ok {
		expires, err := c.time("exp")
		if err != nil {
			return time.Time{}, err
		}
		if expires.Sub(now) > MaxAssertionLifetime+AssertionSkew {
			return time.Time{}, explained(reject(validTooLong, MaxAssertionLifetime),
				"exp is %d s ahead of the server's clock, and without iat at most %d s are allowed",
				seconds(expires.Sub(now)), seconds(MaxAssertionLifetime+AssertionSkew))
		}
		earliest := expires.Add(time.Second - time.Nanosecond).Add(-MaxAssertionLifetime) // in whole seconds
		c["iat"] = json.RawMessage(strconv.FormatInt(max(0, earliest.Unix()), 10))
	}
	t, err := readTimes(c)
	if err != nil {
		return time.Time{}, err
	}
	return t.expires, t.check(now, MaxAssertionLifetime, AssertionSkew)
}

// oneAudience checks that aud is one of the audiences and nothing else: a string, or a list of
// one. A token that is made for several could be taken by one of them to another (RFC 7523bis).
func oneAudience(aud json.RawMessage, audiences []string) error {
	var list []string
	if len(aud) > 0 && aud[0] == '[' {
		if json.Unmarshal(aud, &list) != nil {
			return reject(otherAudience)
		}
	} else {
		one, err := object{"aud": aud}.text("aud")
		if err != nil {
			return reject(otherAudience)
		}
		list = []string{one}
	}
	switch {
	case len(list) > 1:
		return reject(severalAudiences)
	case len(list) == 0 || !slices.Contains(audiences, list[0]):
		return reject(otherAudience)
	}
	return nil
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
