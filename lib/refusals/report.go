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
	// MaxLines is the most lines of a report, those under Other included.
	MaxLines = 33
	// MaxLinesOfSource is the most of an address, before Other.
	MaxLinesOfSource = 4
	// MaxReportBytes is the most that an encoded report has.
	MaxReportBytes = 24 << 10
	// Other is the reason of a line that adds up what found no line of its own.
	Other = "other"
	// Action is that of the entries.
	Action trail.Action = "access_token.refuse"
	// object is that of the entries.
	object = "access_tokens"

	maxReasonBytes = 96
	maxRouteBytes  = 128
	maxClaimBytes  = 64
	maxIDBytes     = 64
)

// Refusal is one refused token: why, the address and the route of the request, and
// what it claimed about its key and its subject; both may be empty.
type Refusal struct{ Reason, Source, Route, KeyID, Subject string }

// Line is a sum of like refusals.
type Line struct {
	Reason string `json:"reason"`
	// Source is an IP address, or empty where it is not known or there are several.
	Source string `json:"source,omitempty"`
	Route  string `json:"route,omitempty"`
	// KeyID and Subject are claims that nothing proves.
	KeyID   string `json:"kid,omitempty"`
	Subject string `json:"claimed_subject,omitempty"`
	// Number is at least 1.
	Number int64     `json:"number"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
}

// Report is what was refused in a time. It is the detail of an event, and of its entry
// in the trail.
type Report struct {
	// ID is the same when a report comes again.
	ID string `json:"id"`
	// Number is the sum of the lines' numbers.
	Number int64     `json:"number"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
	Lines  []Line    `json:"refusals"`
}

// ParseReport reads a report. The error wraps telemetry.ErrInvalid when it is none that
// a Collector makes: the trail takes no other texts.
func ParseReport(raw []byte) (Report, error) {
	if len(raw) > MaxReportBytes {
		return Report{}, invalid("%d bytes, want at most %d", len(raw), MaxReportBytes)
	}
	var r Report
	if err := json.Unmarshal(raw, &r); err != nil {
		return Report{}, fmt.Errorf("report of refusals: %w: %w", telemetry.ErrInvalid, err)
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
			return invalid("line %d is of another time", i)
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

// Entry is the report's place in the trail: of the time of the last refusal, and of
// nobody, since nothing was proved.
func (r *Report) Entry() (trail.Entry, error) {
	detail, err := json.Marshal(r)
	if err != nil {
		return trail.Entry{}, fmt.Errorf("report of refusals: %w", err)
	}
	return trail.Entry{Time: telemetry.MicrosOf(r.Last), Action: Action, Object: object, Detail: string(detail)}, nil
}

// ordered holds for times of this age that the trail can hold.
func ordered(first, last time.Time) bool {
	const from, to = 2000, 3000
	return first.Year() >= from && last.Year() < to && !last.Before(first)
}

// plain holds for up to most printable characters of ASCII without those that quote or
// mark up.
func plain(s string, most int) bool {
	if len(s) > most {
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

// addressOf returns the address in its one spelling, or nothing if it is none.
func addressOf(s string) string {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return ""
	}
	return a.Unmap().WithZone("").String()
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("report of refusals: %w: %s", telemetry.ErrInvalid, fmt.Sprintf(format, args...))
}
