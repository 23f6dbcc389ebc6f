// Package access gives tokens to those who can prove who they are: people by name
// and password, gateways by an assertion signed with their own key.
//
// # People
//
// A login answers with an access token of a few minutes and a refresh token of
// 32 random bytes. A refresh token is used once, for the next pair; a second use
// means that somebody else holds it, and ends all sessions of that login. What is
// wrong with a login is never said: a name that does not exist, a wrong password
// and a disabled account take the same time and get the same answer, and names
// that do not exist are locked like those that do.
//
// Each attempt is counted before its password is looked at, by name and by
// address; beyond the free ones the wait doubles with each failure. So the number
// of passwords that are tried is bounded, however many requests come at once.
//
// # Gateways
//
// A gateway sends a JWT signed with its own key (RFC 7523, client authentication
// as in OpenID Connect's private_key_jwt) and gets an access token for its site.
// Each assertion is good for one token: its jti is kept until it lapses.
package access

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/password"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/trail"
)

// Accounts finds people.
type Accounts interface {
	// AccountByName returns an account and the PHC string of its password;
	// telemetry.ErrNotFound when there is none of that name.
	AccountByName(ctx context.Context, name string) (directory.Account, string, error)
	// Rehash stores another PHC string of the same password.
	Rehash(ctx context.Context, id directory.AccountID, old, phc string) error
}

// Attempts counts logins.
type Attempts interface {
	// BeginAttempt counts an attempt, as one that fails, under each key. When a key
	// is locked it returns until when, and the attempt must not go on. Concurrent
	// calls are counted one after the other.
	BeginAttempt(ctx context.Context, policies []directory.AttemptPolicy, now time.Time) (locked time.Time, err error)
	// ForgiveAttempt takes back the count of an attempt that succeeded: all of the
	// first key's, and one of each other.
	ForgiveAttempt(ctx context.Context, keys []directory.AttemptKey) error
}

// Sessions keeps refresh tokens. Each call can be repeated.
type Sessions interface {
	// StartSession keeps the first token of a login, with entry in the audit trail.
	StartSession(ctx context.Context, s directory.Session, entry trail.Entry) error
	// RefreshSession exchanges the token with the hash old for next, whose Family and
	// Account it sets, and returns the account. telemetry.ErrNotFound when the token
	// is not good (any more); telemetry.ErrConflict when it was used before: its
	// family is then revoked, with reuse, completed by the account, in the trail.
	RefreshSession(ctx context.Context, old [32]byte, next directory.Session, now time.Time, reuse trail.Entry) (directory.Account, error)
	// EndSession revokes the family of a token; one that is not known is no error.
	EndSession(ctx context.Context, hash [32]byte, entry trail.Entry) error
}

// Gateways knows the gateways' keys.
type Gateways interface {
	// GatewayKey returns a gateway that is not revoked and its key with that ID
	// if it is good at that time; otherwise telemetry.ErrNotFound.
	GatewayKey(ctx context.Context, gateway telemetry.GatewayID, keyID string, now time.Time) (directory.Gateway, directory.GatewayKey, error)
	// UseAssertion keeps an assertion's jti until it lapses; telemetry.ErrConflict
	// when it is there already.
	UseAssertion(ctx context.Context, gateway telemetry.GatewayID, jti string, expires time.Time) error
}

// Trail takes what changed nothing but should be known.
type Trail interface {
	AppendTrail(ctx context.Context, entry trail.Entry) error
}

// Minter makes access tokens.
type Minter interface {
	Mint(ctx context.Context, who token.Identity, ttl time.Duration) (string, token.Claims, error)
}

// KeySet publishes the keys by which tokens are verified.
type KeySet interface {
	// JWKS returns the key set's document (RFC 7517).
	JWKS(ctx context.Context) ([]byte, error)
}

// Config sets a Service up.
type Config struct {
	Accounts Accounts // required, as all to Random
	Attempts Attempts
	Sessions Sessions
	Gateways Gateways
	Trail    Trail
	Minter   Minter
	Keys     KeySet
	Log      *slog.Logger
	Now      func() time.Time
	Random   io.Reader

	// Issuer is the iss of the platform's tokens and its address. A gateway's assertion
	// names it, or the token endpoint below it, as its audience. Required.
	Issuer string
	// Cost of passwords that are hashed anew, and of the look at one of a name that does
	// not exist; zero is password.DefaultCost. Where it changes, accounts whose password is
	// stored at another cost take another time until their next login.
	Cost password.Cost
	// Verify compares a password with its PHC string; nil is password.Verify. Its work
	// depends on the string's cost alone.
	Verify func(phc, secret string) (bool, error)
	// SessionLifetime is how long a refresh token is good; zero is DefaultSessionLifetime.
	SessionLifetime time.Duration
}

// DefaultSessionLifetime is how long a person may be away and need not log in again.
const DefaultSessionLifetime = 12 * time.Hour

// Service gives out tokens. It is safe for concurrent use.
type Service struct{ config Config }

// New returns a Service; the error names everything that config lacks.
func New(config Config) (*Service, error) {
	var problems []error
	for _, p := range []struct {
		lacking bool
		what    string
	}{
		{config.Accounts == nil, "accounts"},
		{config.Attempts == nil, "attempts"},
		{config.Sessions == nil, "sessions"},
		{config.Gateways == nil, "gateways"},
		{config.Trail == nil, "a trail"},
		{config.Minter == nil, "a minter"},
		{config.Keys == nil, "a key set"},
		{config.Log == nil, "a log"},
		{config.Now == nil, "a clock"},
		{config.Random == nil, "randomness"},
		{config.Issuer == "", "an issuer"},
	} {
		if p.lacking {
			problems = append(problems, errors.New(p.what))
		}
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("access: %w: want %w", telemetry.ErrInvalid, errors.Join(problems...))
	}
	if config.Cost == (password.Cost{}) {
		config.Cost = password.DefaultCost()
	}
	if config.Verify == nil {
		config.Verify = password.Verify
	}
	if config.SessionLifetime == 0 {
		config.SessionLifetime = DefaultSessionLifetime
	}
	return &Service{config}, nil
}

// Refused is the answer to whoever could not prove who they are. It says no more
// than that to them; the reason is for the audit trail.
type Refused struct { //nolint:errname // a decision
	reason string
	// RetryAfter is how long further attempts are not looked at; zero when they are.
	RetryAfter time.Duration
}

// Error returns the reason, which is not for the caller.
func (r *Refused) Error() string { return "refused: " + r.reason }

// refuse writes the audit entry of a failed authentication.
func (s *Service) refuse(ctx context.Context, refused *Refused, action trail.Action, object, source string) error {
	entry := s.entry("", action, object, map[string]string{"reason": refused.reason, "source": source})
	if err := s.config.Trail.AppendTrail(ctx, entry); err != nil {
		// Nobody is told whether a password was right while the trail can not be written.
		return fmt.Errorf("failed authentication: %w", err)
	}
	return refused
}
