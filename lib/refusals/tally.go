package refusals

import (
	"strings"
	"time"
)

// tally counts rejections. A linear search of 33 lines is faster than hashing a key of five
// strings.
type tally struct {
	number int64
	// lines has at most MaxLines-1 lines: the last is other.
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
			l.count(now) // the last line of an address
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

// report returns the counts and resets t.
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

// printable returns s with each byte that is not plain replaced by a question mark, cut to
// limit bytes.
func printable(s string, limit int) string {
	if plain(s, limit) {
		return s
	}
	var b strings.Builder
	for i := range min(len(s), limit) {
		if c := s[i : i+1]; plain(c, 1) {
			b.WriteString(c)
		} else {
			b.WriteByte('?')
		}
	}
	return b.String()
}

// onlyPlain returns s, or "" if it is not plain.
func onlyPlain(s string) string {
	if plain(s, maxClaimBytes) {
		return s
	}
	return ""
}
