package trail

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// The actions that are added up: what callers can repeat without limit is not an entry each.
// The table trail_sum_action has the same list.
const (
	// RefusedAccessToken, RefusedLogin and RefusedAssertion are failures of unknown callers.
	RefusedAccessToken Action = "access_token.refuse"
	RefusedLogin       Action = "session.refuse"
	RefusedAssertion   Action = "token.refuse"
	// RefusedAccess, RefreshedSession, RepeatedRefresh and GrantedToken are of callers who are known.
	RefusedAccess    Action = "access.refuse"
	RefreshedSession Action = "session.refresh"
	RepeatedRefresh  Action = "session.repeat"
	GrantedToken     Action = "token.grant"
)

// Summed are the actions that are added up, and whether their callers are known: the subjects of
// known callers are authenticated, and each has entries of its own. Failures of unknown
// callers become one entry per minute, wherever they come from.
func Summed() map[Action]bool {
	return map[Action]bool{
		RefusedAccessToken: false, RefusedLogin: false, RefusedAssertion: false,
		RefusedAccess: true, RefreshedSession: true, RepeatedRefresh: true, GrantedToken: true,
	}
}

// Known reports whether the callers of an action that is added up are known.
func (a Action) Known() bool { return Summed()[a] }

const (
	// MaxLines limits the lines of a report of unknown callers, those under Other included, and
	// the lines of a summed entry.
	MaxLines = 33
	// MaxKnownLines limits the lines of a report of known callers.
	MaxKnownLines = 257
	// MaxReportBytes limits an encoded report of unknown callers.
	MaxReportBytes = 24 << 10
	// Other is the reason of a line for occurrences without a line of their own.
	Other = "other"

	maxReasonBytes  = 96
	maxRouteBytes   = 128
	maxClaimBytes   = 64 // of a subject that is not authenticated, and of a key id
	maxSubjectBytes = 512
	maxIDBytes      = 64
)

// Occurrence is something to be added up: why, and the address and the route of the request.
// KeyID and Subject are what the caller claims, or, for an action of known callers, Subject is
// the authenticated subject, and Site the site that it is about, if any. Only Action and
// Reason are required.
type Occurrence struct {
	Action                                      Action
	Reason, Source, Route, KeyID, Subject, Site string
}

// Counter adds up occurrences. Count does not block, and nothing is lost unless the process
// is killed; the trail shows the sums within seconds after a quiet time, and after the action's
// interval otherwise.
type Counter interface{ Count(o Occurrence) }

// Line counts the occurrences that have the same attributes.
type Line struct {
	Reason string `json:"reason"`
	// Source is an IP address; empty if it is unknown or there are several.
	Source string `json:"source,omitempty"`
	Route  string `json:"route,omitempty"`
	// KeyID and Subject are unverified claims, unless the caller is known.
	KeyID   string `json:"kid,omitempty"`
	Subject string `json:"claimed_subject,omitempty"`
	Site    string `json:"site,omitempty"`
	// Number is at least 1.
	Number int64     `json:"number"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
}

// Line returns a line that counts o once, at a time. Its texts are cut and made plain; claims that
// are not plain are left out.
func (o *Occurrence) Line(at time.Time) Line {
	l := Line{
		Reason: cmp.Or(printable(o.Reason, maxReasonBytes), Other), Source: Address(o.Source), Route: printable(o.Route, maxRouteBytes),
		Number: 1, First: at, Last: at,
	}
	if o.Action.Known() {
		l.Subject, l.Site = printable(o.Subject, maxSubjectBytes), o.Site
	} else {
		l.KeyID, l.Subject = onlyPlain(o.KeyID), onlyPlain(o.Subject)
	}
	return l
}

// Report counts the occurrences of an action in a process and a period.
type Report struct {
	// ID identifies the report: a redelivery has the same. A summed entry has none.
	ID string `json:"id,omitempty"`
	// Action is left out in events: they report RefusedAccessToken.
	Action Action `json:"-"`
	// Number is the sum of the lines' numbers.
	Number int64     `json:"number"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
	Lines  []Line    `json:"refusals"`
}

