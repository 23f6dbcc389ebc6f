package main

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
)

// remoteKeys verifies the platform's tokens with the keys that access publishes, for a
// service without access to KMS. It is safe for concurrent use.
type remoteKeys struct {
	url    string
	http   token.Doer
	config token.VerifierConfig

	mu       sync.Mutex
	verifier *token.Verifier
	read     time.Time // when it was tried last
}

const (
	// keysFor is how long keys are used without a look at whether there are new ones, and
	// retryKeys how long after a failure, or with an unknown key.
	keysFor   = 5 * time.Minute
	retryKeys = 2 * time.Second

	maxKeySet = 64 << 10
)

// Verify implements hub.Verifier.
func (k *remoteKeys) Verify(ctx context.Context, text string) (token.Claims, error) {
	v, err := k.current(ctx, keysFor)
	if err != nil {
		return token.Claims{}, err
	}
	claims, err := v.Verify(ctx, text)
	if err == nil {
		return claims, nil
	}
	// The key may be a new one.
	newer, readErr := k.current(ctx, retryKeys)
	if readErr != nil || newer == v {
		return claims, err
	}
	return newer.Verify(ctx, text)
}

// current returns a verifier with keys that are not older than age.
func (k *remoteKeys) current(ctx context.Context, age time.Duration) (*token.Verifier, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.config.Now()
	if k.verifier != nil && now.Sub(k.read) < age {
		return k.verifier, nil
	}
	v, err := k.load(ctx)
	if err != nil && k.verifier == nil {
		return nil, fmt.Errorf("read %s: %w: %w", k.url, telemetry.ErrUnavailable, err)
	}
	k.read = now
	if err == nil {
		k.verifier = v
	}
	return k.verifier, nil
}

func (k *remoteKeys) load(ctx context.Context) (*token.Verifier, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := k.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("got status %d", response.StatusCode)
	}
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxKeySet))
	if err != nil {
		return nil, err
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, fmt.Errorf("not a JWK set: %w", err)
	}
	source := make(fixedKeys)
	var names []token.SigningKey
	for _, jwk := range set.Keys {
		key, kid, err := token.ParsePublicKey(jwk)
		if err != nil {
			continue // of another kind
		}
		source[kid] = key
		names = append(names, token.SigningKey{Key: kid})
	}
	config := k.config
	if config.Keys, err = token.NewKeySet(token.KeySetConfig{Source: source, Keys: names, Now: config.Now}); err != nil {
		return nil, err
	}
	return token.NewVerifier(config)
}

// fixedKeys are keys by their thumbprint.
type fixedKeys map[string]*ecdsa.PublicKey

// PublicKey implements token.KeySource.
func (k fixedKeys) PublicKey(_ context.Context, name string) (*ecdsa.PublicKey, error) {
	key, ok := k[name]
	if !ok {
		return nil, fmt.Errorf("key %s: %w", name, telemetry.ErrNotFound)
	}
	return key, nil
}
