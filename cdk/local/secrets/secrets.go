// Package secrets is a local body of AWS Secrets Manager: GetSecretValue and
// DescribeSecret over AWS JSON 1.1, and the making of secrets that a template
// asks for. The secrets are kept in one file that only its owner can read.
package secrets

import (
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

// Config says where the secrets are kept.
type Config struct {
	// File is created with its folder, for its owner alone.
	File string
	// Region and AccountID stand in the ARNs; empty ones are filled with local values.
	Region, AccountID string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// secret is one secret as it is kept.
type secret struct {
	ARN       string    `json:"arn"`
	Name      string    `json:"name"`
	Value     string    `json:"value"`
	VersionID string    `json:"version_id"`
	Created   time.Time `json:"created"`
	Changed   time.Time `json:"changed"`
}

// Store holds secrets. It is safe for concurrent use; one process at a time may
// have a file.
type Store struct {
	cfg Config

	mu      sync.Mutex
	secrets map[string]*secret // by name
}

// New reads the file, if it is there.
func New(cfg Config) (*Store, error) {
	for field, value := range map[*string]string{&cfg.Region: defaultRegion, &cfg.AccountID: defaultAccountID} {
		if *field == "" {
			*field = value
		}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Store{cfg: cfg, secrets: make(map[string]*secret)}
	data, err := os.ReadFile(cfg.File)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return s, nil
	case err != nil:
		return nil, fmt.Errorf("secrets.New: %w", err)
	}
	var kept []*secret
	if err := json.Unmarshal(data, &kept); err != nil {
		return nil, fmt.Errorf("secrets.New: %s: %w", cfg.File, err)
	}
	for _, one := range kept {
		s.secrets[one.Name] = one
	}
	return s, nil
}

// Ensure returns the ARN of a secret and creates it with a random value unless
// it is there: a second run keeps the first one's value.
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

// Set gives a secret, named by its name or ARN, a value, and creates it under
// its name when it is not there.
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

// Value returns the value of a secret, named by its name or ARN.
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

// find looks a secret up by name, ARN or partial ARN, which lacks the random
// ending. Callers hold mu.
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

// arnSuffix is the length of what Secrets Manager adds to a name: a hyphen and
// six characters.
const arnSuffix = 7

// put stores a value and the file. Callers hold mu.
func (s *Store) put(name, value string) (string, error) {
	if name == "" {
		return "", errors.New("a secret without a name")
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
		ending, err := randomText(upperCase+lowerCase+digits, arnSuffix-1)
		if err != nil {
			return "", err
		}
		next.ARN = "arn:aws:secretsmanager:" + s.cfg.Region + ":" + s.cfg.AccountID + ":secret:" + name + "-" + ending
	}
	next.Value, next.VersionID, next.Changed = value, version, now
	s.secrets[name] = &next
	if err := s.save(); err != nil {
		if previous == nil {
			delete(s.secrets, name)
		} else {
			s.secrets[name] = previous
		}
		return "", fmt.Errorf("keep secret %q: %w", name, err)
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