// ParseReport reads a report of rejected access tokens, as it is sent in an event. The error
// wraps telemetry.ErrInvalid unless it is one that the authorizer could make.
func ParseReport(raw []byte) (Report, error) {
	r, err := ParseSum(raw, RefusedAccessToken)
	if err == nil && (r.ID == "" || !Plain(r.ID, maxIDBytes)) {
		err = invalid("no id")
	}
	return r, err
}

// ParseSum reads the detail of a summed entry: {"number","first","last","refusals":[lines]}.
// The error wraps telemetry.ErrInvalid.
func ParseSum(detail []byte, action Action) (Report, error) {
	if len(detail) > MaxReportBytes {
		return Report{}, invalid("%d bytes, want at most %d", len(detail), MaxReportBytes)
	}
	var r Report
	if err := json.Unmarshal(detail, &r); err != nil {
		return Report{}, fmt.Errorf("report: %w: %w", telemetry.ErrInvalid, err)
	}
	r.Action = action
	return r, r.check()
}

func (r *Report) check() error {
	if len(r.Lines) < 1 || len(r.Lines) > MaxLines {
		return invalid("%d lines, want 1 to %d", len(r.Lines), MaxLines)
	}
	if !ordered(r.First, r.Last) {
		return invalid("from %v to %v", r.First, r.Last)
	}
	left := r.Number
	for i := range r.Lines {
		l := &r.Lines[i]
		if err := l.check(); err != nil {
			return fmt.Errorf("line %d: %w", i, err)
		}
		if l.First.Before(r.First) || l.Last.After(r.Last) {
			return invalid("line %d is outside the period of the report", i)
		}
		if l.Number > left {
			return invalid("the lines sum to more than %d", r.Number)
		}
		left -= l.Number
	}
	if left != 0 {
		return invalid("the lines sum to %d less than %d", left, r.Number)
	}
	return nil
}

func (l *Line) check() error {
	switch {
	case l.Reason == "" || !Plain(l.Reason, maxReasonBytes):
		return invalid("no reason")
	case l.Source != "" && Address(l.Source) != l.Source:
		return invalid("source: not an address")
	case !Plain(l.Route, maxRouteBytes):
		return invalid("route: not plain")
	case !Plain(l.KeyID, maxClaimBytes) || !Plain(l.Subject, maxClaimBytes):
		return invalid("claims: not plain")
	case l.Site != "":
		return invalid("a site of unknown callers")
	case l.Number < 1:
		return invalid("number %d", l.Number)
	case !ordered(l.First, l.Last):
		return invalid("from %v to %v", l.First, l.Last)
	}
	return nil
}

// ordered reports whether first is not after last and both are plausible.
func ordered(first, last time.Time) bool {
	const from, to = 2000, 3000
	return first.Year() >= from && last.Year() < to && !last.Before(first)
}

// Plain reports whether s has at most limit characters, all of them printable ASCII and
// none of them used for quoting or markup.
func Plain(s string, limit int) bool {
	if len(s) > limit {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\', '<', '>', '&', '\'', '`':
			return false
		default:
			if c < ' ' || c > '~' {
				return false
			}
		}
	}
	return true
}

// printable returns s with each byte that is not plain replaced by a question mark, cut to
// limit bytes.
func printable(s string, limit int) string {
	if Plain(s, limit) {
		return s
	}
	var b strings.Builder
	for i := range min(len(s), limit) {
		if c := s[i : i+1]; Plain(c, 1) {
			b.WriteString(c)
		} else {
			b.WriteByte('?')
		}
	}
	return b.String()
}

// onlyPlain returns s, or "" if it is not plain.
func onlyPlain(s string) string {
	if Plain(s, maxClaimBytes) {
		return s
	}
	return ""
}

// Address returns the canonical form of an IP address, or "" if s is not one.
func Address(s string) string {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return ""
	}
	return a.Unmap().WithZone("").String()
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("report: %w: %s", telemetry.ErrInvalid, fmt.Sprintf(format, args...))
}
