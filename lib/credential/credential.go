// Package credential is the one place where passwords are verified. Whoever asks for one, a
// login or the change of a password, goes through Guard.Check, which counts the attempt, then
// verifies it, and then writes a failure to the audit trail (ADR 37).
package credential

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/insighthub/insighthub/lib/attempt"
	"github.com/insighthub/insighthub/lib/naming"
	"github.com/insighthub/insighthub/lib/password"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// Attempts counts attempts at passwords; see lib/attempt.
type Attempts interface {
	// BeginAttempt counts an attempt as failed. When it is locked, it returns the end of the
	// lock and changes nothing, and the attempt must be rejected. Concurrent calls for one name
	// or network are done one after the other.
	BeginAttempt(ctx context.Context, keys attempt.Keys, now time.Time) (locked time.Time, err error)
	// SucceedAttempt takes back an attempt that succeeded.
	SucceedAttempt(ctx context.Context, keys attempt.Keys, now time.Time) error
}

// Trail records attempts that were verified and failed.
type Trail interface {
	// AppendFailure appends the entry if the caller is known, and otherwise adds the occurrence
	// to the sums of unknown callers. Both do the same work.
	AppendFailure(ctx context.Context, known bool, entry trail.Entry, sum trail.Occurrence) error
}

// Config configures a Guard.
type Config struct {
	Attempts Attempts
	Trail    Trail
	// Failures counts attempts at what is locked: nothing bounds how many there are. Without it
	// each is added to the sums of the trail by Trail.
	Failures trail.Counter
	Now      func() time.Time
	// Verify compares a password with its PHC string; nil is password.Verify. Its work
	// must depend on the cost of the string and on the password given only.
	Verify func(phc, secret string) (bool, error)
}

// Guard verifies passwords. It is safe for concurrent use.
type Guard struct{ config Config }

// New returns a Guard.
func New(config Config) *Guard {
	if config.Verify == nil {
		config.Verify = password.Verify
	}
	return &Guard{config}
}

// Attempt says whose password is tried, from where, and what a failure is in the audit trail.
type Attempt struct {
	// Name is the account's name as it was typed, or as it is stored: the counter is that of
	// its canonical form.
	Name string
	// Actor, Action and Object are those of the entry of a wrong password of a known account.
	// Actor is the caller of a request with an access token, and empty for others.
	Actor  string
	Action trail.Action
	Object string
	// Failure is what is added up of other failures. Its Source is the client's address.
	Failure trail.Occurrence
}

// Stored is what a password is compared with.
type Stored struct {
	PHC string
	// Known says that there is such an account.
	Known bool
	// Reason, unless it is empty, rejects any password; the work is the same.
	Reason string
}

// Rejected is the error of a password that is not accepted.
type Rejected struct { //nolint:errname // a decision
	// Reason is for the audit trail, not for the client.
	Reason string
	// RetryAfter is the remaining time of the lock; zero when there is none.
	RetryAfter time.Duration
}

// Error returns the reason.
func (r *Rejected) Error() string { return "rejected: " + r.Reason }

// Check verifies a password. find is called unless the attempt is locked. The error is a
// *Rejected, which is in the audit trail, or that of find or a port, or is internal.
func (g *Guard) Check(ctx context.Context, a Attempt, secret string, find func(context.Context) (Stored, error)) error {
	canonical, _ := naming.Login(a.Name)
	keys, now := attempt.KeysOf(canonical, a.Failure.Source), g.config.Now()
	locked, err := g.config.Attempts.BeginAttempt(ctx, keys, now)
	if err != nil {
		return fmt.Errorf("check a password: %w", err)
	}
	if !locked.IsZero() {
		return g.refuse(ctx, a, &Rejected{Reason: "locked", RetryAfter: max(locked.Sub(now), time.Second)})
	}
	stored, err := find(ctx)
	if err != nil {
		return err
	}
	right, err := g.config.Verify(stored.PHC, secret)
	if err != nil {
		// A stored string that is not valid is no fault of the caller's.
		return fmt.Errorf("check a password: %s: %v", a.Object, err) //nolint:errorlint // its kind must not become a status
	}
	if !right && stored.Reason == "" {
		stored.Reason = "wrong password"
	}
	if stored.Reason != "" {
		return g.reject(ctx, a, stored.Known, &Rejected{Reason: stored.Reason})
	}
	if err := g.config.Attempts.SucceedAttempt(ctx, keys, g.config.Now()); err != nil {
		return fmt.Errorf("check a password: %w", err)
	}
	return nil
}

// refuse counts an attempt that was not verified.
func (g *Guard) refuse(ctx context.Context, a Attempt, rejected *Rejected) error {
	if g.config.Failures == nil {
		return g.reject(ctx, a, false, rejected)
	}
	a.Failure.Reason = rejected.Reason
	g.config.Failures.Count(a.Failure)
	return rejected
}

// reject records an attempt that was verified: of a known account as an entry of the trail,
// of an unknown one in the sums.
func (g *Guard) reject(ctx context.Context, a Attempt, known bool, rejected *Rejected) error {
	a.Failure.Reason = rejected.Reason
	detail, err := json.Marshal(map[string]string{"reason": rejected.Reason, "source": a.Failure.Source})
	if err != nil {
		return errors.New("check a password: the entry is not valid")
	}
	entry := trail.Entry{
		Time: telemetry.MicrosOf(g.config.Now()), Actor: a.Actor, Action: a.Action, Object: a.Object, Detail: string(detail),
	}
	if !known {
		entry.Action = a.Failure.Action
	}
	if err := g.config.Trail.AppendFailure(ctx, known, entry, a.Failure); err != nil {
		// No client learns whether a password is right while the trail cannot be written.
		return fmt.Errorf("failed authentication: %w", err)
	}
	return rejected
}
