// Package access authenticates people by name and password, and gateways by an assertion
// that they sign with their own key, and issues access tokens.
//
// # People
//
// A login returns an access token, valid for minutes, and a refresh token of 32 random
// bytes. A refresh token is valid for one use, for the next pair. Its repetition within
// RefreshGrace, by a second tab or after a response that was lost, gets the same next
// refresh token, unless that was used already. Any other second use means that somebody
// else has the token, and ends all sessions of that login. The response does not say
// what is wrong with a login: a name that does not exist, a wrong password and a disabled
// account take the same time and get the same response, and names that do not exist are
// locked like those that do.
//
// Passwords are verified by lib/credential, which counts each attempt before: the number of
// passwords that can be tried is bounded, however many requests arrive at once.
//
// # Gateways
//
// A gateway sends a JWT signed with its own key (RFC 7523, client authentication as in
// OpenID Connect's private_key_jwt) and gets an access token for its site. An assertion
// is valid for one token: its jti is stored until it expires.
package access

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/insighthub/insighthub/lib/credential"
	"github.com/insighthub/insighthub/lib/denylist"
	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/password"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/trail"
)

// Accounts finds people.
type Accounts interface {
	// AccountByName returns an account and the PHC string of its password;
	// telemetry.ErrNotFound when the name does not exist.
	AccountByName(ctx context.Context, name string) (directory.Account, string, error)
	// Rehash stores another PHC string of the same password.
	Rehash(ctx context.Context, id directory.AccountID, old, phc string) error
}

// Sessions stores refresh tokens. Each call can be repeated.
type Sessions interface {
	// StartSession stores the first token of a login, with entry in the audit trail. It reports
	// whether that ended another session of the account, whose access token is now denied.
	// telemetry.ErrNotFound when the account is disabled or has another version now.
	StartSession(ctx context.Context, s directory.Session, entry trail.Entry) (denied bool, err error)
	// RefreshSession exchanges a token for its successor. Concurrent calls are done one after
	// the other. A repetition within r.Grace returns the salt of the first exchange, as long as
	// the successor was not used, and adds repeat to the sums of the audit trail. Any other second
	// use is telemetry.ErrConflict: the token's family is then revoked, with the entry reuse.
	// telemetry.ErrNotFound when the token does not exist, has expired or was revoked. Actor
	// and object of the entries are set.
	RefreshSession(ctx context.Context, r directory.Refresh, reuse trail.Entry, repeat trail.Occurrence) (directory.Refreshed, error)
	// EndSession revokes the family of a token; an unknown token is not an error.
	EndSession(ctx context.Context, hash [32]byte, entry trail.Entry) error
}

// Gateways finds the keys of gateways.
type Gateways interface {
	// GatewayKey returns a gateway and its key with that ID; telemetry.ErrNotFound when
	// the gateway is revoked, or the key does not exist or has expired at that time.
	GatewayKey(ctx context.Context, gateway telemetry.GatewayID, keyID string,
		now time.Time) (directory.Gateway, directory.GatewayKey, error)
	// UseAssertion stores an assertion's jti until it expires; telemetry.ErrConflict when
	// it is stored already.
	UseAssertion(ctx context.Context, gateway telemetry.GatewayID, jti string, expires time.Time) error
}

// Denials publishes which access tokens are no longer accepted.
type Denials interface {
	// Publish is called after something was taken away. It may be repeated. The error wraps
	// telemetry.ErrUnavailable: what was taken away is in the database, and tokens are still
	// accepted.
	Publish(ctx context.Context) error
}

// Minter issues access tokens.
type Minter interface {
	Mint(ctx context.Context, who token.Identity, ttl time.Duration) (string, token.Claims, error)
}

// KeySet publishes the keys by which tokens are verified.
type KeySet interface {
	// JWKS returns the key set's document (RFC 7517).
	JWKS(ctx context.Context) ([]byte, error)
}

