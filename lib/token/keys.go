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
	// PublicKey returns the key of that name, of the curve P-256. A name stands
	// for one key for ever, so the answer may be kept. Any error is the
	// platform's fault; a repetition is safe.
	PublicKey(ctx context.Context, name string) (*ecdsa.PublicKey, error)
}

// Signer signs with keys that it does not show.
type Signer interface {
	KeySource
	// Sign returns the ECDSA signature of a SHA-256 digest as r and s, 32 bytes
	// each (RFC 7518, 3.4). A repetition is safe and gives another signature.
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

// coordinates returns x and y as they stand in a JWK.
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

// retryInterval is the least time between two attempts to read a missing key:
// tokens with an invented kid must not become calls of the source.
const retryInterval = time.Second

// readTimeout bounds one reading of the missing keys; API Gateway waits 10 s for an authorizer.
const readTimeout = 3 * time.Second

// KeySetConfig sets a KeySet up.
type KeySetConfig struct {
	Source KeySource        // required
	Keys   []SigningKey     // at least one
	Now    func() time.Time // required
}

// KeySet is the platform's own keys. Their public halves are read when they are
// first wanted and kept: while the source is away, tokens of the keys at hand go
// on being verified. It is safe for concurrent use.
type KeySet struct {
	config KeySetConfig

	reading chan struct{} // holds one place: one reading at a time

	mu      sync.Mutex
	known   map[string]publicKey // by kid
	ids     map[string]string    // kid by name
	failed  error                // of the last reading, if keys are missing
	attempt time.Time            // when it was
}

type publicKey struct {
	key      *ecdsa.PublicKey
	notAfter time.Time // zero: no end
}

// NewKeySet returns a KeySet.
func NewKeySet(config KeySetConfig) (*KeySet, error) {
	if config.Source == nil || config.Now == nil || len(config.Keys) == 0 {
		return nil, invalid("key set: want a source, a clock and at least one key")
	}
	return &KeySet{
		config: config, reading: make(chan struct{}, 1),
		known: make(map[string]publicKey), ids: make(map[string]string),
	}, nil
}

// find returns the key of a kid. An error that wraps telemetry.ErrInvalid says
// that there is no such key, or that it has lapsed; any other that it is not known.
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
		return nil, invalid("unknown key")
	case !key.notAfter.IsZero() && s.config.Now().After(key.notAfter):
		return nil, invalid("the key has lapsed")
	}
	return key.key, nil
}

func (s *KeySet) lookup(kid string) (key publicKey, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[kid], len(s.ids) == len(s.config.Keys)
}

// read reads the keys that are missing. Each is read on its own: one that can not
// be read does not keep the others away.
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
	// The sentinels of the source say nothing about the caller's token.
	if err := errors.Join(failures...); err != nil {
		err = fmt.Errorf("read the signing keys: %w: %v", telemetry.ErrUnavailable, err) //nolint:errorlint // see above
		s.mu.Lock()
		defer s.mu.Unlock()
		s.failed, s.attempt = err, s.config.Now()
		return err
	}
	return nil
}

// missing returns the keys to be read, or the last failure if it was just now.
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
	s.known[id], s.ids[k.Key] = publicKey{key, k.NotAfter}, id
	return nil
}

// JWKS returns the keys with which tokens are verified now, as a JWK set
// (RFC 7517, 5): what /.well-known/jwks.json answers. It is complete or an error
// that wraps telemetry.ErrUnavailable: a set that lacks a key would be kept by
// its readers.
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
		x, y, err := coordinates(s.known[id].key)
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
