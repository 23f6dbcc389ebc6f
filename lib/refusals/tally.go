package refusals

import (
	"strings"
	"time"
)

// tally adds refusals up. It is read from one end to the other: 33 lines are compared
// faster than a key of five texts is hashed.
type tally struct {
	number int64
	// lines has room for one line less than MaxLines: the last is that of no address.
	lines []Line
	other Line
}

func (t *tally) add(r Refusal, now time.Time) {
	t.number++
	r = Refusal{
		Reason: printable(r.Reason, maxReasonBytes), Source: addressOf(r.Source), Route: printable(r.Route, maxRouteBytes),
		KeyID: onlyPlain(r.KeyID), Subject: onlyPlain(r.Subject),
	}
	if r.Reason == "" {
		r.Reason = Other
	}
	ofSource := 0
	for i := range t.lines {
		l := &t.lines[i]
		if l.Source != r.Source {
			continue
		}
		if l.Reason == r.Reason && l.Route == r.Route && l.KeyID == r.KeyID && l.Subject == r.Subject {
			l.count(now)
			return
		}
		if ofSource++; l.Reason == Other && l.Route == "" {
			l.count(now) // the last that an address gets
			return
		}
	}
	if ofSource == MaxLinesOfSource {
		r = Refusal{Reason: Other, Source: r.Source}
	}
	if len(t.lines) == MaxLines-1 {
		if t.other.Number == 0 {
			t.other = Line{Reason: Other, First: now}
		}
		t.other.count(now)
		return
	}
	t.lines = append(t.lines, Line{Reason: r.Reason, Source: r.Source, Route: r.Route, KeyID: r.KeyID, Subject: r.Subject, First: now})
	t.lines[len(t.lines)-1].count(now)
}

func (l *Line) count(now time.Time) {
	l.Number++
	if now.After(l.Last) {
		l.Last = now
	}
	if now.Before(l.First) { // a clock that was set back
		l.First = now
	}
}

// report empties t into a report.
func (t *tally) report(id string) Report {
	r := Report{ID: id, Number: t.number, Lines: t.lines}
	if t.other.Number > 0 {
		r.Lines = append(r.Lines, t.other)
	}
	for i := range r.Lines {
		l := &r.Lines[i]
		if r.First.IsZero() || l.First.Before(r.First) {
			r.First = l.First
		}
		if l.Last.After(r.Last) {
			r.Last = l.Last
		}
	}
	*t = tally{}
	return r
}

// printable is s with a question mark for each byte that is not plain, cut to most.
func printable(s string, most int) string {
	if plain(s, most) {
		return s
	}
	var b strings.Builder
	for i := range min(len(s), most) {
		if c := s[i : i+1]; plain(c, 1) {
			b.WriteString(c)
		} else {
			b.WriteByte('?')
		}
	}
	return b.String()
}

// onlyPlain is s, or nothing if it is not plain.
func onlyPlain(s string) string {
	if plain(s, maxClaimBytes) {
		return s
	}
	return ""
}
