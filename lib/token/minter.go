package token

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// MinterConfig configures a Minter.
type MinterConfig struct {
	Signer Signer
	// Key names the key that signs: the first of SIGNING_KEYS.
	Key              string
	Issuer, Audience string
	Now              func() time.Time
	// Random makes the tokens' ids: crypto/rand.Reader.
	Random io.Reader
}

// Minter makes access tokens. It is safe for concurrent use if Random is.
type Minter struct{ config MinterConfig }

// NewMinter returns a Minter. The error wraps telemetry.ErrInvalid.
func NewMinter(config MinterConfig) (*Minter, error) {
	problems := []error{required("key", config.Key), required("issuer", config.Issuer), required("audience", config.Audience)}
	if err := errors.Join(problems...); err != nil {
		return nil, invalid("minter: %v", err)
	}
	return &Minter{config}, nil
}

// required returns an error if value is empty.
func required(name, value string) error {
	if value == "" {
		return errors.New("no " + name)
	}
	return nil
}

// idBytes is the size of a token's id: 128 random bits do not repeat.
const idBytes = 16

// Mint returns a token for who that is valid for ttl from now on, and its claims. The
// error wraps telemetry.ErrInvalid when the identity is not valid, ttl is not a whole
// number of seconds up to MaxLifetime, or the token would be larger than MaxTokenBytes;
// otherwise it is the signer's.
func (m *Minter) Mint(ctx context.Context, who Identity, ttl time.Duration) (string, Claims, error) {
	if who.Role == "" && who.Grants == nil {
		return "", Claims{}, invalid("mint a token: neither a gateway nor grants")
	}
	if err := who.check(); err != nil {
		return "", Claims{}, fmt.Errorf("mint a token: %w", err)
	}
	if ttl < time.Second || ttl > MaxLifetime || ttl%time.Second != 0 {
		return "", Claims{}, invalid("mint a token: want a ttl of 1 s to %v in whole seconds, got %v", MaxLifetime, ttl)
	}
	id := make([]byte, idBytes)
	if _, err := io.ReadFull(m.config.Random, id); err != nil {
		return "", Claims{}, fmt.Errorf("mint a token: %w", err)
	}
	now := m.config.Now().UTC().Truncate(time.Second)
	c := Claims{Identity: who, Issuer: m.config.Issuer, ID: encode(id), IssuedAt: now, Expires: now.Add(ttl)}
	text, err := m.sign(ctx, c)
	if err != nil {
		return "", Claims{}, fmt.Errorf("mint a token: %w", err)
	}
	return text, c, nil
}

func (m *Minter) sign(ctx context.Context, c Claims) (string, error) {
	public, err := m.config.Signer.PublicKey(ctx, m.config.Key)
	if err != nil {
		return "", err
	}
	kid, err := KeyID(public)
	if err != nil {
		return "", fmt.Errorf("key %q: %w", m.config.Key, err)
	}
	claims, err := json.Marshal(ownClaims{
		Issuer: c.Issuer, Audience: m.config.Audience, Subject: c.Subject, ID: c.ID,
		IssuedAt: c.IssuedAt.Unix(), NotBefore: c.IssuedAt.Unix(), Expires: c.Expires.Unix(),
		Gateway: c.Gateway, Site: c.Site, Role: c.Role, Grants: c.Grants, Session: c.Session, Version: c.Version,
	})
	if err != nil {
		return "", err
	}
	signed := encode([]byte(`{"typ":"`+ownType+`","alg":"`+ownAlgorithm+`","kid":"`+kid+`"}`)) + "." + encode(claims)
	signature, err := m.config.Signer.Sign(ctx, m.config.Key, sha256.Sum256([]byte(signed)))
	if err != nil {
		return "", err
	}
	if len(signature) != signatureBytes {
		return "", fmt.Errorf("key %q: a signature of %d bytes, want %d", m.config.Key, len(signature), signatureBytes)
	}
	text := signed + "." + encode(signature)
	if len(text) > MaxTokenBytes {
		return "", invalid("%d bytes long, want at most %d: too many grants", len(text), MaxTokenBytes)
	}
	return text, nil
}
