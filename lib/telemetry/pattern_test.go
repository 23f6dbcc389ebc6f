package telemetry_test

import (
	"testing"

	"github.com/insighthub/insighthub/lib/telemetry"
)

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"*", "", true},
		{"*", "a", true},
		{"", "", true},
		{"", "a", false},
		{"a", "a", true},
		{"a", "ab", false},
		{"a*", "ab", true},
		{"a*", "b", false},
		{"*b", "ab", true},
		{"*b", "abc", false},
		{"a*c", "abc", true},
		{"a*c", "ac", true},
		{"a*a", "a", false},
		{"a*b*c", "aXbYc", true},
		{"a*b*c", "acb", false},
		{"*ab*ab", "ab", false},
		{"*ab*ab", "abab", true},
		{"**", "x", true},
		{"press[1]*", "press[1]-7", true},
		{"*a", "aa", true},
	} {
		if got := telemetry.Matches(c.pattern, c.s); got != c.want {
			t.Errorf("Matches(%q, %q) = %v", c.pattern, c.s, got)
		}
	}
}
