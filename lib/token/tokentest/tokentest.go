// Package tokentest mints real tokens in tests, with keys in memory.
package tokentest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
)

// Issuer and Audience are the iss and aud of the tokens.
const (
	Issuer   = "https://insighthub.test"
	Audience = "insighthub"
)

// Keys is a token.Signer that generates each key on first use.
type Keys struct {
	mu    sync.Mutex
	keys  map[string]*ecdsa.PrivateKey
	down  error
	calls int
}

var _ token.Signer = (*Keys)(nil)

// Fail makes every call fail with err; nil ends that.
func (k *Keys) Fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.down = err
}

// Calls returns how often a key was read or used, failures included.
func (k *Keys) Calls() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.calls
}

// Private returns a private key.
func (k *Keys) Private(name string) *ecdsa.PrivateKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.private(name)
}

// private generates keys on demand. Callers hold mu.
func (k *Keys) private(name string) *ecdsa.PrivateKey {
	if k.keys == nil {
		k.keys = make(map[string]*ecdsa.PrivateKey)
	}
	if k.keys[name] == nil {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err) // the system has no randomness
		}
		k.keys[name] = key
	}
	return k.keys[name]
}

func (k *Keys) use(name string) (*ecdsa.PrivateKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls++
	if k.down != nil {
		return nil, fmt.Errorf("key %q: %w", name, k.down)
	}
	return k.private(name), nil
}

// PublicKey implements token.KeySource.
func (k *Keys) PublicKey(_ context.Context, name string) (*ecdsa.PublicKey, error) {
	private, err := k.use(name)
	if err != nil {
		return nil, err
	}
	return &private.PublicKey, nil
}

// Sign implements token.Signer.
func (k *Keys) Sign(_ context.Context, name string, digest [sha256.Size]byte) ([]byte, error) {
	private, err := k.use(name)
	if err != nil {
		return nil, err
	}
	return Sign(private, digest)
}

// Sign signs in the form of JWS.
func Sign(key *ecdsa.PrivateKey, digest [sha256.Size]byte) ([]byte, error) {
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		return nil, err
	}
	raw := make([]byte, 64)
	r.FillBytes(raw[:32])
	s.FillBytes(raw[32:])
	return raw, nil
}

// Minter returns a Minter with the key "current".
func Minter(tb testing.TB, keys *Keys, now func() time.Time) *token.Minter {
	tb.Helper()
	m, err := token.NewMinter(token.MinterConfig{
		Signer: keys, Key: "current", Issuer: Issuer, Audience: Audience, Now: now, Random: rand.Reader,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// Verifier returns a Verifier with the key "current" and the trusted issuers.
func Verifier(tb testing.TB, keys *Keys, now func() time.Time, trusted ...token.TrustedIssuer) *token.Verifier {
	tb.Helper()
	set, err := token.NewKeySet(token.KeySetConfig{Source: keys, Keys: []token.SigningKey{{Key: "current"}}, Now: now})
	if err != nil {
		tb.Fatal(err)
	}
	v, err := token.NewVerifier(token.VerifierConfig{
		Issuer: Issuer, Audience: Audience, Keys: set, Trusted: trusted, HTTP: token.NewHTTPClient(), Now: now,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// GatewayOf returns a gateway's identity.
func GatewayOf(gateway telemetry.GatewayID, site telemetry.SiteID) token.Identity {
	return token.Identity{Subject: string(gateway), Gateway: gateway, Site: site, Role: token.Gateway}
}

// PersonOf returns a person's identity with one grant.
func PersonOf(subject string, site telemetry.SiteID, role token.Role) token.Identity {
	return token.Identity{Subject: subject, Grants: map[telemetry.SiteID]token.Role{site: role}}
}
