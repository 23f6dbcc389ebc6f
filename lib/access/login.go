package access

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/insighthub/insighthub/lib/credential"
	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/naming"
	"github.com/insighthub/insighthub/lib/password"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/trail"
)

// Pair is the tokens of a login or a refresh.
type Pair struct {
	Access         string
	AccessExpires  time.Duration // from now
	Refresh        string
	RefreshExpires time.Duration
}

const (
	maxNameBytes   = 128
	refreshBytes   = 32
	refreshPrefix  = "ihr_" // lets secret scanners find a refresh token that leaked
	loginSucceeded = trail.Action("session.start")
	sessionReused  = trail.Action("session.reuse")
	sessionEnded   = trail.Action("session.end")
)

// unusable returns the PHC string for a name that does not exist: no known password has
// a hash of zeros, and verifying it takes as long as a stored password of this cost.
func unusable(cost password.Cost) string {
	zeros := base64.RawStdEncoding.EncodeToString(make([]byte, 32))
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", cost.MemoryKiB, cost.Passes, cost.Threads, zeros[:22], zeros)
}

// Login verifies the password and returns a pair of tokens. source is the address of the
// client. The error is a *Rejected, or wraps telemetry.ErrUnavailable, or is internal.
//
// An unknown name, a wrong password and a disabled account, with any password, do the
// same work: they count one attempt, look up one account, compute one password hash at
// Config.Cost and insert one row for the audit trail: an entry, or a part of the sum of unknown
// names. A locked name only reads the counters, whether it exists or not: the lock is on the name
// as it was sent. It is counted for the trail in memory.
func (s *Service) Login(ctx context.Context, name, secret, source string) (Pair, error) {
	canonical, older := naming.Login(name)
	attempt := credential.Attempt{
		Name: name, Action: trail.RefusedLogin, Object: "accounts/" + printable(canonical),
		Failure: trail.Occurrence{Action: trail.RefusedLogin, Source: source, Route: "POST /v1/login", Subject: canonical},
	}
	var account directory.Account
	var stored credential.Stored
	err := s.passwords.Check(ctx, attempt, secret, func(ctx context.Context) (_ credential.Stored, err error) {
		account, stored, err = s.findAccount(ctx, canonical, older)
		return stored, err
	})
	if rejected, ok := errors.AsType[*credential.Rejected](err); ok {
		return Pair{}, &Rejected{reason: rejected.Reason, RetryAfter: rejected.RetryAfter}
	}
	if err != nil {
		return Pair{}, fmt.Errorf("login: %w", err)
	}
	s.rehash(ctx, account, stored.PHC, secret)
	return s.start(ctx, account, source)
}

// findAccount returns the account and its password, or an unusable password and the
// reason. An account that is stored under an older form of its name comes first. Both forms
// are looked up whether or not there is one, so that the work depends on the text alone.
func (s *Service) findAccount(
	ctx context.Context, canonical, older string,
) (account directory.Account, stored credential.Stored, err error) {
	stored = credential.Stored{PHC: unusable(s.config.Cost), Reason: "unknown account"}
	forms := []string{canonical}
	if older != canonical {
		forms = append(forms, older)
	}
	for _, name := range forms {
		if name == "" || len(name) > maxNameBytes || strings.ContainsRune(name, 0) || !utf8.ValidString(name) {
			stored.Reason = "invalid name"
			return account, stored, nil
		}
	}
	for _, name := range forms {
		found, phc, err := s.config.Accounts.AccountByName(ctx, name)
		if errors.Is(err, telemetry.ErrNotFound) {
			continue
		}
		if err != nil {
			return account, stored, err
		}
		account, stored = found, credential.Stored{PHC: phc, Known: true}
		if found.Disabled {
			stored.Reason = "disabled"
		}
	}
	return account, stored, nil
}

