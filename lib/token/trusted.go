package token

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/insighthub/insighthub/lib/httpclient"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Doer is the part of *http.Client that reads key sets. It must have a timeout and must not
// follow redirects; see NewHTTPClient.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

const (
	// setTTL is the time for which an issuer's key set is cached.
	setTTL = 15 * time.Minute
	// setInterval is the least time between two requests: a flood of tokens with an
	// invented kid must not become requests to the issuer.
	setInterval = 30 * time.Second
	setRetry    = 5 * time.Second // after a failure, for a key that is not cached
	setTimeout  = 2 * time.Second
)

// NewHTTPClient returns a client for key sets.
func NewHTTPClient() *http.Client { return httpclient.New(setTimeout) }

// trusted verifies the tokens of one external issuer.
type trusted struct {
	config TrustedIssuer
	http   Doer
	now    func() time.Time

	reading chan struct{} // semaphore: one request at a time

	mu      sync.Mutex
	keys    map[string]jwk // nil: never read
	read    time.Time      // when keys were read
	attempt time.Time      // of the last request
	failed  error          // its error
}

func newTrusted(config TrustedIssuer, client Doer, now func() time.Time) *trusted {
	return &trusted{config: config, http: client, now: now, reading: make(chan struct{}, 1)}
}

func (t *trusted) verify(ctx context.Context, c compact, now time.Time) (Claims, error) {
	method, kid, err := trustedHeader(c.header, t.config.Algorithms)
	if err != nil {
		return Claims{}, err
	}
	claims, err := t.claims(c.claims, now)
	if err != nil {
		return Claims{}, err
	}
	key, err := t.find(ctx, kid)
	if err != nil {
		return Claims{}, err
	}
	if err := key.verify(method, c); err != nil {
		return Claims{}, err
	}
	return claims, nil
}

// trustedHeader returns the signature algorithm of a token, which must be one of
// algorithms, and the kid of its key.
func trustedHeader(h object, algorithms []string) (method jwt.SigningMethod, kid string, err error) {
	if err := checkHeader(h); err != nil {
		return nil, "", err
	}
	if err := trustedType(h); err != nil {
		return nil, "", err
	}
	name, err := h.text("alg")
	if err != nil || !slices.Contains(algorithms, name) {
		return nil, "", reject(issuerAlgorithm)
	}
	method, ok := algorithm(name)
	if !ok {
		return nil, "", reject(unknownAlgorithm)
	}
	if kid, err = h.text("kid"); err != nil || !validKeyID(kid) {
		return nil, "", reject(headerKeyID)
	}
	return method, kid, nil
}

// trustedType accepts access and ID tokens, and no other JWTs of the issuer (RFC 8725, 3.11).
func trustedType(h object) error {
	if _, ok := h["typ"]; !ok {
		return nil
	}
	kind, err := h.text("typ")
	if err != nil {
		return reject(typeNotString)
	}
	switch strings.TrimPrefix(strings.ToLower(kind), "application/") {
	case "jwt", "at+jwt":
		return nil
	default:
		return reject(otherType)
	}
}

func (t *trusted) claims(c object, now time.Time) (Claims, error) {
	if err := t.audience(c); err != nil {
		return Claims{}, err
	}
	at, err := readTimes(c)
	if err != nil {
		return Claims{}, err
	}
	if err := at.check(now, MaxTrustedLifetime, ClockSkew); err != nil {
		return Claims{}, err
	}
	subject, err := c.text("sub")
	if err != nil {
		return Claims{}, err
	}
	if err := checkText("sub", subject, maxIDBytes); err != nil {
		return Claims{}, err
	}
	id := ""
	if _, ok := c["jti"]; ok {
		if id, err = c.text("jti"); err != nil {
			return Claims{}, err
		}
		if err := checkText("jti", id, maxIDBytes); err != nil {
			return Claims{}, err
		}
	}
	grants, err := trustedGrants(c[t.config.GrantsClaim])
	if err != nil {
		return Claims{}, err
	}
	who := Identity{Subject: t.config.Issuer + "|" + subject, Grants: grants}
	if err := who.check(); err != nil {
		return Claims{}, err
	}
	return Claims{Identity: who, Issuer: t.config.Issuer, ID: id, IssuedAt: at.issued, Expires: at.expires}, nil
}

