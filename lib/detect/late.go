package detect

import (
	"cmp"
	"slices"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// past is what an alarm remembers in order to judge late values.
type past struct {
	// episodes are the last ones, live or late: values in them are known.
	episodes []episode
	// values are the last late ones of this occasion, in the order of their times; the last
	// of them arrived at arrival.
	values  []lateValue
	arrival telemetry.Micros
}

// episode is a time in which an alarm was active; both ends are included.
type episode struct {
	side side
	// since is the time of its anomaly: for a late one that of the value that was judged first.
	since, from, to telemetry.Micros
	late            bool
	// ending is the index of its end among the ends of this invocation, plus 1.
	ending int
}

// lateValue is a late value and the limit that it is beyond.
type lateValue struct {
	point
	side side
}

const (
	// maxEpisodes bounds what is remembered for an alarm, and maxLate its late values.
	maxEpisodes, maxLate = 16, 16
	// lateRun is the greatest time between the arrivals of the late values of one excursion.
	lateRun = telemetry.Micros(time.Minute / time.Microsecond)
)

func (e *episode) contains(s side, at telemetry.Micros) bool {
	return e.side == s && at >= e.from && at <= e.to
}

// live reports whether a value beyond the limit is of an alarm that was not raised by late
// values: a gateway sends a batch again if it has not received the response. So does another
// value of the time of an alarm, whose event the database refuses.
func (a *alarm) live(s side, at telemetry.Micros) bool {
	if a.raised == s && at >= a.since || a.raised != none && at == a.since {
		return true
	}
	return a.past != nil && slices.ContainsFunc(a.past.episodes, func(e episode) bool {
		return !e.late && (e.contains(s, at) || at == e.since)
	})
}

// used reports whether an alarm of this time was raised: after a clock was set back another
// value may have it. The next value beyond the limit raises the alarm.
func (a *alarm) used(at telemetry.Micros) bool {
	return a.past != nil && slices.ContainsFunc(a.past.episodes, func(e episode) bool { return e.since == at })
}

func (a *alarm) remember(e episode) {
	if a.past == nil {
		a.past = &past{}
	}
	p := a.past
	p.episodes = append(p.episodes, e)
	p.episodes = slices.Delete(p.episodes, 0, max(0, len(p.episodes)-maxEpisodes))
}

// late judges a value that is older than the newest of its series. It changes neither the
// alarms that are active nor what the next value in order is compared with.
func (f *folder) late(sr *series, t telemetry.Micros, value float64) {
	for i := range sr.alarms {
		if a := &sr.alarms[i]; a.kind == directory.ByThreshold || a.kind == directory.ByRate {
			f.lateAlarm(sr, a, point{t, value, true})
		}
	}
}

func (f *folder) lateAlarm(sr *series, a *alarm, v point) {
	if a.past == nil {
		a.past = &past{}
	}
	p, arrival := a.past, f.state.clock
	if arrival-p.arrival > lateRun { // values of another occasion
		p.values = p.values[:0]
	}
	p.arrival = arrival
	i, known := slices.BinarySearchFunc(p.values, v.at, func(x lateValue, at telemetry.Micros) int { return cmp.Compare(x.at, at) })
	if known {
		return
	}
	p.values = slices.Insert(p.values, i, lateValue{point: v})
	if n := len(p.values); n > maxLate && i < n/2 {
		p.values = p.values[:n-1]
	} else if n > maxLate {
		p.values = slices.Delete(p.values, 0, 1)
		i--
	}
	if a.kind == directory.ByThreshold {
		p.values[i].side = a.threshold(none, v.value)
		f.excursion(sr, a, i, above)
		f.excursion(sr, a, i, below)
		return
	}
	for j := i; j < min(i+2, len(p.values)); j++ { // the value changes what the next one is compared with
		p.values[j].side = none
		if p.rate(a, j) > a.perSecond {
			p.values[j].side = above
			f.excursion(sr, a, j, above)
		}
	}
}

// rate returns the change per second to value i.
func (p *past) rate(a *alarm, i int) float64 {
	if i == 0 {
		return 0
	}
	return p.values[i-1].perSecond(p.values[i].at, p.values[i].value, a.minInterval)
}

// excursion finds the excursion of which value i is, in the order of times, in whatever order
// its values arrived. It raises its alarm, or extends it.
func (f *folder) excursion(sr *series, a *alarm, i int, s side) {
	p := a.past
	beyond := func(v *lateValue) bool { // or not inside by the hysteresis
		return (v.side == s || a.kind == directory.ByThreshold && a.threshold(s, v.value) == s) && !a.live(s, v.at)
	}
	of := -1 // the episode
	belongs := func(j int) bool {
		if j < 0 || j >= len(p.values) || !beyond(&p.values[j]) {
			return false
		}
		other := slices.IndexFunc(p.episodes, func(e episode) bool { return e.late && e.contains(s, p.values[j].at) })
		if of < 0 {
			of = other
		}
		return other < 0 || other == of
	}
	if !belongs(i) {
		return
	}
	first, last := i, i
	for belongs(first - 1) {
		first--
	}
	for belongs(last + 1) {
		last++
	}
	for first <= last && p.values[first].side != s {
		first++ // it is of the hysteresis before the excursion
	}
	if first > last {
		return
	}
	if v := &p.values[i]; of < 0 {
		if v.side != s || a.used(v.at) {
			return
		}
		a.remember(episode{side: s, since: v.at, from: v.at, to: v.at, late: true})
		of = len(p.episodes) - 1
		found := sr.ruleAnomaly(a.rule, v.at, &v.value, a.message(s, v.value, p.rate(a, i)))
		found.Lag, _ = lag(v.at, f.state.clock)
		found.Late, found.EndedAt, found.EndReason = true, v.at, directory.EndPast
		f.found = append(f.found, found)
	}
	e := &p.episodes[of]
	if from, to := p.values[first], p.values[last].at; from.at < e.from || to > e.to {
		f.extend(sr, a, e, from, to, p.rate(a, first))
	}
}

// extend moves the begin and the end of a late anomaly; rate is that of its first value.
func (f *folder) extend(sr *series, a *alarm, e *episode, first lateValue, to telemetry.Micros, rate float64) {
	ended := &f.state.ended
	end := sr.ruleAnomaly(a.rule, e.since, nil, "")
	if first.at < e.from {
		end.Value, end.Message = &first.value, a.message(e.side, first.value, rate)
	}
	e.from, e.to = min(e.from, first.at), max(e.to, to)
	end.Late, end.BeganAt, end.EndedAt, end.EndReason = true, e.from, e.to, directory.EndPast
	if i := e.ending - 1; i >= 0 && i < len(*ended) && same(&(*ended)[i], &end) {
		if end.Value == nil {
			end.Value, end.Message = (*ended)[i].Value, (*ended)[i].Message
		}
		(*ended)[i] = end
		return
	}
	*ended = append(*ended, end)
	e.ending = len(*ended)
}

func same(a, b *directory.Anomaly) bool {
	return a.Gateway == b.Gateway && a.Device == b.Device && a.Metric == b.Metric && a.Time == b.Time &&
		a.Kind == b.Kind && a.Rule == b.Rule
}
