package telemetry

import "strings"

// Matches reports whether pattern, in which * matches any text, also none, matches all of
// name.
func Matches[S ~string](pattern string, name S) bool {
	first, rest, star := strings.Cut(pattern, "*")
	s := string(name)
	if !star {
		return pattern == s
	}
	if !strings.HasPrefix(s, first) {
		return false
	}
	s = s[len(first):]
	for {
		part, after, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(s, part)
		}
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s, rest = s[i+len(part):], after
	}
}
