package detect

import (
	"slices"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// alarm is a rule of a series and what is remembered for it.
type alarm struct {
	*rule
	// raised is the alarm that is active, if any, and since the time of its anomaly.
	raised side
	since  telemetry.Micros
	// notBefore is the earliest time of the next no_data alarm; for an alarm of a state of
	// version 1, which does not say when it was raised.
	notBefore telemetry.Micros
	change    change // of a rate
	ahead     change // of a rate, of values that are judged before their time
	past      *past  // nil before the first alarm or late value
}

// past is what an alarm remembers in order to judge late values.
type past struct {
	// episodes are the last ones, live or late: values in them are known.
	episodes []episode
	// run is the excursion of which the last late values are, if any.
	run   episode
	since telemetry.Micros // time of its anomaly
	// ending is the index of the run's end among the ends of this invocation, plus 1.
	ending int
	// last is the last late value, and arrival when it arrived.
	last    point
	arrival telemetry.Micros
}

// episode is a time in which an alarm was active; both ends are included.
type episode struct {
	side     side
	from, to telemetry.Micros
}

const (
	// maxEpisodes bounds what is remembered for an alarm.
	maxEpisodes = 16
	// lateRun is the greatest time between the arrivals of the late values of one excursion.
	lateRun = telemetry.Micros(time.Minute / time.Microsecond)
	// lateAfter is the time to its arrival after which a value is late.
	lateAfter = telemetry.Micros(time.Minute / time.Microsecond)
)

func (e episode) contains(s side, at telemetry.Micros) bool {
	return e.side == s && at >= e.from && at <= e.to || e.side != none && at == e.from
}

// knows reports whether a value beyond the limit belongs to an alarm that was raised already:
// a gateway sends a batch again if it has not received the response. So does another value
// of the time of an alarm, whose event the database refuses.
func (a *alarm) knows(s side, at telemetry.Micros) bool {
	if a.raised == s && at >= a.since || a.raised != none && at == a.since {
		return true
	}
	if a.past == nil {
		return false
	}
	for _, e := range a.past.episodes {
		if e.contains(s, at) {
			return true
		}
	}
	return a.past.run.contains(s, at)
}

// used reports whether an alarm of this time was raised: after a clock was set back another
// value may have it. The next value beyond the limit raises the alarm.
func (a *alarm) used(at telemetry.Micros) bool {
	return a.past != nil && (a.past.run.side != none && a.past.since == at ||
		slices.ContainsFunc(a.past.episodes, func(e episode) bool { return e.from == at }))
}

func (a *alarm) remember(e episode) {
	if a.past == nil {
		a.past = &past{}
	}
	if len(a.past.episodes) == maxEpisodes {
		copy(a.past.episodes, a.past.episodes[1:])
		a.past.episodes = a.past.episodes[:maxEpisodes-1]
	}
	a.past.episodes = append(a.past.episodes, e)
}

// rules judges a value of a series by its rules, as [folder.judge] does.
func (f *folder) rules(sr *series, p, before point, arrival telemetry.Micros, ahead bool) {
	t, value := p.at, p.value
	for i := range sr.alarms {
		a := &sr.alarms[i]
		var next side
		var rate float64
		switch a.kind {
		case directory.ByThreshold:
			next = a.threshold(a.raised, value)
		case directory.ByRate:
			changes := &a.change
			if ahead {
				changes = &a.ahead
			}
			if rate = changes.rate(before, t, value, a.minInterval); rate > a.perSecond {
				next = above
			}
		default:
			continue
		}
		if next == a.raised {
			continue
		}
		f.state.end(sr, a, t, directory.EndCleared)
		if next != none && !a.used(t) {
			a.raised, a.since = next, t
			found := sr.ruleAnomaly(a.rule, t, &value, a.message(next, value, rate))
			found.Lag, found.Late = lag(t, arrival)
			f.found = append(f.found, found)
		}
	}
}

// late judges a value that is older than the newest of its series. It changes neither the
// alarms that are active nor what the next value in order is compared with.
func (f *folder) late(sr *series, t telemetry.Micros, value float64) {
	for i := range sr.alarms {
		if a := &sr.alarms[i]; a.kind == directory.ByThreshold || a.kind == directory.ByRate {
			f.lateAlarm(sr, a, t, value)
		}
	}
}

func (f *folder) lateAlarm(sr *series, a *alarm, t telemetry.Micros, value float64) {
	if a.past == nil {
		a.past = &past{}
	}
	p, arrival := a.past, f.state.clock
	if arrival-p.arrival > lateRun { // values of another occasion
		a.closeRun()
		p.last = point{}
	}
	next, rate := none, 0.0
	if a.kind == directory.ByThreshold {
		next = a.threshold(p.run.side, value)
	} else if rate = p.last.perSecond(t, value, a.minInterval); rate > a.perSecond {
		next = above
	}
	p.last, p.arrival = point{t, value, true}, arrival
	if next != p.run.side {
		a.closeRun()
	}
	switch {
	case next == none:
	case p.run.side == next:
		p.run.from = min(p.run.from, t)
		if t > p.run.to {
			p.run.to = t
			f.extend(sr, a)
		}
	case a.knows(next, t):
	default:
		p.run, p.since, p.ending = episode{next, t, t}, t, 0
		found := sr.ruleAnomaly(a.rule, t, &value, a.message(next, value, rate))
		found.Lag, _ = lag(t, arrival)
		found.Late, found.EndedAt, found.EndReason = true, t, directory.EndPast
		f.found = append(f.found, found)
	}
}

// closeRun makes the late excursion an episode.
func (a *alarm) closeRun() {
	if p := a.past; p.run.side != none {
		a.remember(p.run)
		p.run = episode{}
	}
}

// extend moves the end of the anomaly of the current late excursion.
func (f *folder) extend(sr *series, a *alarm) {
	p, ended := a.past, &f.state.ended
	end := sr.ruleAnomaly(a.rule, p.since, nil, "")
	end.Late, end.EndedAt, end.EndReason = true, p.run.to, directory.EndPast
	if i := p.ending - 1; i >= 0 && i < len(*ended) && same(&(*ended)[i], &end) {
		(*ended)[i] = end
		return
	}
	*ended = append(*ended, end)
	p.ending = len(*ended)
}

func same(a, b *directory.Anomaly) bool {
	return a.Gateway == b.Gateway && a.Device == b.Device && a.Metric == b.Metric && a.Time == b.Time &&
		a.Kind == b.Kind && a.Rule == b.Rule
}

// end ends the alarm if it is raised; that of a state of version 1 does not say when it was
// raised and is forgotten. It never ends before it began: the value may be of a
// clock that was set back.
func (s *State) end(sr *series, a *alarm, at telemetry.Micros, reason directory.EndReason) {
	if a.raised == none || a.print == 0 {
		return
	}
	at = max(at, a.since)
	if a.kind != directory.ByNoData {
		a.remember(episode{a.raised, a.since, at})
	}
	out := sr.ruleAnomaly(a.rule, a.since, nil, "")
	out.EndedAt, out.EndReason = at, reason
	s.ended = append(s.ended, out)
	a.raised, a.since = none, 0
}

// endScore ends the anomaly of the last value of the series, if it is active.
func (s *State) endScore(sr *series, at telemetry.Micros, reason directory.EndReason) {
	if !sr.odd {
		return
	}
	out := sr.anomaly(sr.oddAt, directory.ByScore)
	out.Severity, out.EndedAt, out.EndReason = severityOf(sr.oddScore), max(at, sr.oddAt), reason
	s.ended = append(s.ended, out)
	sr.odd = false
}

// endMachine ends the anomaly of the device's Machine, if it is active.
func (s *State) endMachine(g *gateway, d *device, at telemetry.Micros, reason directory.EndReason) {
	if !d.alarmed {
		return
	}
	out := machineAnomaly(g, d, d.since, 0)
	out.Message, out.EndedAt, out.EndReason = "", max(at, d.since), reason
	s.ended = append(s.ended, out)
	d.alarmed = false
}

// endAll ends all anomalies of a series that is removed.
func (s *State) endAll(sr *series) {
	s.endScore(sr, s.clock, directory.EndUnwatched)
	for i := range sr.alarms {
		s.end(sr, &sr.alarms[i], s.clock, directory.EndUnwatched)
	}
}

// lag returns the time from an event to its arrival, and whether the event was late.
func lag(at, arrival telemetry.Micros) (time.Duration, bool) {
	if arrival <= at {
		return 0, false
	}
	return time.Duration(arrival-at) * time.Microsecond, arrival-at > lateAfter
}

// anomaly returns an anomaly of a series.
func (sr *series) anomaly(at telemetry.Micros, kind directory.AnomalyKind) directory.Anomaly {
	return directory.Anomaly{
		Site: sr.gateway.site, Gateway: sr.gateway.name, Device: sr.device.name, Metric: sr.metric, Time: at, Kind: kind,
	}
}

// ruleAnomaly returns the anomaly of a raised alarm; value is nil for no_data.
func (sr *series) ruleAnomaly(r *rule, at telemetry.Micros, value *float64, message string) directory.Anomaly {
	out := sr.anomaly(at, r.kind)
	out.Rule, out.Score, out.Severity, out.Message = r.id, 1, r.severity, message
	if value != nil {
		v := *value
		out.Value = &v
	}
	return out
}

// warningScore is the least score of severity warning; below it is info. A series of
// noise exceeds anomaly.Threshold a few times in its first hours, with each new extreme.
const warningScore = 0.8

func severityOf(score float64) directory.Severity {
	if score >= warningScore {
		return directory.Warning
	}
	return directory.Info
}

// scoreAnomaly returns the anomaly of a value that the series' Detector found anomalous.
func (sr *series) scoreAnomaly(at telemetry.Micros, value, score float64) directory.Anomaly {
	out := sr.anomaly(at, directory.ByScore)
	out.Score, out.Value, out.Severity = score, &value, severityOf(score)
	out.Message = "value " + number(value) + " is unusual for the series, score " + number(score)
	return out
}

func machineAnomaly(g *gateway, d *device, at telemetry.Micros, score float64) directory.Anomaly {
	return directory.Anomaly{
		Site: g.site, Gateway: g.name, Device: d.name, Time: at, Kind: directory.ByMachine, Score: score,
		Severity: directory.Warning, Message: "combination of sensor values is unusual for the device, score " + number(score),
	}
}
