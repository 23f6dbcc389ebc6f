// Package secrets emulates AWS Secrets Manager: GetSecretValue, PutSecretValue and
// DescribeSecret over AWS JSON 1.1, and the generation of secrets that a template describes. The secrets
// are stored in one file that only its owner can read.
package secrets

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/insighthub/insighthub/cdk/local/atomicfile"
)

// ErrNotFound says that no secret has this name or ARN.
var ErrNotFound = errors.New("secret not found")

const (
	defaultRegion    = "eu-central-1"
	defaultAccountID = "000000000000"
)

// Config of a Store.
type Config struct {
	// File holds the secrets. It and its folder are created, readable by their owner only.
	File string
	// Region and AccountID are parts of the ARNs; default eu-central-1 and 000000000000.
	Region, AccountID string
	Now               func() time.Time
}

// secret is a secret in memory and in the file.
type secret struct {
	ARN       string    `json:"arn"`
	Name      string    `json:"name"`
	Value     string    `json:"value"`
	VersionID string    `json:"version_id"`
	Created   time.Time `json:"created"`
	Changed   time.Time `json:"changed"`
}

// Store holds secrets. It is safe for concurrent use; only one process at a time may
// use a file.
type Store struct {
	cfg Config

	mu      sync.Mutex
	secrets map[string]*secret // by name
}

// New reads the file if it exists.
func New(cfg Config) (*Store, error) {
	cfg.Region = cmp.Or(cfg.Region, defaultRegion)
	cfg.AccountID = cmp.Or(cfg.AccountID, defaultAccountID)
	s := &Store{cfg: cfg, secrets: make(map[string]*secret)}
	data, err := os.ReadFile(cfg.File)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return s, nil
	case err != nil:
		return nil, fmt.Errorf("secrets.New: %w", err)
	}
	var all []*secret
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("secrets.New: %s: %w", cfg.File, err)
	}
	for _, one := range all {
		s.secrets[one.Name] = one
	}
	return s, nil
}

// Ensure returns the ARN of a secret, and creates it with a random value unless it
// exists, from an earlier run too.
func (s *Store) Ensure(name string, g Generate) (arn string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.find(name); one != nil {
		return one.ARN, nil
	}
	value, err := g.value()
	if err != nil {
		return "", fmt.Errorf("generate secret %q: %w", name, err)
	}
	return s.put(name, value)
}

// Set stores the value of a secret, and creates the secret if a name, not an ARN, is
// given and it does not exist.
func (s *Store) Set(nameOrARN, value string) (arn string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := nameOrARN
	if one := s.find(nameOrARN); one != nil {
		name = one.Name
	} else if strings.HasPrefix(name, "arn:") {
		return "", fmt.Errorf("set secret %q: %w", name, ErrNotFound)
	}
	return s.put(name, value)
}

// Value returns the value of a secret by its name or ARN.
func (s *Store) Value(nameOrARN string) (string, error) {
	one, err := s.get(nameOrARN)
	return one.Value, err
}

func (s *Store) get(nameOrARN string) (secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.find(nameOrARN)
	if one == nil {
		return secret{}, fmt.Errorf("secret %q: %w", nameOrARN, ErrNotFound)
	}
	return *one, nil
}

// find returns a secret by its name, ARN, or partial ARN, which lacks the random suffix;
// nil if it does not exist. Callers hold mu.
func (s *Store) find(nameOrARN string) *secret {
	if one, ok := s.secrets[nameOrARN]; ok {
		return one
	}
	for _, one := range s.secrets {
		if one.ARN == nameOrARN || len(one.ARN) > arnSuffix && one.ARN[:len(one.ARN)-arnSuffix] == nameOrARN {
			return one
		}
	}
	return nil
}

// arnSuffix is the length of the suffix that Secrets Manager adds to a name: a hyphen
// and six random characters.
const arnSuffix = 7

// put stores a value, and writes the file. Callers hold mu.
func (s *Store) put(name, value string) (string, error) {
	if name == "" {
		return "", errors.New("the name of a secret is empty")
	}
	now := s.cfg.Now().UTC()
	version, err := randomText(lowerCase+digits, 32)
	if err != nil {
		return "", err
	}
	next := secret{Name: name, Created: now}
	previous := s.secrets[name]
	if previous != nil {
		next = *previous
	} else {
		suffix, err := randomText(upperCase+lowerCase+digits, arnSuffix-1)
		if err != nil {
			return "", err
		}
		next.ARN = "arn:aws:secretsmanager:" + s.cfg.Region + ":" + s.cfg.AccountID + ":secret:" + name + "-" + suffix
	}
	next.Value, next.VersionID, next.Changed = value, version, now
	s.secrets[name] = &next
	if err := s.save(); err != nil {
		if previous == nil {
			delete(s.secrets, name)
		} else {
			s.secrets[name] = previous
		}
		return "", fmt.Errorf("store secret %q: %w", name, err)
	}
	return next.ARN, nil
}

// save writes all secrets to the file. Callers hold mu.
func (s *Store) save() error {
	all := make([]*secret, 0, len(s.secrets))
	for _, one := range s.secrets {
		all = append(all, one)
	}
	return atomicfile.WriteJSON(s.cfg.File, all)
}