// Config configures a Service.
type Config struct {
	Accounts Accounts // required, as all to Random
	Attempts credential.Attempts
	Sessions Sessions
	Gateways Gateways
	Trail    credential.Trail
	Denials  Denials // denylist.Unpublished by default
	// Failures adds up what was rejected without a look at a password or at a known key, and
	// what known callers repeat: refreshes, and the tokens of gateways.
	Failures trail.Counter
	Minter   Minter
	Keys     KeySet
	Log      *slog.Logger
	Now      func() time.Time
	Random   io.Reader

	// Issuer is the iss of the platform's tokens and its address. The audience of a
	// gateway's assertion is the issuer or its token endpoint. Required.
	Issuer string
	// Cost of new hashes, and of the verification for a name that does not exist; zero is
	// password.DefaultCost. After it changes, the logins of accounts whose password is
	// stored at another cost differ in time, until the next login stores a new hash.
	Cost password.Cost
	// Verify compares a password with its PHC string; nil is password.Verify. Its work
	// must depend on the cost of the string only.
	Verify func(phc, secret string) (bool, error)
	// SessionLifetime is how long a refresh token is valid; zero is DefaultSessionLifetime.
	SessionLifetime time.Duration
}

// DefaultSessionLifetime is how long an idle session stays valid.
const DefaultSessionLifetime = 12 * time.Hour

// RefreshGrace is how long a refresh token that was exchanged gets the same successor again:
// longer than two tabs that wake up together, or one retry after a timeout, need; and short
// beside the lifetime of an access token, so that no client refreshes twice in it. A thief
// gains no tokens of his own by it: he and the owner have the same successor, and whoever
// uses that second, and not within this time again, ends the session (ADR 25).
const RefreshGrace = 10 * time.Second

// Service issues tokens. It is safe for concurrent use.
type Service struct {
	config    Config
	passwords *credential.Guard
}

// New returns a Service. The error wraps telemetry.ErrInvalid.
func New(config Config) (*Service, error) {
	if config.Issuer == "" {
		return nil, fmt.Errorf("access: %w: the issuer is missing", telemetry.ErrInvalid)
	}
	config.Cost = cmp.Or(config.Cost, password.DefaultCost())
	config.Denials = cmp.Or[Denials](config.Denials, denylist.Unpublished{})
	config.SessionLifetime = cmp.Or(config.SessionLifetime, DefaultSessionLifetime)
	return &Service{config, credential.New(credential.Config{
		Attempts: config.Attempts, Trail: config.Trail, Failures: config.Failures, Now: config.Now, Verify: config.Verify,
	})}, nil
}

// Rejected is the error of a failed authentication. The client is told no more than that,
// and the explanation; the reason is for the audit trail.
type Rejected struct { //nolint:errname // a decision
	reason string
	// Explanation tells the owner of an assertion what is wrong with it; empty if that would
	// tell others more than they know.
	Explanation string
	// RetryAfter is the remaining time of the lock; zero when there is none.
	RetryAfter time.Duration
}

// Error returns the reason, which is not for the client.
func (r *Rejected) Error() string { return "rejected: " + r.reason }

// reject records an attempt whose secret was verified: of a known account as an entry of the
// trail, of an unknown one in the sums. Neither takes longer.
func (s *Service) reject(ctx context.Context, rejected *Rejected, known bool, object string, o trail.Occurrence) error {
	o.Reason = rejected.reason
	entry := s.entry("", o.Action, object, map[string]string{"reason": o.Reason, "source": o.Source})
	if err := s.config.Trail.AppendFailure(ctx, known, entry, o); err != nil {
		// No client learns whether a password is right while the trail cannot be written.
		return fmt.Errorf("failed authentication: %w", err)
	}
	return rejected
}

// refuse counts what was rejected without a look at a secret: nothing bounds how often that
// happens.
func (s *Service) refuse(rejected *Rejected, o trail.Occurrence) error {
	o.Reason = rejected.reason
	s.config.Failures.Count(o)
	return rejected
}
