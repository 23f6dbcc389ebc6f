package token

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// KeySource reads the public halves of the platform's signing keys.
type KeySource interface {
	// PublicKey returns the key of that name, of the curve P-256. A name always means
	// the same key, so the result may be cached. No error is the caller's fault; a
	// retry is safe.
	PublicKey(ctx context.Context, name string) (*ecdsa.PublicKey, error)
}

// Signer signs with keys that it does not reveal.
type Signer interface {
	KeySource
	// Sign returns the ECDSA signature of a SHA-256 digest as r and s, 32 bytes
	// each (RFC 7518, 3.4). A retry is safe and returns another signature.
	Sign(ctx context.Context, name string, digest [sha256.Size]byte) ([]byte, error)
}

// KeyID returns the kid of a key of P-256: its JWK thumbprint (RFC 7638) with
// SHA-256, 43 characters of base64url.
func KeyID(key *ecdsa.PublicKey) (string, error) {
	x, y, err := coordinates(key)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(`{"crv":"P-256","kty":"EC","x":"` + x + `","y":"` + y + `"}`))
	return encode(sum[:]), nil
}

// coordinates returns x and y as a JWK encodes them.
func coordinates(key *ecdsa.PublicKey) (x, y string, err error) {
	if key == nil || key.Curve != elliptic.P256() {
		return "", "", errors.New("not a public key of P-256")
	}
	point, err := key.Bytes() // 4, x, y
	if err != nil {
		return "", "", fmt.Errorf("public key: %w", err)
	}
	return encode(point[1:33]), encode(point[33:]), nil
}

// retryInterval is the least time between two attempts to read a missing key: a flood of
// tokens with an invented kid must not become requests to the source.
const retryInterval = time.Second

// readTimeout limits one read of the missing keys; API Gateway waits 10 s for an authorizer.
const readTimeout = 3 * time.Second

// KeySetConfig configures a KeySet.
type KeySetConfig struct {
	Source KeySource
	Keys   []SigningKey // at least one
	Now    func() time.Time
}

// KeySet caches the public halves of the platform's own keys. Each is read on first use:
// while the source is unavailable, tokens of cached keys are still verified. It is safe
// for concurrent use.
type KeySet struct {
	config KeySetConfig

	reading chan struct{} // semaphore: one read at a time

	mu      sync.Mutex
	keys    map[string]publicKey // by kid
	ids     map[string]string    // kid by name
	failed  error                // of the last read, if keys are missing
	attempt time.Time            // of the last failure
}

type publicKey struct {
	key      *ecdsa.PublicKey
	notAfter time.Time // zero: no end
}

// NewKeySet returns a KeySet. The error wraps telemetry.ErrInvalid.
func NewKeySet(config KeySetConfig) (*KeySet, error) {
	if len(config.Keys) == 0 {
		return nil, invalid("key set: want at least one key")
	}
	return &KeySet{
		config: config, reading: make(chan struct{}, 1),
		keys: make(map[string]publicKey), ids: make(map[string]string),
	}, nil
}

// find returns the key of a kid. The error wraps telemetry.ErrInvalid if there is no such
// key or its NotAfter has passed; any other error means that the keys could not be read.
func (s *KeySet) find(ctx context.Context, kid string) (*ecdsa.PublicKey, error) {
	key, all := s.lookup(kid)
	if key.key == nil && !all {
		if err := s.read(ctx); err != nil {
			if key, _ = s.lookup(kid); key.key == nil {
				return nil, err
			}
		}
		key, _ = s.lookup(kid)
	}
	switch {
	case key.key == nil:
		return nil, reject(unknownKey)
	case !key.notAfter.IsZero() && s.config.Now().After(key.notAfter):
		return nil, reject(keyExpired)
	}
	return key.key, nil
}

func (s *KeySet) lookup(kid string) (key publicKey, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys[kid], len(s.ids) == len(s.config.Keys)
}

// read reads the keys that are missing. One that cannot be read does not prevent the
// others from being cached.
func (s *KeySet) read(ctx context.Context) error {
	select {
	case s.reading <- struct{}{}:
		defer func() { <-s.reading }()
	case <-ctx.Done():
		return fmt.Errorf("read the signing keys: %w", ctx.Err())
	}
	missing, err := s.missing()
	if err != nil || len(missing) == 0 {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	failures := make([]error, len(missing))
	var wg sync.WaitGroup
	for i, k := range missing {
		wg.Go(func() { failures[i] = s.readOne(ctx, k) })
	}
	wg.Wait()
	// %v drops the source's sentinels: they say nothing about the caller's token.
	if err := errors.Join(failures...); err != nil {
		err = fmt.Errorf("read the signing keys: %w: %v", telemetry.ErrUnavailable, err) //nolint:errorlint // see above
		s.mu.Lock()
		defer s.mu.Unlock()
		s.failed, s.attempt = err, s.config.Now()
		return err
	}
	return nil
}

// missing returns the keys to read, or the last failure if it is less than
// retryInterval ago.
func (s *KeySet) missing() ([]SigningKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var missing []SigningKey
	for _, k := range s.config.Keys {
		if s.ids[k.Key] == "" {
			missing = append(missing, k)
		}
	}
	if len(missing) > 0 && s.failed != nil {
		if since := s.config.Now().Sub(s.attempt); since >= 0 && since < retryInterval {
			return nil, s.failed
		}
	}
	return missing, nil
}

func (s *KeySet) readOne(ctx context.Context, k SigningKey) error {
	key, err := s.config.Source.PublicKey(ctx, k.Key)
	if err != nil {
		return err
	}
	id, err := KeyID(key)
	if err != nil {
		return fmt.Errorf("key %q: %w", k.Key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[id], s.ids[k.Key] = publicKey{key, k.NotAfter}, id
	return nil
}

// JWKS returns the keys with which tokens are verified now, as a JWK set (RFC 7517, 5),
// the body of /.well-known/jwks.json. If a key cannot be read the error wraps
// telemetry.ErrUnavailable: clients would cache an incomplete set.
func (s *KeySet) JWKS(ctx context.Context) ([]byte, error) {
	if err := s.read(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Now()
	out := []byte(`{"keys":[`)
	for _, k := range s.config.Keys {
		id := s.ids[k.Key]
		if !k.NotAfter.IsZero() && now.After(k.NotAfter) {
			continue
		}
		x, y, err := coordinates(s.keys[id].key)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", k.Key, err)
		}
		if out[len(out)-1] == '}' {
			out = append(out, ',')
		}
		out = append(out, `{"kty":"EC","use":"sig","alg":"ES256","kid":"`+id+`","crv":"P-256","x":"`+x+`","y":"`+y+`"}`...)
	}
	return append(out, `]}`...), nil
}
