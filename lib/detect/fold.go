package detect

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Report says what became of events.
type Report struct {
	// Scored were given to a Detector, and Watched only to rules, or to nothing.
	Scored, Watched int
	// Late are not newer than what their series has seen, repetitions among them; Bad
	// are of bad quality or no number; Refused are of series past a limit.
	Late, Bad, Refused int
}

func (r *Report) add(o Report) {
	r.Scored += o.Scored
	r.Watched += o.Watched
	r.Late += o.Late
	r.Bad += o.Bad
	r.Refused += o.Refused
}

// folder folds records into a state. It is reused and keeps its memory.
type folder struct {
	state *State
	found []directory.Anomaly
	order []int32
}

// advance moves the arrival clock and raises the alarms of silence that it passes.
func (f *folder) advance(arrival telemetry.Micros) {
	s := f.state
	if arrival <= s.clock {
		return
	}
	s.clock = arrival
	if len(s.watched) > 0 && s.clock > s.due {
		f.silences()
	}
	s.forget()
}

// silences looks for series that are silent for too long, and for when the next
// one will be.
func (f *folder) silences() {
	s := f.state
	s.due = math.MaxInt64
	for _, sr := range s.watched {
		for i := range sr.alarms {
			a := &sr.alarms[i]
			if a.silence == 0 || a.raised {
				continue
			}
			end := sr.arrival + a.silence
			if end >= s.clock {
				s.due = min(s.due, end)
				continue
			}
			a.raise()
			f.found = append(f.found, sr.alarm(a, end, nil, 0))
		}
	}
}

// observe takes a batch, whose columns are as a telemetry.Decoder leaves them;
// arrival is when the stream took its record. It does not keep b.
func (f *folder) observe(b *telemetry.Batch, arrival telemetry.Micros) (r Report) {
	s := f.state
	f.advance(arrival)
	g := s.byName[b.Gateway]
	if g == nil {
		if len(s.gateways) >= s.limits.Series { // each holds a series, or is given up within the hour
			r.Refused = b.Len()
			return r
		}
		g = &gateway{name: b.Gateway, site: b.Site}
		s.add(g)
	}
	if g.site != b.Site && b.Site != "" {
		g.site, g.layoutOf = b.Site, nil
		for _, d := range g.devices {
			for _, sr := range d.series {
				sr.describe(s.described)
			}
		}
		s.rewatch()
	}
	table := s.layout(g, b)
	metrics := uint32(len(b.Metrics))
	if slices.IsSorted(b.Time) {
		for i := range b.Time {
			f.event(&r, g, table, metrics, b, i)
		}
		return r
	}
	f.order = slices.Grow(f.order[:0], len(b.Time))[:len(b.Time)]
	for i := range f.order {
		f.order[i] = int32(i)
	}
	slices.SortStableFunc(f.order, func(a, c int32) int { return cmp.Compare(b.Time[a], b.Time[c]) })
	for _, i := range f.order {
		f.event(&r, g, table, metrics, b, int(i))
	}
	return r
}

// event takes event i of a batch.
func (f *folder) event(r *Report, g *gateway, table []*series, metrics uint32, b *telemetry.Batch, i int) {
	s := f.state
	at := b.Device[i]*metrics + b.Metric[i]
	var sr *series
	if table != nil {
		sr = table[at]
	}
	if sr == nil {
		sr = s.admit(g, b.Devices[b.Device[i]], b.Metrics[b.Metric[i]])
		if table != nil {
			table[at] = sr
		}
	}
	switch sr {
	case &s.unwatched:
		r.Watched++
		return
	case &s.refused:
		r.Refused++
		return
	}
	t, value := b.Time[i], b.Value[i]
	if t <= sr.newest {
		r.Late++
		// It was sent, whatever it is: the series is not silent.
		f.heard(sr)
		return
	}
	f.heard(sr)
	if b.Quality[i] == telemetry.Bad || math.IsNaN(value) || math.IsInf(value, 0) {
		r.Bad++
		sr.newest = t
		return
	}
	if len(sr.alarms) > 0 {
		f.rules(sr, t, value)
	}
	if sr.detector == nil {
		r.Watched++
		sr.newest = t
	} else {
		r.Scored++
		d := sr.device
		if moment, score, raised := d.step(sr, t, value); raised {
			f.found = append(f.found, machineAnomaly(g, d, moment, score))
		}
		sr.newest = t
		if score, anomalous := sr.detector.Push(int64(t), value); anomalous {
			f.found = append(f.found, sr.scored(t, value, score))
		}
	}
	sr.value, sr.valueAt, sr.valued = value, t, true
}