// audience checks aud, or client_id of a token without aud.
func (t *trusted) audience(c object) error {
	raw, ok := c["aud"]
	if !ok {
		raw = c["client_id"]
	}
	var one string
	if json.Unmarshal(raw, &one) == nil && one == t.config.Audience {
		return nil
	}
	var many []string
	if ok && json.Unmarshal(raw, &many) == nil && slices.Contains(many, t.config.Audience) {
		return nil
	}
	return reject(otherAudience)
}

// trustedGrants reads the claim with the grants. At least one is required: most users of
// the issuer are not users of the platform.
func trustedGrants(raw json.RawMessage) (map[telemetry.SiteID]Role, error) {
	if len(raw) > 0 && raw[0] == '{' {
		grants, err := readGrants(raw)
		if err == nil && len(grants) == 0 {
			err = reject(noGrants)
		}
		return grants, err
	}
	var list []string
	if json.Unmarshal(raw, &list) != nil {
		var text string
		if json.Unmarshal(raw, &text) != nil {
			return nil, reject(missingGrants)
		}
		list = strings.Fields(text)
	}
	grants := make(map[telemetry.SiteID]Role)
	for _, entry := range list {
		cut := strings.LastIndexByte(entry, ':')
		if cut < 0 {
			continue // a group that is not a grant
		}
		site, role := telemetry.SiteID(entry[:cut]), Role(entry[cut+1:])
		if !role.ofPerson() || telemetry.ValidName(site) != nil {
			continue
		}
		if before, twice := grants[site]; twice && rank(before) > rank(role) {
			continue
		}
		grants[site] = role
	}
	if len(grants) == 0 {
		return nil, reject(noGrants)
	}
	return grants, nil
}

func rank(r Role) int { return slices.Index([]Role{Viewer, Operator, Admin}, r) }

// find returns the key of a kid. The set is read if it is stale or lacks the kid; while
// the issuer is unavailable, the cached set stays in use. The error wraps
// telemetry.ErrInvalid only if the issuer responded and has no such key.
func (t *trusted) find(ctx context.Context, kid string) (jwk, error) {
	if key, fresh, _ := t.lookup(kid); fresh && key.key != nil {
		return key, nil
	}
	err := t.refresh(ctx, kid)
	key, _, failed := t.lookup(kid)
	if err == nil {
		err = failed
	}
	switch {
	case key.key != nil:
		return key, nil
	case err != nil:
		//nolint:errorlint // %v drops the client's sentinels: they say nothing about the caller's token
		return jwk{}, fmt.Errorf("keys of the issuer %q: %w: %v", t.config.Issuer, telemetry.ErrUnavailable, err)
	default:
		return jwk{}, reject(unknownKey)
	}
}

func (t *trusted) lookup(kid string) (key jwk, fresh bool, failed error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	since := t.now().Sub(t.read)
	return t.keys[kid], t.keys != nil && since >= 0 && since < setTTL, t.failed
}

// refresh reads the set, unless it was requested a moment ago. The error means that ctx
// ended while another caller was reading.
func (t *trusted) refresh(ctx context.Context, kid string) error {
	select {
	case t.reading <- struct{}{}:
		defer func() { <-t.reading }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if !t.due(kid) {
		return nil
	}
	keys, err := t.fetch(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.attempt, t.failed = t.now(), err
	if err == nil {
		t.keys, t.read = keys, t.attempt
	}
	return nil
}

// due reports whether the set must be read; another caller may just have read it.
func (t *trusted) due(kid string) bool {
	key, fresh, failed := t.lookup(kid)
	if fresh && key.key != nil {
		return false
	}
	interval := setInterval
	if failed != nil && key.key == nil {
		interval = setRetry // this caller gets an error until then
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	since := t.now().Sub(t.attempt)
	return since < 0 || since >= interval
}

func (t *trusted) fetch(ctx context.Context) (map[string]jwk, error) {
	ctx, cancel := context.WithTimeout(ctx, setTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.config.JWKSURI, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := t.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // read only
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", response.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, maxSetBytes+1))
	if err != nil {
		return nil, err
	}
	keys, err := parseJWKS(data)
	if err == nil && len(keys) == 0 {
		err = errors.New("the key set has no usable key")
	}
	return keys, err
}
