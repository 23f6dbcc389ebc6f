package detect

import (
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

// end ends the alarm if it is raised; that of a state of version 1 does not say when it was
// raised and is forgotten. It never ends before it began: the value may be of a
// clock that was set back.
func (s *State) end(sr *series, a *alarm, at telemetry.Micros, reason directory.EndReason) {
	if a.raised == none || a.print == 0 {
		return
	}
	at = max(at, a.since)
	if a.kind != directory.ByNoData {
		a.remember(episode{side: a.raised, since: a.since, from: a.since, to: at})
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

// lateAfter is the time to its arrival after which a value is late.
const lateAfter = telemetry.Micros(time.Minute / time.Microsecond)

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
	out.Message = "value " + number(value) + " is unusual for the series, score " + rounded(score, 0)
	return out
}

func machineAnomaly(g *gateway, d *device, at telemetry.Micros, score float64) directory.Anomaly {
	return directory.Anomaly{
		Site: g.site, Gateway: g.name, Device: d.name, Time: at, Kind: directory.ByMachine, Score: score,
		Severity: directory.Warning, Message: "combination of sensor values is unusual for the device, score " + rounded(score, 0),
	}
}