// rehash stores a hash at the present cost. Its failure does not fail the login.
func (s *Service) rehash(ctx context.Context, account directory.Account, old, secret string) {
	if !password.Outdated(old, s.config.Cost) {
		return
	}
	phc, err := password.Hash(secret, s.config.Cost, s.config.Random)
	if err == nil {
		err = s.config.Accounts.Rehash(ctx, account.ID, old, phc)
	}
	if err != nil {
		s.config.Log.WarnContext(ctx, "password not rehashed at the present cost", "account", account.ID, "error", err)
	}
}

// start starts a session.
func (s *Service) start(ctx context.Context, account directory.Account, source string) (Pair, error) {
	secret, session, err := s.newSession()
	if err != nil {
		return Pair{}, err
	}
	if session.Family, err = newUUID(s.config.Random); err != nil {
		return Pair{}, err
	}
	session.Account, session.Version = account.ID, account.Version
	pair, err := s.pair(ctx, account, session.Family, secret, s.config.SessionLifetime)
	if err != nil {
		return Pair{}, err
	}
	entry := s.entry(string(account.ID), loginSucceeded, "accounts/"+printable(account.Name), map[string]string{"source": source})
	denied, err := s.config.Sessions.StartSession(ctx, session, entry)
	if errors.Is(err, telemetry.ErrNotFound) {
		rejected := &Rejected{reason: "the account changed during the login"}
		failure := trail.Occurrence{Action: trail.RefusedLogin, Source: source}
		return Pair{}, s.reject(ctx, rejected, true, "accounts/"+printable(account.Name), failure)
	}
	if err != nil {
		return Pair{}, fmt.Errorf("login: %w", err)
	}
	if denied {
		// Nobody asked for it: that it takes effect with the next publication fails no login.
		if err := s.config.Denials.Publish(ctx); err != nil {
			s.config.Log.WarnContext(ctx, "the end of the oldest session not published", "account", account.ID, "error", err)
		}
	}
	return pair, nil
}

// Refresh exchanges a refresh token for the next pair. The error is as for Login.
func (s *Service) Refresh(ctx context.Context, refresh, source string) (Pair, error) {
	failure := trail.Occurrence{Action: trail.RefusedLogin, Source: source, Route: "POST /v1/refresh"}
	hash, ok := hashOf(refresh)
	if !ok {
		return Pair{}, s.refuse(&Rejected{reason: "not a refresh token"}, failure)
	}
	now := s.config.Now()
	r := directory.Refresh{Hash: hash, Now: now, Expires: now.Add(s.config.SessionLifetime), Grace: RefreshGrace}
	if _, err := io.ReadFull(s.config.Random, r.Salt[:]); err != nil {
		return Pair{}, fmt.Errorf("refresh token: %w", err)
	}
	next, err := successor(refresh, r.Salt)
	if err != nil {
		return Pair{}, err
	}
	r.Successor, _ = hashOf(next)
	repeated := trail.Occurrence{
		Action: trail.RepeatedRefresh, Reason: "repeated within the grace", Source: source, Route: failure.Route,
	}
	done, err := s.config.Sessions.RefreshSession(ctx, r,
		s.entry("", sessionReused, "sessions", map[string]string{"source": source}), repeated)
	switch {
	case errors.Is(err, telemetry.ErrConflict): // already in the trail
		if err := s.config.Denials.Publish(ctx); err != nil {
			return Pair{}, fmt.Errorf("refresh: %w", err)
		}
		return Pair{}, &Rejected{reason: "the refresh token was used before"}
	case errors.Is(err, telemetry.ErrNotFound):
		return Pair{}, s.refuse(&Rejected{reason: "the refresh token is unknown or has expired"}, failure)
	case err != nil:
		return Pair{}, fmt.Errorf("refresh: %w", err)
	}
	if next, err = successor(refresh, done.Salt); err != nil {
		return Pair{}, err
	}
	pair, err := s.pair(ctx, done.Account, done.Family, next, done.Expires.Sub(now))
	if err == nil {
		s.config.Failures.Count(trail.Occurrence{
			Action: trail.RefreshedSession, Reason: "refresh token", Source: source, Route: failure.Route, Subject: string(done.Account.ID),
		})
	}
	return pair, err
}

