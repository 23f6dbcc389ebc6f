// Package kms emulates AWS KMS: asymmetric P-256 keys for signing, with GetPublicKey,
// Sign and DescribeKey over AWS JSON 1.1. The keys are stored in one file that only its
// owner can read.
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
	"github.com/insighthub/insighthub/cdk/local/awsjson"
)

// Config of a Store.
type Config struct {
	// File holds the keys. It and its folder are created, readable by their owner only.
	File string
	// Region and AccountID are parts of the ARNs.
	Region, AccountID string
	Now               func() time.Time
}

// stored is a key in the file.
type stored struct {
	ID      string    `json:"id"`
	Private []byte    `json:"private"` // PKCS #8
	Created time.Time `json:"created"`
}

// key is a key in memory.
type key struct {
	stored
	private *ecdsa.PrivateKey
	public  []byte // SubjectPublicKeyInfo
}

// Store holds keys. It is safe for concurrent use; only one process at a time may use a file.
type Store struct {
	cfg Config

	mu   sync.Mutex
	keys map[string]*key // by id
}

// New reads the file if it exists.
func New(cfg Config) (*Store, error) {
	s := &Store{cfg: cfg, keys: make(map[string]*key)}
	data, err := os.ReadFile(cfg.File)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return s, nil
	case err != nil:
		return nil, fmt.Errorf("kms.New: %w", err)
	}
	var all []stored
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("kms.New: %s: %w", cfg.File, err)
	}
	for _, one := range all {
		if s.keys[one.ID], err = open(one); err != nil {
			return nil, fmt.Errorf("kms.New: %s: key %q: %w", cfg.File, one.ID, err)
		}
	}
	return s, nil
}

func open(one stored) (*key, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(one.Private)
	if err != nil {
		return nil, errors.New("not valid PKCS #8") // the decoder's error could contain the key
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return nil, errors.New("not a P-256 key")
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

// Ensure creates a key with that id unless it exists, from an earlier run too.
func (s *Store) Ensure(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys[id] != nil {
		return nil
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("create key %q: %w", id, err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("create key %q: %w", id, err)
	}
	created, err := open(stored{ID: id, Private: raw, Created: s.cfg.Now().UTC()})
	if err != nil {
		return fmt.Errorf("create key %q: %w", id, err)
	}
	s.keys[id] = created
	if err := s.save(); err != nil {
		delete(s.keys, id)
		return fmt.Errorf("store key %q: %w", id, err)
	}
	return nil
}

// find returns a key by its id or ARN, or an error response.
func (s *Store) find(idOrARN string) (*key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, k := range s.keys {
		if idOrARN == id || idOrARN == s.ARN(id) {
			return k, nil
		}
	}
	return nil, awsjson.Errorf("NotFoundException", "The key %.100q does not exist.", idOrARN)
}

// save writes all keys to the file. Callers hold mu.
func (s *Store) save() error {
	all := make([]stored, 0, len(s.keys))
	for _, k := range s.keys {
		all = append(all, k.stored)
	}
	return atomicfile.WriteJSON(s.cfg.File, all)
}
