package audit

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Widths of the table's columns, in characters.
const (
	checkWidth = 34
	foundWidth = 62
)

// WriteTable writes the report as a table: a line for each finding, and a summary.
func (r Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Self-check of %s, %s\n\n", printable(r.Target), r.Started.UTC().Format(time.RFC3339))
	row(&b, "CHECK", "RESULT", "FOUND", "WHAT TO DO")
	for _, f := range r.Findings {
		row(&b, printable(f.Check), string(f.Result), printable(f.Found), printable(f.Todo))
	}
	fmt.Fprintf(&b, "\n%s: %d pass, %d warn, %d fail in %.1f s\n", r.Result, r.Counts[Pass], r.Counts[Warn], r.Counts[Fail], r.Seconds)
	_, err := io.WriteString(w, b.String())
	return err
}

// row writes cells; a text that is too wide for its column is wrapped.
func row(b *strings.Builder, check, result, found, todo string) {
	checks, founds, todos := wrap(check, checkWidth), wrap(found, foundWidth), wrap(todo, foundWidth)
	for i := range max(len(checks), len(founds), len(todos)) {
		line := pad(at(checks, i), checkWidth) + pad(at([]string{result}, i), 6) + pad(at(founds, i), foundWidth) + at(todos, i)
		b.WriteString(strings.TrimRight(line, " "))
		b.WriteByte('\n')
	}
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

// pad pads s to the width of its column and the gap behind it.
func pad(s string, width int) string {
	return s + strings.Repeat(" ", 2+max(0, width-utf8.RuneCountInString(s)))
}

// wrap breaks a text at spaces, and a word that is too long at the width.
func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(s) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines, line = append(lines, line), ""
		}
		for utf8.RuneCountInString(word) > width {
			runes := []rune(word)
			lines, word = append(lines, string(runes[:width])), string(runes[width:])
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// printable replaces control characters: the text comes from a server and goes to a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
