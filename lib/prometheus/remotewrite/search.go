package remotewrite

import (
	"context"
	"net/http"
	"slices"
)

// unit is the least that a request can have: a sample, a histogram, or one series of the
// classic form of a histogram, of which classic is the index plus 1.
type unit struct {
	series, at, classic int
	carries             bool // the series' exemplars, which were in a rejected unit before it
}

func unitCount(parts []part) int {
	n := 0
	for _, p := range parts {
		n += p.to - p.from
	}
	return n
}

// unitsOf returns the samples and histograms of the parts.
func unitsOf(parts []part) []unit {
	units := make([]unit, 0, unitCount(parts))
	for _, p := range parts {
		for i := p.from; i < p.to; i++ {
			units = append(units, unit{series: p.series, at: i})
		}
	}
	return units
}

// join appends the units as parts, neighbours as one.
func join(parts []part, units []unit) []part {
	for _, u := range units {
		if n := len(parts); n > 0 && parts[n-1].series == u.series {
			last := &parts[n-1]
			if u.classic == 0 && last.hi == 0 && last.to == u.at {
				last.to++
				continue
			}
			if u.classic > 0 && last.hi == u.classic-1 && last.hi > 0 && last.from == u.at {
				last.hi++
				continue
			}
		}
		p := part{series: u.series, from: u.at, to: u.at + 1, carries: u.carries}
		if u.classic > 0 {
			p.lo, p.hi = u.classic-1, u.classic
		}
		parts = append(parts, p)
	}
	return parts
}

// search writes the units, of which the first n were sent in one request that the receiver
// rejected as a whole with the response r, and finds those that it rejects alone. Everything
// is sent in the order of the units, in requests whose size follows the distance between
// rejected units. It ends with the units or an error, and returns the units and how many of them
// are settled: a histogram may have become its classic series.
func (w *write) search(ctx context.Context, units []unit, n int, r *response) ([]unit, int, error) {
	c := w.client
	size := searchSize{samples: r.sent.total()}
	at, since := 0, 0 // since: units that were accepted since the last rejected one
	for {
		s := narrowing{w: w, units: units, lo: at, hi: at + n, rejected: *r}
		found, err := s.run(ctx)
		since += s.lo - at
		at, units = s.lo, s.units
		if err != nil {
			return units, at, err
		}
		if found {
			size.found(since)
			at++
			since = 0
		} else {
			size.samples = min(size.samples, c.size.limit(c.cfg.MaxSamples))
		}
		for {
			if at == len(units) {
				w.describe(ctx)
				return units, at, nil
			}
			n = c.fitUnits(w.series, units[at:], min(size.samples, c.size.limit(c.cfg.MaxSamples)))
			var next response
			if next, err = w.try(ctx, units[at:at+n], false); err != nil {
				return units, at, err
			}
			if next.whole() {
				r = &next
				break
			}
			at, since = at+n, since+n
			size.accepted(c.size.limit(c.cfg.MaxSamples))
		}
	}
}

// try sends the units in one request; bare without their exemplars. What was written or
// reported is counted, but not a rejection as a whole.
func (w *write) try(ctx context.Context, units []unit, bare bool) (response, error) {
	w.parts = join(w.parts[:0], units)
	if bare {
		for i := range w.parts {
			w.parts[i].bare = true
		}
	}
	r, err := w.client.deliver(ctx, w, w.parts, false)
	if err == nil && !r.whole() {
		w.written(w.parts, &r)
	}
	return r, err
}

// narrowing looks for the first unit that the receiver rejects alone, among units[lo:hi],
// which it rejected together.
type narrowing struct {
	w      *write
	units  []unit
	lo, hi int
	// rejected is the response to the last request that was rejected as a whole, and passed
	// the most samples of a request that was accepted since.
	rejected response
	passed   int
}

// run sends the first halves of what is left, so that each unit before lo is settled. It
// reports whether units[lo] is rejected, for a reason about it alone, which is then in the
// result. If nothing is, the request was too large for the receiver, or it decided otherwise.
func (s *narrowing) run(ctx context.Context) (found bool, err error) {
	w := s.w
	size := &w.client.size
	probe := size.isProbe(s.rejected.sent.total())
	for direct := true; ; { // direct: units[lo:hi] are the whole rejected request
		if direct && s.hi-s.lo == 1 {
			var expanded bool
			if expanded, found, err = s.alone(ctx); !expanded {
				return found, err
			}
		}
		if direct && s.rejected.status == http.StatusRequestEntityTooLarge {
			size.tooLarge(0, s.rejected.sent.total())
			return false, nil
		}
		middle := s.lo + max(1, (s.hi-s.lo)/2)
		if n := w.client.fitUnits(w.series, s.units[s.lo:s.hi], size.passed); probe && (n < s.hi-s.lo || !direct) {
			middle = s.lo + n // the size is to blame, if all is accepted in requests that passed
		}
		r, err := w.try(ctx, s.units[s.lo:middle], false)
		if err != nil {
			return false, err
		}
		if r.whole() {
			s.hi, s.rejected, s.passed, direct, probe = middle, r, 0, true, false
			continue
		}
		s.lo, s.passed, direct = middle, max(s.passed, r.sent.total()), false
		if s.lo == s.hi {
			size.tooLarge(s.passed, s.rejected.sent.total())
			return false, nil
		}
	}
}

// alone handles units[lo], which the receiver rejected alone. It reports whether the unit was a
// histogram, in whose place are now the series of its classic form, else whether it is rejected
// in the result. Without its exemplars it may be accepted; then lo is behind it.
func (s *narrowing) alone(ctx context.Context) (expanded, found bool, err error) {
	w, u := s.w, s.units[s.lo]
	series := &w.series[u.series]
	// Of a histogram some series may be good, unless its time is at fault, which all have.
	cause := causeOf(s.rejected.status, s.rejected.message)
	if u.classic == 0 && len(series.Histograms) > 0 && w.client.isClassic(&series.Histograms[u.at]) && cause != TooOld && cause != TooNew {
		s.units = slices.Delete(s.units, s.lo, s.hi)
		n := w.client.enc.classicLength(series, &series.Histograms[u.at])
		for i := range n {
			s.units = slices.Insert(s.units, s.lo+i, unit{u.series, u.at, i + 1, u.carries})
		}
		s.hi = s.lo + n
		return true, false, nil
	}
	if s.rejected.sent.exemplars > 0 {
		r, err := w.try(ctx, s.units[s.lo:s.hi], true)
		if err != nil {
			return false, false, err
		}
		if !r.whole() {
			s.lo++
			return false, false, nil
		}
		s.rejected = r
		if next := s.lo + 1; next < len(s.units) && s.units[next].series == u.series && u.classic == 0 {
			s.units[next].carries = true
		}
	}
	w.reject(join(nil, s.units[s.lo:s.hi])[0], &s.rejected)
	return false, true, nil
}

// describe sends the metadata that a receiver of 1.0 has not received because the requests
// with it were rejected. Whether it is accepted is of no consequence for the samples.
func (w *write) describe(ctx context.Context) {
	c := w.client
	if c.protocol != V1 || w.result.Samples == 0 {
		return
	}
	body, families := c.enc.metadata(w.series, c.dueFamilies())
	if len(families) == 0 {
		return
	}
	if r, err := c.attempt(ctx, w, body); err == nil && !r.retryable() {
		for _, family := range families {
			c.described[family] = c.cfg.Now()
		}
	}
}
