package refusals

import (
	"time"

	"github.com/insighthub/insighthub/lib/trail"
)

// tally counts occurrences of one action. A linear search of 33 lines is faster than hashing a
// key of six strings; a report of known callers rarely has more.
type tally struct {
	number int64
	// lines has at most maxLines-1 lines: the last is other.
	lines []Line
	other Line
}

func maxLines(action trail.Action) int {
	if action.Known() {
		return trail.MaxKnownLines
	}
	return MaxLines
}

// full reports whether the next new line may not find a place: known callers are reported
// before they are summed up without their names.
func (t *tally) full(action trail.Action) bool {
	return action.Known() && len(t.lines) >= trail.MaxKnownLines-MaxLines
}

func (t *tally) add(o *trail.Occurrence, now time.Time) {
	t.number++
	known, wanted := o.Action.Known(), o.Line(now)
	ofCaller := 0
	for i := range t.lines {
		l := &t.lines[i]
		if known && (l.Subject != wanted.Subject || l.Site != wanted.Site) || !known && l.Source != wanted.Source {
			continue
		}
		if l.Reason == wanted.Reason && l.Route == wanted.Route && l.KeyID == wanted.KeyID && l.Subject == wanted.Subject &&
			l.Source == wanted.Source {
			countLine(l, now)
			return
		}
		if ofCaller++; l.Reason == Other && l.Route == "" {
			countLine(l, now) // the last line of an address, or of a known caller
			return
		}
	}
	if ofCaller == MaxLinesOfSource {
		if known {
			wanted = Line{Reason: Other, Subject: wanted.Subject, Site: wanted.Site}
		} else {
			wanted = Line{Reason: Other, Source: wanted.Source}
		}
	}
	if len(t.lines) == maxLines(o.Action)-1 {
		if t.other.Number == 0 {
			t.other = Line{Reason: Other, First: now}
		}
		countLine(&t.other, now)
		return
	}
	wanted.First, wanted.Last, wanted.Number = now, now, 1
	t.lines = append(t.lines, wanted)
}

func countLine(l *Line, now time.Time) {
	l.Number++
	if now.After(l.Last) {
		l.Last = now
	}
	if now.Before(l.First) { // a clock that was set back
		l.First = now
	}
}

// report returns the counts and resets t.
func (t *tally) report(id string, action trail.Action) Report {
	r := Report{ID: id, Action: action, Number: t.number, Lines: t.lines}
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
