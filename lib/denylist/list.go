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
	// MaxDenials is how many denials a list may have. Beyond it the oldest are replaced by a
	// time: all tokens that were issued until then are denied.
	MaxDenials = 4096
	// MaxSessions is how many ended sessions of one subject are listed, the newest: three a
	// second for as long as their tokens live. If the list is full it is fewer, down to
	// minSessions, so that nobody takes the places of others by logging out.
	MaxSessions = 2048
	minSessions = 16
	// clockMargin is by how much the clocks of the database and of the functions that issue
	// tokens may differ where a denial is a time.
	clockMargin = 2 * time.Second
	// foldMargin is how long after a denial a token that it denies may be issued: by a refresh
	// that read the account before, and signs its token after. By session or version such a
	// token is denied anyhow; a time that replaces a denial has to include it.
	foldMargin = 10 * time.Second
	// listed is for how long an ended session is listed in any case, counted back from the
	// newest one of its subject. It is longer than foldMargin and the difference of clocks: so a
	// time that replaces sessions is before the newest logout, and a token that is issued after
	// that is accepted. The throttles of the routes bound how many sessions can end meanwhile.
	listed = foldMargin + 2*clockMargin + time.Second
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
	// until denies every token that was issued until then, in seconds since the Unix epoch.
	until    int64
	subjects map[string]*subject
}

// subject is what is denied of one subject.
type subject struct {
	version, until int64
	sessions       map[string]bool
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
	s := l.subjects[t.Subject]
	return s != nil && (t.Version < s.version || s.until > 0 && t.Issued <= s.until || s.sessions[t.Session])
}

// parse reads an object. The error wraps telemetry.ErrInvalid.
func parse(raw []byte) (*List, error) {
	var d document
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, fmt.Errorf("deny list: %w: %w", telemetry.ErrInvalid, err)
	}
	l := &List{until: d.Until, subjects: make(map[string]*subject, len(d.Denials))}
	for _, one := range d.Denials {
		s := l.subjects[one.Subject]
		if s == nil {
			s = &subject{sessions: make(map[string]bool)}
			l.subjects[one.Subject] = s
		}
		s.version, s.until = max(s.version, one.Version), max(s.until, one.Until)
		if one.Session != "" {
			s.sessions[one.Session] = true
		}
	}
	return l, nil
}

// encode returns the object for the denials, which are in the order of their times. It
// depends on them alone, so that publishing twice changes nothing.
func encode(denials []directory.Denial) ([]byte, error) {
	entries := merge(denials)
	kept := fold(entries, MaxSessions)
	for most := MaxSessions / 2; len(kept) > MaxDenials && most >= minSessions; most /= 2 {
		kept = fold(entries, most)
	}
	d := document{Denials: []denial{}}
	if more := len(kept) - MaxDenials; more > 0 {
		d.Until = kept[more-1].time.Add(foldMargin).Unix()
		kept = kept[more:]
	}
	for _, e := range kept {
		d.Denials = append(d.Denials, e.denial)
	}
	return json.Marshal(d)
}

// entry is a denial and the time of the last row that it stands for.
type entry struct {
	denial
	time time.Time
}

// merge returns the entries of the rows, one for each subject and session, in the order of
// their times.
func merge(rows []directory.Denial) []entry {
	type key struct{ subject, session string }
	index := make(map[key]int, len(rows))
	entries := make([]entry, 0, len(rows))
	for _, row := range rows {
		e := entry{denial{Subject: row.Subject, Session: row.Session, Version: int64(row.Version)}, row.Time}
		if row.Session == "" && row.Version == 0 {
			e.Until = row.Time.Add(clockMargin).Unix()
		}
		at := key{row.Subject, row.Session}
		i, ok := index[at]
		if !ok {
			index[at] = len(entries)
			entries = append(entries, e)
			continue
		}
		old := &entries[i]
		old.Version, old.Until = max(old.Version, e.Version), max(old.Until, e.Until)
		if e.time.After(old.time) {
			old.time = e.time
		}
	}
	sortByTime(entries)
	return entries
}

func sortByTime(entries []entry) {
	slices.SortStableFunc(entries, func(a, b entry) int { return a.time.Compare(b.time) })
}

// fold returns the entries with the newest sessions of each subject, at least most of them if
// it has so many. One entry denies the tokens of the others by the time when the last of them
// ended.
func fold(entries []entry, most int) []entry {
	sessions := make(map[string]int)
	newest := make(map[string]time.Time)
	for _, e := range entries {
		if e.Session != "" {
			sessions[e.Subject]++
			newest[e.Subject] = e.time
		}
	}
	kept := make([]entry, 0, len(entries))
	folded := make(map[string]int) // the index in kept
	for _, e := range entries {
		if e.Session == "" {
			kept = append(kept, e)
			continue
		}
		more := sessions[e.Subject] > most
		sessions[e.Subject]--
		if !more || newest[e.Subject].Sub(e.time) < listed {
			kept = append(kept, e)
			continue
		}
		until := entry{denial{Subject: e.Subject, Until: e.time.Add(foldMargin).Unix()}, e.time}
		if i, ok := folded[e.Subject]; ok {
			kept[i] = until
			continue
		}
		folded[e.Subject] = len(kept)
		kept = append(kept, until)
	}
	sortByTime(kept)
	return kept
}
