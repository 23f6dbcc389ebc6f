// Package token mints and verifies the tokens by which the platform knows a
// caller, and decides for API Gateway whether a request may pass.
//
// A token is a JSON Web Token (RFC 7519) signed with HS256:
//
//	{"iss":"insighthub","sub":"gw-1","site":"plant-1","role":"gateway","iat":1795425013,"exp":1795428613}
//
// sub is the gateway, site the plant that it speaks for. The algorithm is
// pinned: what the token's own header claims decides nothing (RFC 8725, 3.1).
package token

import (
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/insighthub/insighthub/lib/telemetry"
)

const (
	// Issuer is the iss of every token.
	Issuer = "insighthub"
	// MinSecretBytes is the least size of the key: that of the hash (RFC 7518, 3.2).
	MinSecretBytes = 32
	// ClockSkew is how far the clocks of who mints and who verifies may differ.
	ClockSkew = 60 * time.Second
	// maxTokenBytes bounds what is parsed at all.
	maxTokenBytes = 4096
)

// Role says what the bearer of a token may do.
type Role string

// Gateway may send the events of its own machines.
const Gateway Role = "gateway"

// Claims is what a token says of its bearer.
type Claims struct {
	Gateway telemetry.GatewayID
	Site    telemetry.SiteID
	Role    Role
}

// check reports why c can not stand in a token.
func (c Claims) check() error {
	if err := telemetry.ValidName(c.Gateway); err != nil {
		return fmt.Errorf("claim sub: %w", err)
	}
	if err := telemetry.ValidName(c.Site); err != nil {
		return fmt.Errorf("claim site: %w", err)
	}
	if c.Role != Gateway {
		return fmt.Errorf("claim role: %w: unknown role", telemetry.ErrInvalid)
	}
	return nil
}

// wireClaims is the JSON form.
type wireClaims struct {
	jwt.RegisteredClaims
	Site telemetry.SiteID `json:"site"`
	Role Role             `json:"role"`
}

// Mint returns a token for c that is valid for ttl from now on. The error
// wraps telemetry.ErrInvalid when the claims are incomplete, the secret is
// shorter than MinSecretBytes or ttl is not positive.
func Mint(secret []byte, c Claims, ttl time.Duration, now time.Time) (string, error) {
	if err := checkSecret(secret); err != nil {
		return "", fmt.Errorf("mint a token: %w: %w", telemetry.ErrInvalid, err)
	}
	if err := c.check(); err != nil {
		return "", fmt.Errorf("mint a token: %w", err)
	}
	if ttl <= 0 {
		return "", fmt.Errorf("mint a token: %w: it would be valid for %v", telemetry.ErrInvalid, ttl)
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, wireClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    Issuer,
			Subject:   string(c.Gateway),
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(ttl)),
		},
		Site: c.Site,
		Role: c.Role,
	}).SignedString(secret)
	if err != nil {
		return "", fmt.Errorf("mint a token: %w", err)
	}
	return signed, nil
}

// Verify returns what the token says if it was signed with secret, is valid
// now and complete. An error that wraps telemetry.ErrInvalid is the token's
// fault; any other is the platform's.
func Verify(secret []byte, token string, now time.Time) (Claims, error) {
	if err := checkSecret(secret); err != nil {
		return Claims{}, fmt.Errorf("verify a token: %w", err)
	}
	if len(token) > maxTokenBytes {
		return Claims{}, fmt.Errorf("verify a token: %w: longer than %d bytes", telemetry.ErrInvalid, maxTokenBytes)
	}
	var wire wireClaims
	_, err := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithIssuer(Issuer),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(ClockSkew),
		jwt.WithStrictDecoding(),
		jwt.WithTimeFunc(func() time.Time { return now }),
	).ParseWithClaims(token, &wire, func(*jwt.Token) (any, error) { return secret, nil })
	if err != nil {
		return Claims{}, fmt.Errorf("verify a token: %w: %w", telemetry.ErrInvalid, err)
	}
	c := Claims{Gateway: telemetry.GatewayID(wire.Subject), Site: wire.Site, Role: wire.Role}
	if err := c.check(); err != nil {
		return Claims{}, fmt.Errorf("verify a token: %w", err)
	}
	return c, nil
}

// checkSecret reports a key that is too short, without showing it.
func checkSecret(secret []byte) error {
	if len(secret) < MinSecretBytes {
		return fmt.Errorf("the secret has %d bytes, want at least %d", len(secret), MinSecretBytes)
	}
	return nil
}
