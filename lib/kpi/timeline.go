package kpi

import "slices"

// segment is a sequence of readings of a state or counter with the same value, from the
// first to the last of them, as offsets from the window's start. The segments and the
// set of the series' times together restore all readings, so that a later one may be
// inserted between any two.
type segment struct {
	first, last uint32
	value       float64
}

// timeline is the segments of one window, in order of time.
type timeline []segment

// put adds a reading whose time is in times. It returns false if the timeline was full,
// so that the reading replaced the previous one or was dropped.
func (l *timeline) put(at uint32, value float64, times *timeSet, maxSegments int) bool {
	s := *l
	n := len(s)
	if n == 0 || at > s[n-1].last {
		switch {
		case n > 0 && s[n-1].value == value:
			s[n-1].last = at
		case n >= maxSegments:
			s[n-1] = segment{at, at, value}
			return false
		default:
			*l = append(s, segment{at, at, value})
		}
		return true
	}
	// The first segment that does not end before at.
	i, _ := slices.BinarySearchFunc(s, at, func(s segment, at uint32) int { return int(int64(s.last) - int64(at)) })
	switch {
	case s[i].value == value:
		s[i].first = min(s[i].first, at)
		return true
	case at < s[i].first && i > 0 && s[i-1].value == value:
		s[i-1].last = at
		return true
	case n+2 > maxSegments:
		return false
	case at < s[i].first:
		*l = slices.Insert(s, i, segment{at, at, value})
		return true
	}
	before, after := times.neighbours(at)
	parts := make([]segment, 0, 3)
	if s[i].first < at {
		parts = append(parts, segment{s[i].first, before, s[i].value})
	}
	parts = append(parts, segment{at, at, value})
	if s[i].last > at {
		parts = append(parts, segment{after, s[i].last, s[i].value})
	}
	*l = slices.Replace(s, i, i+1, parts...)
	return true
}
