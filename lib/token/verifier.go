package token

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	ownType        = "at+jwt"
	ownAlgorithm   = "ES256"
	signatureBytes = 64
	// maxKeyIDBytes bounds the kid of a trusted issuer's key.
	maxKeyIDBytes = 256
)

// VerifierConfig sets a Verifier up.
type VerifierConfig struct {
	Issuer, Audience string
	Keys             *KeySet          // required
	Trusted          []TrustedIssuer  // may be empty
	HTTP             Doer             // required for trusted issuers: reads their keys
	Now              func() time.Time // required
}

// Verifier checks tokens. It is safe for concurrent use.
type Verifier struct {
	config  VerifierConfig
	trusted map[string]*trusted // by issuer
}

// NewVerifier returns a Verifier; the error names everything that config lacks.
func NewVerifier(config VerifierConfig) (*Verifier, error) {
	var problems []error
	for _, p := range []struct {
		lacking bool
		what    string
	}{
		{config.Issuer == "", "no issuer"},
		{config.Audience == "", "no audience"},
		{config.Keys == nil, "no keys"},
		{config.Now == nil, "no clock"},
		{len(config.Trusted) > 0 && config.HTTP == nil, "no HTTP client for the trusted issuers' keys"},
	} {
		if p.lacking {
			problems = append(problems, errors.New(p.what))
		}
	}
	v := &Verifier{config: config, trusted: make(map[string]*trusted)}
	for _, t := range config.Trusted {
		if err := t.check(); err != nil {
			problems = append(problems, fmt.Errorf("trusted issuer %q: %w", t.Issuer, err))
		}
		if t.Issuer == config.Issuer {
			problems = append(problems, errors.New("a trusted issuer has the platform's own name"))
		}
		v.trusted[t.Issuer] = newTrusted(t, config.HTTP, config.Now)
	}
	if len(problems) > 0 {
		return nil, invalid("verifier: %v", errors.Join(problems...))
	}
	return v, nil
}

// Verify returns what a token says if it was signed by the platform or by a
// trusted issuer, is meant for the platform and is valid now. An error that wraps
// telemetry.ErrInvalid is the token's fault; any other means that its key could
// not be read, and nothing about the token. No error holds a part of the token.
func (v *Verifier) Verify(ctx context.Context, text string) (Claims, error) {
	claims, _, err := v.verify(ctx, text)
	if err != nil {
		return Claims{}, fmt.Errorf("verify a token: %w", err)
	}
	return claims, nil
}

// verify also returns the token as far as it could be taken apart: what a refused one
// claimed to be.
func (v *Verifier) verify(ctx context.Context, text string) (Claims, compact, error) {
	c, err := parse(text)
	if err != nil {
		return Claims{}, c, err
	}
	claims, err := v.verifyParts(ctx, c)
	return claims, c, err
}

func (v *Verifier) verifyParts(ctx context.Context, c compact) (Claims, error) {
	issuer, err := c.claims.text("iss")
	if err != nil {
		return Claims{}, err
	}
	if issuer == v.config.Issuer {
		return v.verifyOwn(ctx, c)
	}
	if t, ok := v.trusted[issuer]; ok {
		return t.verify(ctx, c, v.config.Now())
	}
	return Claims{}, invalid("unknown issuer")
}

// verifyOwn checks a token of the platform. Whose it claims to be is known by iss
// alone, and that is signed.
func (v *Verifier) verifyOwn(ctx context.Context, c compact) (Claims, error) {
	kid, err := ownHeader(c.header)
	if err != nil {
		return Claims{}, err
	}
	// The cheap checks first: a key is looked for, and a signature computed, for
	// tokens only that would be accepted with it.
	claims, err := v.ownClaims(c.claims)
	if err != nil {
		return Claims{}, err
	}
	if err := plausible(c.signature); err != nil {
		return Claims{}, err
	}
	key, err := v.config.Keys.find(ctx, kid)
	if err != nil {
		return Claims{}, err
	}
	if err := verifyES256(c, key); err != nil {
		return Claims{}, err
	}
	return claims, nil
}

// ownHeader returns the kid of a header that holds what the platform writes and
// nothing else: no crit, and no key or address of one (jwk, jku, x5c, x5u).
func ownHeader(h object) (kid string, err error) {
	if err := refuseHeader(h); err != nil {
		return "", err
	}
	if len(h) != 3 {
		return "", invalid("header: want typ, alg and kid")
	}
	for name, want := range map[string]string{"typ": ownType, "alg": ownAlgorithm} {
		if got, err := h.text(name); err != nil || got != want {
			return "", invalid("header: want %s %s", name, want)
		}
	}
	if kid, err = h.text("kid"); err != nil || !isThumbprint(kid) {
		return "", invalid("header: kid is no thumbprint")
	}
	return kid, nil
}

// refuseHeader refuses what would change how a token is read, and keys that a
// token brings itself: nobody honest sends them here.
func refuseHeader(h object) error {
	for _, name := range []string{"crit", "b64", "enc", "zip", "jwk", "jku", "x5c", "x5u"} {
		if _, ok := h[name]; ok {
			return invalid("header: %s is not accepted", name)
		}
	}
	return nil
}

// isThumbprint holds for 32 bytes in base64url.
func isThumbprint(kid string) bool {
	sum, err := decode(kid)
	return err == nil && len(sum) == 32
}

func (v *Verifier) ownClaims(c object) (Claims, error) {
	audience, err := c.text("aud")
	if err != nil || audience != v.config.Audience {
		return Claims{}, invalid("another audience")
	}
	if _, ok := c["nbf"]; !ok {
		return Claims{}, invalid("no claim nbf")
	}
	t, err := readTimes(c)
	if err != nil {
		return Claims{}, err
	}
	if err := t.check(v.config.Now(), MaxLifetime); err != nil {
		return Claims{}, err
	}
	id, err := c.text("jti")
	if err != nil {
		return Claims{}, err
	}
	if err := checkText("jti", id, maxIDBytes); err != nil {
		return Claims{}, err
	}
	who, err := readIdentity(c)
	if err != nil {
		return Claims{}, err
	}
	return Claims{Identity: who, Issuer: v.config.Issuer, ID: id, IssuedAt: t.issued, Expires: t.expires}, nil
}

// plausible refuses signatures that no key can have made: of another length, or
// with r or s outside [1, n-1] (FIPS 186-5, 6.4.2).
func plausible(signature []byte) error {
	if len(signature) != signatureBytes {
		return invalid("a signature that has not %d bytes", signatureBytes)
	}
	const half = signatureBytes / 2
	var n, zero [half]byte
	elliptic.P256().Params().N.FillBytes(n[:])
	for _, part := range [][]byte{signature[:half], signature[half:]} {
		if bytes.Equal(part, zero[:]) || bytes.Compare(part, n[:]) >= 0 {
			return invalid("a signature out of range")
		}
	}
	return nil
}

func verifyES256(c compact, key *ecdsa.PublicKey) error {
	if key.Curve != elliptic.P256() {
		return invalid("the key is of another curve")
	}
	if err := jwt.SigningMethodES256.Verify(c.signed, c.signature, key); err != nil {
		return invalid("the signature does not verify")
	}
	return nil
}
