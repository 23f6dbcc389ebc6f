// Package kms is a local body of AWS KMS: asymmetric keys of P-256 for signing, with
// GetPublicKey, Sign and DescribeKey over AWS JSON 1.1. The keys are kept in one file
// that only its owner can read.
package kms

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/insighthub/insighthub/cdk/local/atomicfile"
)

// ErrNotFound says that no key has this id or ARN.
var ErrNotFound = errors.New("key not found")

// Config says where the keys are kept.
type Config struct {
	// File is created with its folder, for its owner alone.
	File string
	// Region and AccountID stand in the ARNs.
	Region, AccountID string
	Now               func() time.Time // required
}

// stored is one key as it is kept.
type stored struct {
	ID      string    `json:"id"`
	Private []byte    `json:"private"` // PKCS #8
	Created time.Time `json:"created"`
}

// key is one key in use.
type key struct {
	stored
	private *ecdsa.PrivateKey
	public  []byte // SubjectPublicKeyInfo
}

// Store holds keys. It is safe for concurrent use; one process at a time may have a file.
type Store struct {
	cfg Config

	mu   sync.Mutex
	keys map[string]*key // by id
}

// New reads the file, if it is there.
func New(cfg Config) (*Store, error) {
	s := &Store{cfg: cfg, keys: make(map[string]*key)}
	data, err := os.ReadFile(cfg.File)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return s, nil
	case err != nil:
		return nil, fmt.Errorf("kms.New: %w", err)
	}
	var kept []stored
	if err := json.Unmarshal(data, &kept); err != nil {
		return nil, fmt.Errorf("kms.New: %s: %w", cfg.File, err)
	}
	for _, one := range kept {
		if s.keys[one.ID], err = open(one); err != nil {
			return nil, fmt.Errorf("kms.New: %s: key %q: %w", cfg.File, one.ID, err)
		}
	}
	return s, nil
}

func open(one stored) (*key, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(one.Private)
	if err != nil {
		return nil, errors.New("not PKCS #8") // the decoder's words could show the key
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return nil, errors.New("not of P-256")
	}
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return nil, err
	}
	return &key{one, private, public}, nil
}

// ARN returns the ARN of a key's id.
func (s *Store) ARN(id string) string {
	return "arn:aws:kms:" + s.cfg.Region + ":" + s.cfg.AccountID + ":key/" + id
}

// Ensure makes a key with that id unless it is there: a second run keeps the first one's.
func (s *Store) Ensure(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys[id] != nil {
		return nil
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make key %q: %w", id, err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("make key %q: %w", id, err)
	}
	made, err := open(stored{ID: id, Private: raw, Created: s.cfg.Now().UTC()})
	if err != nil {
		return fmt.Errorf("make key %q: %w", id, err)
	}
	s.keys[id] = made
	if err := s.save(); err != nil {
		delete(s.keys, id)
		return fmt.Errorf("keep key %q: %w", id, err)
	}
	return nil
}

// find looks a key up by its id or ARN.
func (s *Store) find(idOrARN string) (*key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, k := range s.keys {
		if idOrARN == id || idOrARN == s.ARN(id) {
			return k, nil
		}
	}
	return nil, fmt.Errorf("key %q: %w", idOrARN, ErrNotFound)
}

// save writes all keys to the file. Callers hold mu.
func (s *Store) save() error {
	all := make([]stored, 0, len(s.keys))
	for _, k := range s.keys {
		all = append(all, k.stored)
	}
	return atomicfile.WriteJSON(s.cfg.File, all)
}
