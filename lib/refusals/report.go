package refusals

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

const (
	// MaxLines limits the lines of a report, those under Other included.
	MaxLines = 33
	// MaxLinesOfSource limits the lines of an address, not counting Other.
	MaxLinesOfSource = 4
	// MaxReportBytes limits an encoded report.
	MaxReportBytes = 24 << 10
	// Other is the reason of a line for rejections without a line of their own.
	Other = "other"
	// Action is the action of the entries.
	Action trail.Action = "access_token.refuse"
	// object is the object of the entries.
	object = "access_tokens"

	maxReasonBytes = 96
	maxRouteBytes  = 128
	maxClaimBytes  = 64
	maxIDBytes     = 64
)

// Refusal is one rejected token: the reason, the address and the route of the request, and
// the claimed key id and subject, which may be empty.
type Refusal struct{ Reason, Source, Route, KeyID, Subject string }

// Line counts the rejections that have the same attributes.
type Line struct {
	Reason string `json:"reason"`
	// Source is an IP address; empty if it is unknown or there are several.
	Source string `json:"source,omitempty"`
	Route  string `json:"route,omitempty"`
	// KeyID and Subject are unverified claims.
	KeyID   string `json:"kid,omitempty"`
	Subject string `json:"claimed_subject,omitempty"`
	// Number is at least 1.
	Number int64     `json:"number"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
}

// Report counts the rejected tokens of a period. It is the detail of an event, and of its
// entry in the trail.
type Report struct {
	// ID identifies the report: a redelivery has the same.
	ID string `json:"id"`
	// Number is the sum of the lines' numbers.
	Number int64     `json:"number"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
	Lines  []Line    `json:"refusals"`
}

// ParseReport reads a report. The error wraps telemetry.ErrInvalid unless it is one that a
// Collector could make: nothing else is written to the trail.
func ParseReport(raw []byte) (Report, error) {
	if len(raw) > MaxReportBytes {
		return Report{}, invalid("%d bytes, want at most %d", len(raw), MaxReportBytes)
	}
	var r Report
	if err := json.Unmarshal(raw, &r); err != nil {
		return Report{}, fmt.Errorf("report of rejected tokens: %w: %w", telemetry.ErrInvalid, err)
	}
	return r, r.check()
}

func (r *Report) check() error {
	if r.ID == "" || !plain(r.ID, maxIDBytes) {
		return invalid("no id")
	}
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
	case l.Reason == "" || !plain(l.Reason, maxReasonBytes):
		return invalid("no reason")
	case l.Source != "" && addressOf(l.Source) != l.Source:
		return invalid("source: not an address")
	case !plain(l.Route, maxRouteBytes):
		return invalid("route: not plain")
	case !plain(l.KeyID, maxClaimBytes) || !plain(l.Subject, maxClaimBytes):
		return invalid("claims: not plain")
	case l.Number < 1:
		return invalid("number %d", l.Number)
	case !ordered(l.First, l.Last):
		return invalid("from %v to %v", l.First, l.Last)
	}
	return nil
}

// Entry returns the report as an entry of the trail, with the time of the last rejection.
// It has no actor, since nobody was authenticated.
func (r *Report) Entry() (trail.Entry, error) {
	detail, err := json.Marshal(r)
	if err != nil {
		return trail.Entry{}, fmt.Errorf("report of rejected tokens: %w", err)
	}
	return trail.Entry{Time: telemetry.MicrosOf(r.Last), Action: Action, Object: object, Detail: string(detail)}, nil
}

// ordered reports whether first is not after last and both are plausible.
func ordered(first, last time.Time) bool {
	const from, to = 2000, 3000
	return first.Year() >= from && last.Year() < to && !last.Before(first)
}

// plain reports whether s has at most limit characters, all of them printable ASCII and
// none of them used for quoting or markup.
func plain(s string, limit int) bool {
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

// addressOf returns the canonical form of an IP address, or "" if s is not one.
func addressOf(s string) string {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return ""
	}
	return a.Unmap().WithZone("").String()
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("report of rejected tokens: %w: %s", telemetry.ErrInvalid, fmt.Sprintf(format, args...))
}
