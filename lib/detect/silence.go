package detect

import (
	"math"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// checkSilence raises the no_data alarms that are due, and finds out when the next one is.
func (f *folder) checkSilence() {
	s := f.state
	s.due = math.MaxInt64
	for _, sr := range s.watched {
		for i := range sr.alarms {
			a := &sr.alarms[i]
			if a.silence == 0 || a.raised != none {
				continue
			}
			end := sr.silentAt(a)
			if end >= s.clock {
				s.due = min(s.due, end)
				continue
			}
			a.raised, a.since = above, end
			f.found = append(f.found, sr.ruleAnomaly(a.rule, end, nil, a.message(above, 0, 0)))
		}
	}
}

// silentAt returns the end of the allowed silence of a series. An alarm never is of a time
// before its rule.
func (sr *series) silentAt(a *alarm) telemetry.Micros {
	from := sr.arrival
	if a.ignoreBad {
		from = sr.useful
	}
	return max(from+a.silence, a.changed, a.notBefore)
}

// arrived ends the no_data alarms of a series; useful says that an event has a usable value
// and another time than the one before.
func (f *folder) arrived(sr *series, useful bool) {
	s := f.state
	for i := range sr.alarms {
		a := &sr.alarms[i]
		if a.silence == 0 || a.ignoreBad && !useful {
			continue
		}
		s.end(sr, a, s.clock, directory.EndCleared)
		s.due = min(s.due, s.clock+a.silence)
	}
}

// expect adds the series that a no_data rule of the shard's gateways names and that the
// state does not have: they never reported, and are silent, too. Their silence begins with
// the rule or, if that is older than the shard has known of it, now: it may be another
// state that knew of their events. It does so once for each configuration, and not before
// the first record.
func (s *State) expect() {
	if s.expected == s.config || !s.hashesKnown || s.clock == 0 {
		return
	}
	s.expected = s.config
	for _, one := range s.config.expected {
		key := one.ruleKey
		if !s.hashes.Contains(string(key.gateway)) {
			continue
		}
		g := s.byName[key.gateway]
		if g == nil {
			if len(s.gateways) >= s.limits.Series {
				s.dropped++
				continue
			}
			g = &gateway{name: key.gateway, site: key.site}
			s.add(g)
		}
		if g.site != key.site {
			continue // the rule does not apply to it
		}
		switch sr := s.admit(g, key.device, key.metric); {
		case sr == &s.overLimit:
			s.dropped++
		case sr.arrival == 0:
			from := one.changed
			if s.clock-from > settled {
				from = s.clock
			}
			sr.arrival, sr.useful = from, from
		}
		g.tableOf = nil
	}
	s.due = 0 // checkSilence finds the next one
}
