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
	// Key is its name at the source, for example a KMS key's ARN.
	Key string
	// NotAfter is until when the key's tokens are accepted; zero is without end.
	NotAfter time.Time
}

// TrustedIssuer is an issuer of another house whose tokens are accepted.
type TrustedIssuer struct {
	Issuer string `json:"issuer"`
	// JWKSURI is where its keys are: https, or http on this machine.
	JWKSURI string `json:"jwks_uri"`
	// Audience must be the token's aud or one of them; where a token has no aud,
	// as Cognito's access tokens, its client_id.
	Audience string `json:"audience"`
	// Algorithms are those that it signs with, of RS256, RS384, RS512, PS256,
	// PS384, PS512, ES256, ES384, ES512 and EdDSA.
	Algorithms []string `json:"algorithms"`
	// GrantsClaim names the claim with the grants: an object of sites and roles,
	// or a list (or a text with spaces) of "site:role", in which others are passed over.
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
// The first signs and has no end; all verify, each until its end.
func ParseSigningKeys(text string) ([]SigningKey, error) {
	var list []struct {
		Key      string     `json:"key"`
		NotAfter *time.Time `json:"not_after"`
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	if len(list) == 0 || len(list) > maxSigningKeys {
		return nil, invalid("signing keys: want 1 to %d, have %d", maxSigningKeys, len(list))
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
			problems = append(problems, invalid("signing key %d: named twice", i))
		case i == 0 && k.NotAfter != nil:
			problems = append(problems, invalid("signing key 0: the key that signs has no end"))
		}
	}
	return keys, errors.Join(problems...)
}

// ParseTrustedIssuers reads the variable TRUSTED_ISSUERS: a list, which may be
// empty, of objects with the members issuer, jwks_uri, audience, algorithms and
// grants_claim, all of them required.
func ParseTrustedIssuers(text string) ([]TrustedIssuer, error) {
	var list []TrustedIssuer
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("trusted issuers: %w", err)
	}
	if len(list) > maxTrustedIssuers {
		return nil, invalid("trusted issuers: want at most %d, have %d", maxTrustedIssuers, len(list))
	}
	var problems []error
	for i, t := range list {
		if err := t.check(); err != nil {
			problems = append(problems, fmt.Errorf("trusted issuer %q: %w", t.Issuer, err))
		}
		if slices.ContainsFunc(list[:i], func(o TrustedIssuer) bool { return o.Issuer == t.Issuer }) {
			problems = append(problems, invalid("trusted issuer %q: named twice", t.Issuer))
		}
	}
	return list, errors.Join(problems...)
}

func (t TrustedIssuer) check() error {
	var problems []error
	for name, value := range map[string]string{"issuer": t.Issuer, "audience": t.Audience, "grants_claim": t.GrantsClaim} {
		if value == "" || len(value) > maxIDBytes {
			problems = append(problems, invalid("%s: want 1 to %d bytes", name, maxIDBytes))
		}
	}
	u, err := url.Parse(t.JWKSURI)
	switch {
	case err != nil || u.Host == "" || u.User != nil:
		problems = append(problems, invalid("jwks_uri: want an https address"))
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
			problems = append(problems, invalid("algorithm %q: want one of RS256 … EdDSA", a))
		}
	}
	return errors.Join(problems...)
}
