package kpi

import "slices"

// run is an arithmetic run of n times from first on, with a difference of step, as
// offsets from the window's start in µs.
type run struct{ first, step, n uint32 }

func (r run) contains(at uint32) bool {
	if at < r.first {
		return false
	}
	if r.n == 1 {
		return at == r.first
	}
	d := at - r.first
	return d%r.step == 0 && d/r.step < r.n
}

// at returns time i of the run.
func (r run) at(i uint32) uint32 { return r.first + r.step*i }

// extend adds at if it is the next time of the run.
func (r *run) extend(at uint32) bool {
	switch {
	case r.n == 1:
		if at <= r.first {
			return false
		}
		r.step = at - r.first
	case uint64(at) != uint64(r.first)+uint64(r.step)*uint64(r.n):
		return false
	}
	r.n++
	return true
}

// timeSet is the set of times of a series in one window, as disjoint runs. Regular
// sampling is one run however long it lasts.
type timeSet struct {
	runs []run
	max  uint32
	// full says that no run is added any more, so a time outside the runs may be a duplicate.
	full bool
}

// addition is the outcome of adding a time.
type addition uint8

const (
	added      addition = iota
	duplicate           // it was in the set
	unverified          // the set is full: it may be a duplicate
)

// add adds a time to a set of at most maxRuns runs.
func (s *timeSet) add(at uint32, maxRuns int) addition {
	n := len(s.runs)
	if n > 0 {
		if at > s.max {
			if s.runs[n-1].extend(at) {
				s.max = at
				return added
			}
		} else if s.has(at) {
			return duplicate
		}
	}
	return s.insert(at, maxRuns)
}

func (s *timeSet) has(at uint32) bool {
	for _, r := range slices.Backward(s.runs) {
		if r.contains(at) {
			return true
		}
	}
	return false
}

// insert adds a time that no run contains.
func (s *timeSet) insert(at uint32, maxRuns int) addition {
	if at < s.max {
		for i := range s.runs {
			r := &s.runs[i]
			if r.n == 1 {
				continue
			}
			if r.extend(at) {
				return added
			}
			if uint64(at)+uint64(r.step) == uint64(r.first) {
				r.first, r.n = at, r.n+1
				return added
			}
		}
	}
	if len(s.runs) >= maxRuns && !s.full {
		s.compact()
		s.full = len(s.runs) > maxRuns-maxRuns/8
	}
	s.max = max(s.max, at)
	if s.full {
		return unverified
	}
	s.runs = append(s.runs, run{first: at, n: 1})
	return added
}

// compact merges runs by a single greedy pass over the sorted times.
func (s *timeSet) compact() {
	times := s.list()
	s.runs = s.runs[:0]
	for _, at := range times {
		if n := len(s.runs); n == 0 || !s.runs[n-1].extend(at) {
			s.runs = append(s.runs, run{first: at, n: 1})
		}
	}
}

// list returns the times in order.
func (s *timeSet) list() (all []uint32) {
	for _, r := range s.runs {
		for i := range r.n {
			all = append(all, r.at(i))
		}
	}
	slices.Sort(all)
	return all
}

// from returns the first time that is not before at, or last if there is none.
func (s *timeSet) from(at, last uint32) uint32 {
	if s.has(at) {
		return at
	}
	if _, after := s.neighbours(at); after != at {
		return min(after, last)
	}
	return last
}

// neighbours returns the last time before at and the first after it, or at itself if
// there is no such time.
func (s *timeSet) neighbours(at uint32) (before, after uint32) {
	before, after = at, at
	for _, r := range s.runs {
		last := r.at(r.n - 1)
		b, a := last, r.first
		if r.n > 1 && at > r.first && at <= last {
			b = r.at((at - 1 - r.first) / r.step)
		}
		if r.n > 1 && at >= r.first && at < last {
			a = r.at((at-r.first)/r.step + 1)
		}
		if b < at && (before == at || b > before) {
			before = b
		}
		if a > at && (after == at || a < after) {
			after = a
		}
	}
	return before, after
}
