package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"
)

// SigningKey is one of the platform's own keys.
type SigningKey struct {
	// Key is its name at the KeySource, for example a KMS key's ARN.
	Key string
	// NotAfter is the time until which the key's tokens are accepted; zero: always.
	NotAfter time.Time
}

// TrustedIssuer is an external issuer whose tokens are accepted.
type TrustedIssuer struct {
	Issuer string `json:"issuer"`
	// JWKSURI is the URL of its key set: https, or http on the loopback interface.
	JWKSURI string `json:"jwks_uri"`
	// Audience must be the token's aud or one of them; if a token has no aud, as Cognito's
	// access tokens, its client_id.
	Audience string `json:"audience"`
	// Algorithms are the ones that it signs with, of RS256, RS384, RS512, PS256,
	// PS384, PS512, ES256, ES384, ES512 and EdDSA.
	Algorithms []string `json:"algorithms"`
	// GrantsClaim names the claim with the grants: an object of sites and roles, or a list
	// (or a string separated by spaces) of "site:role"; other elements are ignored.
	GrantsClaim string `json:"grants_claim"`
}

const (
	maxSigningKeys    = 16
	maxTrustedIssuers = 8
)

// ParseSigningKeys reads the variable SIGNING_KEYS:
//
//	[{"key":"arn:aws:kms:…"},{"key":"arn:aws:kms:…","not_after":"2027-01-01T00:00:00Z"}]
//
// The first signs and must not expire; all verify, each until its not_after.
func ParseSigningKeys(text string) ([]SigningKey, error) {
	var list []struct {
		Key      string     `json:"key"`
		NotAfter *time.Time `json:"not_after"`
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	if len(list) == 0 || len(list) > maxSigningKeys {
		return nil, invalid("signing keys: want 1 to %d, got %d", maxSigningKeys, len(list))
	}
	var problems []error
	keys := make([]SigningKey, len(list))
	for i, k := range list {
		keys[i].Key = k.Key
		if k.NotAfter != nil {
			keys[i].NotAfter = *k.NotAfter
		}
		switch {
		case k.Key == "":
			problems = append(problems, invalid("signing key %d: no key", i))
		case slices.ContainsFunc(keys[:i], func(o SigningKey) bool { return o.Key == k.Key }):
			problems = append(problems, invalid("signing key %d: repeated", i))
		case i == 0 && k.NotAfter != nil:
			problems = append(problems, invalid("signing key 0: the key that signs must not have not_after"))
		}
	}
	return keys, errors.Join(problems...)
}

// ParseTrustedIssuers reads the variable TRUSTED_ISSUERS: a list, which may be empty, of
// objects with the required members issuer, jwks_uri, audience, algorithms and grants_claim.
func ParseTrustedIssuers(text string) ([]TrustedIssuer, error) {
	var list []TrustedIssuer
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("trusted issuers: %w", err)
	}
	if len(list) > maxTrustedIssuers {
		return nil, invalid("trusted issuers: want at most %d, got %d", maxTrustedIssuers, len(list))
	}
	var problems []error
	for i, t := range list {
		if err := t.check(); err != nil {
			problems = append(problems, fmt.Errorf("trusted issuer %q: %w", t.Issuer, err))
		}
		if slices.ContainsFunc(list[:i], func(o TrustedIssuer) bool { return o.Issuer == t.Issuer }) {
			problems = append(problems, invalid("trusted issuer %q: repeated", t.Issuer))
		}
	}
	return list, errors.Join(problems...)
}

func (t TrustedIssuer) check() error {
	var problems []error
	for _, m := range [...]struct{ name, value string }{
		{"issuer", t.Issuer}, {"audience", t.Audience}, {"grants_claim", t.GrantsClaim},
	} {
		if m.value == "" || len(m.value) > maxIDBytes {
			problems = append(problems, invalid("%s: want 1 to %d bytes", m.name, maxIDBytes))
		}
	}
	u, err := url.Parse(t.JWKSURI)
	switch {
	case err != nil || u.Host == "" || u.User != nil:
		problems = append(problems, invalid("jwks_uri: want an https URL"))
	case u.Scheme == "https":
	case u.Scheme == "http" && (u.Hostname() == "127.0.0.1" || u.Hostname() == "localhost" || u.Hostname() == "::1"):
	default:
		problems = append(problems, invalid("jwks_uri: want https"))
	}
	if len(t.Algorithms) == 0 {
		problems = append(problems, invalid("no algorithms"))
	}
	for _, a := range t.Algorithms {
		if _, ok := algorithm(a); !ok {
			problems = append(problems, invalid("algorithm %q: want RS…, PS… or ES… with 256, 384 or 512, or EdDSA", a))
		}
	}
	return errors.Join(problems...)
}