// heard ends a series' silence.
func (f *folder) heard(sr *series) {
	if sr.arrival = f.state.clock; len(sr.alarms) == 0 {
		return
	}
	for i := range sr.alarms {
		if a := &sr.alarms[i]; a.silence > 0 {
			a.raised = false
			f.state.due = min(f.state.due, sr.arrival+a.silence)
		}
	}
}

func (f *folder) rules(sr *series, t telemetry.Micros, value float64) {
	change := math.NaN()
	if sr.valued {
		change = math.Abs(value-sr.value) / (float64(t-sr.valueAt) / 1e6)
	}
	for i := range sr.alarms {
		if a := &sr.alarms[i]; a.value(value, change) {
			f.found = append(f.found, sr.alarm(a, t, &value, change))
		}
	}
}

// alarm is what a rule has raised; value is nil for silence.
func (sr *series) alarm(a *alarm, at telemetry.Micros, value *float64, change float64) directory.Anomaly {
	out := directory.Anomaly{
		Site: sr.gateway.site, Gateway: sr.gateway.name, Device: sr.device.name, Metric: sr.metric,
		Time: at, Kind: a.kind, Rule: a.id, Score: 1, Severity: a.severity,
	}
	v := 0.0
	if value != nil {
		v = *value
		out.Value = &v
	}
	out.Message = a.message(v, change)
	return out
}

// warningScore is from where a score is more than information. A series of noise
// passes anomaly.Threshold a few times in its first hours, as each new extreme is new.
const warningScore = 0.8

// scored is what the Detector has found.
func (sr *series) scored(at telemetry.Micros, value, score float64) directory.Anomaly {
	severity := directory.Info
	if score >= warningScore {
		severity = directory.Warning
	}
	return directory.Anomaly{
		Site: sr.gateway.site, Gateway: sr.gateway.name, Device: sr.device.name, Metric: sr.metric,
		Time: at, Kind: directory.ByScore, Score: score, Value: &value, Severity: severity,
		Message: "value " + number(value) + " is new to the series, score " + number(score),
	}
}

// maxTable bounds the table of a batch's pairs; a batch that has more names looks
// each event's series up.
const maxTable = 1 << 16

// layout returns the series of each pair of the batch's dictionaries, nil where
// there is none (yet), or nil where the table would be too large. A sender's
// dictionaries hardly change, so most often the last batch's table will do.
func (s *State) layout(g *gateway, b *telemetry.Batch) []*series {
	n := len(b.Devices) * len(b.Metrics)
	if n > maxTable {
		return nil
	}
	if g.layoutOf == s.described && slices.Equal(g.metricNames, b.Metrics) && slices.Equal(g.deviceNames, b.Devices) {
		return g.table
	}
	g.layoutOf = s.described
	g.metricNames = append(g.metricNames[:0], b.Metrics...)
	g.deviceNames = append(g.deviceNames[:0], b.Devices...)
	g.table = slices.Grow(g.table[:0], n)[:n]
	clear(g.table)
	for i, name := range b.Devices {
		at, ok := g.device(name)
		if !ok {
			continue
		}
		for k, metric := range b.Metrics {
			if j, ok := g.devices[at].find(metric); ok {
				g.table[i*len(b.Metrics)+k] = g.devices[at].series[j]
			}
		}
	}
	return g.table
}

// admit returns the series, which is made where it is not there, or s.unwatched for
// what is neither scored nor watched by a rule, or s.refused past a limit.
func (s *State) admit(g *gateway, name telemetry.DeviceName, metric telemetry.MetricName) *series {
	at, known := g.device(name)
	if known {
		if i, ok := g.devices[at].find(metric); ok {
			return g.devices[at].series[i]
		}
	}
	sr := &series{gateway: g, metric: metric, newest: math.MinInt64, device: &device{name: name}}
	if known {
		sr.device = g.devices[at]
	}
	sr.describe(s.described)
	switch {
	case sr.detector == nil && len(sr.alarms) == 0:
		return &s.unwatched
	case s.series >= s.limits.Series || g.series >= s.limits.GatewaySeries:
		return &s.refused
	}
	if !known {
		g.devices = slices.Insert(g.devices, at, sr.device)
	}
	sr.device.insert(sr)
	g.series++
	s.series++
	if sr.silences() {
		s.watched = append(s.watched, sr)
	}
	return sr
}

func micros(d time.Duration) telemetry.Micros { return telemetry.Micros(d / time.Microsecond) }
