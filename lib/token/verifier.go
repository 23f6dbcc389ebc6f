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
	// maxKeyIDBytes limits the kid of a trusted issuer's key.
	maxKeyIDBytes = 256
)

// VerifierConfig configures a Verifier.
type VerifierConfig struct {
	Issuer, Audience string
	Keys             *KeySet
	Trusted          []TrustedIssuer
	HTTP             Doer // reads the keys of trusted issuers; unused without them
	Now              func() time.Time
}

// Verifier checks tokens. It is safe for concurrent use.
type Verifier struct {
	config  VerifierConfig
	trusted map[string]*trusted // by issuer
}

// NewVerifier returns a Verifier. The error wraps telemetry.ErrInvalid.
func NewVerifier(config VerifierConfig) (*Verifier, error) {
	problems := []error{required("issuer", config.Issuer), required("audience", config.Audience)}
	v := &Verifier{config: config, trusted: make(map[string]*trusted)}
	for _, t := range config.Trusted {
		if err := t.check(); err != nil {
			problems = append(problems, fmt.Errorf("trusted issuer %q: %w", t.Issuer, err))
		}
		if t.Issuer == config.Issuer {
			problems = append(problems, errors.New("a trusted issuer is the platform itself"))
		}
		v.trusted[t.Issuer] = newTrusted(t, config.HTTP, config.Now)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, invalid("verifier: %v", err)
	}
	return v, nil
}

// Verify returns the claims of a token that the platform or a trusted issuer signed
// for the platform and that is valid now. The error wraps a *RejectionError if the token
// is not accepted; any other error means that its key could not be read, and says
// nothing about the token. No error holds a part of the token.
func (v *Verifier) Verify(ctx context.Context, text string) (Claims, error) {
	claims, _, err := v.verify(ctx, text)
	if err != nil {
		return Claims{}, fmt.Errorf("verify a token: %w", err)
	}
	return claims, nil
}

// verify also returns the token as far as it was parsed: a rejected token's claims are
// reported.
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
	return Claims{}, reject(unknownIssuer)
}

// verifyOwn checks a token of the platform. Its iss selected this function, which is
// safe since the signature covers iss.
func (v *Verifier) verifyOwn(ctx context.Context, c compact) (Claims, error) {
	kid, err := ownHeader(c.header)
	if err != nil {
		return Claims{}, err
	}
	// The cheap checks first: only a token that would be accepted otherwise costs a key
	// look-up and a signature verification.
	claims, err := v.ownClaims(c.claims)
	if err != nil {
		return Claims{}, err
	}
	if err := checkSignature(c.signature); err != nil {
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

// ownHeader returns the kid of a header that has exactly the members that the platform
// writes: no crit, and no key or URL of a key (jwk, jku, x5c, x5u).
func ownHeader(h object) (kid string, err error) {
	if err := checkHeader(h); err != nil {
		return "", err
	}
	if len(h) != 3 {
		return "", reject(headerMembers)
	}
	for _, m := range [...]struct{ name, want string }{{"typ", ownType}, {"alg", ownAlgorithm}} {
		if got, err := h.text(m.name); err != nil || got != m.want {
			return "", reject(headerValue, m.name, m.want)
		}
	}
	if kid, err = h.text("kid"); err != nil || !isThumbprint(kid) {
		return "", reject(headerThumbprint)
	}
	return kid, nil
}

// checkHeader rejects members that would change how a token is read (extensions, a nested or
// an encrypted token), and keys that the token itself supplies: no legitimate sender sets them.
func checkHeader(h object) error {
	for _, name := range []string{
		"crit", "b64", "cty", "enc", "zip", "epk", "apu", "apv", "p2s", "p2c", "jwk", "jku", "x5c", "x5u",
	} {
		if _, ok := h[name]; ok {
			return reject(headerMember, name)
		}
	}
	return nil
}

// isThumbprint reports whether kid is 32 bytes in base64url.
func isThumbprint(kid string) bool {
	sum, err := decode(kid)
	return err == nil && len(sum) == 32
}

func (v *Verifier) ownClaims(c object) (Claims, error) {
	audience, err := c.text("aud")
	if err != nil || audience != v.config.Audience {
		return Claims{}, reject(otherAudience)
	}
	if _, ok := c["nbf"]; !ok {
		return Claims{}, reject(missingClaim, "nbf")
	}
	t, err := readTimes(c)
	if err != nil {
		return Claims{}, err
	}
	if err := t.check(v.config.Now(), MaxLifetime, ClockSkew); err != nil {
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

// checkSignature rejects signatures that no key can have made: of another length, or
// with r or s outside [1, n-1] (FIPS 186-5, 6.4.2).
func checkSignature(signature []byte) error {
	if len(signature) != signatureBytes {
		return explained(reject(signatureLength, signatureBytes),
			"the signature must be r and s, %d bytes together (RFC 7518, 3.4), and not DER", signatureBytes)
	}
	const half = signatureBytes / 2
	var n, zero [half]byte
	elliptic.P256().Params().N.FillBytes(n[:])
	for _, part := range [][]byte{signature[:half], signature[half:]} {
		if bytes.Equal(part, zero[:]) || bytes.Compare(part, n[:]) >= 0 {
			return reject(signatureRange)
		}
	}
	return nil
}

func verifyES256(c compact, key *ecdsa.PublicKey) error {
	if key.Curve != elliptic.P256() {
		return reject(keyCurve)
	}
	if err := jwt.SigningMethodES256.Verify(c.signed, c.signature, key); err != nil {
		return reject(badSignature)
	}
	return nil
}