// successor derives the next refresh token (HKDF with SHA-256, RFC 5869). Without the token
// the salt says nothing of it, nor does the token without the salt, which only the database
// has and forgets when the successor is used.
func successor(refresh string, salt [32]byte) (string, error) {
	raw, err := hkdf.Key(sha256.New, []byte(refresh), salt[:], "insighthub refresh token", refreshBytes)
	if err != nil {
		return "", fmt.Errorf("refresh token: %w", err)
	}
	return refreshText(raw), nil
}

func refreshText(raw []byte) string { return refreshPrefix + base64.RawURLEncoding.EncodeToString(raw) }

// Logout ends the session of a refresh token, valid or not.
func (s *Service) Logout(ctx context.Context, refresh, source string) error {
	hash, ok := hashOf(refresh)
	if !ok {
		return nil
	}
	entry := s.entry("", sessionEnded, "sessions", map[string]string{"source": source})
	if err := s.config.Sessions.EndSession(ctx, hash, entry); err != nil {
		return fmt.Errorf("logout: %w", err)
	}
	if err := s.config.Denials.Publish(ctx); err != nil {
		return fmt.Errorf("logout: %w", err)
	}
	return nil
}

// newSession returns a refresh token and the session that is stored for it.
func (s *Service) newSession() (string, directory.Session, error) {
	var raw [refreshBytes]byte
	if _, err := io.ReadFull(s.config.Random, raw[:]); err != nil {
		return "", directory.Session{}, fmt.Errorf("refresh token: %w", err)
	}
	secret := refreshText(raw[:])
	session := directory.Session{Hash: sha256.Sum256([]byte(secret)), Expires: s.config.Now().Add(s.config.SessionLifetime)}
	return secret, session, nil
}

// hashOf returns the hash of a refresh token; false for a text of another form.
func hashOf(refresh string) ([32]byte, bool) {
	encoded, ok := strings.CutPrefix(refresh, refreshPrefix)
	if !ok || len(encoded) != base64.RawURLEncoding.EncodedLen(refreshBytes) {
		return [32]byte{}, false
	}
	return sha256.Sum256([]byte(refresh)), true
}

// pair issues an access token for the account and returns it with the refresh token, which
// is valid for the given time. Both belong to the session with that family.
func (s *Service) pair(
	ctx context.Context, account directory.Account, family, refresh string, valid time.Duration,
) (Pair, error) {
	identity := token.Identity{
		Subject: string(account.ID), Grants: make(map[telemetry.SiteID]token.Role, len(account.Grants)),
		Session: family, Version: int64(account.Version),
	}
	for site, role := range account.Grants {
		identity.Grants[site] = token.Role(role)
	}
	access, _, err := s.config.Minter.Mint(ctx, identity, token.PersonLifetime)
	if err != nil {
		return Pair{}, fmt.Errorf("issue a token for account %q: %w", account.ID, asInternal(err))
	}
	return Pair{access, token.PersonLifetime, refresh, valid}, nil
}

// entry returns an entry of the audit trail with the present time.
func (s *Service) entry(actor string, action trail.Action, object string, detail map[string]string) trail.Entry {
	raw, err := json.Marshal(detail)
	if err != nil { // a map of texts always marshals
		raw = []byte("{}")
	}
	return trail.Entry{Time: telemetry.MicrosOf(s.config.Now()), Actor: actor, Action: action, Object: object, Detail: string(raw)}
}

// printable returns a form of a client's text that the audit trail may hold.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > maxNameBytes {
		s = strings.ToValidUTF8(s[:maxNameBytes], "") + "…"
	}
	return s
}

// asInternal removes the kind of an error that the client did not cause.
func asInternal(err error) error {
	if errors.Is(err, telemetry.ErrUnavailable) {
		return err
	}
	return errors.New(err.Error())
}

func newUUID(random io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("session: %w", err)
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // RFC 9562, version 4
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}
