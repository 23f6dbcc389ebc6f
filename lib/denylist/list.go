// Package denylist says which access tokens are no longer accepted although they have not
// expired: those of a gateway that was revoked, of a person who lost a right, of a session
// that ended.
//
// What is taken away is a row of the database, written with the change itself. A Publisher
// writes all rows that still matter as one object to S3, and each environment of the
// functions that see tokens reads it with a Reader at most every RefreshEvery: so a denied
// token is rejected everywhere within seconds, without a query of the database and without a
// read for each request. See docs/adr/0043-deny-list.md.
package denylist

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Token is what a verified access token says of its origin.
type Token struct {
	// Subject is the account's id or the gateway's name.
	Subject string
	// Session is the login of a person's token; empty for others.
	Session string
	// Version is that of the account or the gateway when the token was issued; 0 if the token
	// does not say.
	Version int64
	// Issued is when, in seconds since the Unix epoch (iat).
	Issued int64
}

const (
	// MaxDenials is how many denials a list may have: 4,096 of an hour is more than one a
	// second. Beyond it the oldest are replaced by a time before which all tokens are denied.
	MaxDenials = 4096
	// MaxSessions is how many sessions of one subject are listed. Beyond it all tokens of the
	// subject until then are denied, so that nobody fills the list by logging out.
	MaxSessions = 16
	// clockMargin is by how much the clocks of the database and of the functions that issue
	// tokens may differ where a denial is a time.
	clockMargin = 2 * time.Second
)

// denial is one entry. Exactly one of Session, Version and Until is set.
type denial struct {
	Subject string `json:"subject"`
	// Session denies the tokens of one login.
	Session string `json:"session,omitempty"`
	// Version denies the tokens of earlier versions. Versions are counted by the database, so
	// that this does not depend on the clocks of the function that takes away and the one that
	// issues: a token that is issued in the same second, after the change, is accepted.
	Version int64 `json:"version,omitempty"`
	// Until denies the tokens that were issued until then, in seconds since the Unix epoch.
	Until int64 `json:"until,omitempty"`
}

// List is what the object holds. The zero List denies nothing.
type List struct {
	// Until denies every token that was issued until then, in seconds since the Unix epoch.
	until    int64
	subjects map[string][]denial
}

type document struct {
	Until   int64    `json:"until,omitempty"`
	Denials []denial `json:"denials"`
}

// Denies reports whether the token is denied.
func (l *List) Denies(t Token) bool {
	if l.until > 0 && t.Issued <= l.until {
		return true
	}
	if len(l.subjects) == 0 {
		return false
	}
	for _, d := range l.subjects[t.Subject] {
		if d.Session != "" && d.Session == t.Session || d.Version > t.Version || d.Until > 0 && t.Issued <= d.Until {
			return true
		}
	}
	return false
}

// parse reads an object. The error wraps telemetry.ErrInvalid.
func parse(raw []byte) (*List, error) {
	var d document
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, fmt.Errorf("deny list: %w: %w", telemetry.ErrInvalid, err)
	}
	l := &List{until: d.Until, subjects: make(map[string][]denial, len(d.Denials))}
	for _, one := range d.Denials {
		l.subjects[one.Subject] = append(l.subjects[one.Subject], one)
	}
	return l, nil
}

// encode returns the object for the denials, which are in the order of their times. It
// depends on them alone, so that publishing twice changes nothing.
func encode(denials []directory.Denial) ([]byte, error) {
	type key struct {
		subject, session string
	}
	d := document{Denials: []denial{}}
	sessions, seen := make(map[string]int), make(map[key]bool)
	for _, one := range denials {
		if at := (key{one.Subject, one.Session}); one.Session != "" && !seen[at] {
			seen[at] = true
			sessions[one.Subject]++
		}
	}
	// The newest of each key counts; it has the highest version.
	index := make(map[key]int)
	times := []int64{} // of the entries
	for _, one := range denials {
		at := key{one.Subject, one.Session}
		entry := denial{Subject: one.Subject, Session: one.Session, Version: int64(one.Version)}
		if until := one.Time.Add(clockMargin).Unix(); one.Session == "" && one.Version == 0 {
			entry.Until = until
		} else if one.Session != "" && sessions[one.Subject] > MaxSessions {
			at.session = " "
			entry = denial{Subject: one.Subject, Until: until}
		}
		i, ok := index[at]
		if !ok {
			i = len(d.Denials)
			index[at] = i
			d.Denials, times = append(d.Denials, denial{}), append(times, 0)
		}
		entry.Version, entry.Until = max(entry.Version, d.Denials[i].Version), max(entry.Until, d.Denials[i].Until)
		d.Denials[i], times[i] = entry, max(times[i], one.Time.Add(clockMargin).Unix())
	}
	if more := len(d.Denials) - MaxDenials; more > 0 {
		// An entry stands where its first denial was, and its time is that of its last.
		d.Until = slices.Max(times[:more])
		d.Denials = d.Denials[more:]
	}
	return json.Marshal(d)
}
