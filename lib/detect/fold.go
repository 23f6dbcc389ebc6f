package detect

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Report counts events by outcome.
type Report struct {
	// Scored events went to a Detector; Unscored ones to rules only, or were ignored.
	Scored, Unscored int
	// Late events, duplicates among them, are not newer than the newest of their series;
	// Bad ones have bad quality, NaN or infinity; Refused ones are of series above a limit.
	Late, Bad, Refused int
}

func (r *Report) add(o Report) {
	r.Scored += o.Scored
	r.Unscored += o.Unscored
	r.Late += o.Late
	r.Bad += o.Bad
	r.Refused += o.Refused
}

// folder folds records into a state. It is reused, to reuse its buffers.
type folder struct {
	state *State
	found []directory.Anomaly
	order []int32
}

// advance moves the arrival clock and raises the no_data alarms that become due.
func (f *folder) advance(arrival telemetry.Micros) {
	s := f.state
	if arrival <= s.clock {
		return
	}
	s.clock = arrival
	if len(s.watched) > 0 && s.clock > s.due {
		f.checkSilence()
	}
	s.removeIdle()
}

// checkSilence raises the no_data alarms that are due, and finds out when the next one is.
func (f *folder) checkSilence() {
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
			f.found = append(f.found, sr.ruleAnomaly(a, end, nil, 0))
		}
	}
}

// observe folds a batch, as a telemetry.Decoder decodes it; arrival is the time at which
// the stream stored its record. It does not retain b.
func (f *folder) observe(b *telemetry.Batch, arrival telemetry.Micros) (r Report) {
	s := f.state
	f.advance(arrival)
	g := s.byName[b.Gateway]
	if g == nil {
		if len(s.gateways) >= s.limits.Series { // each gateway has a series, or is removed within the hour
			r.Refused = b.Len()
			return r
		}
		g = &gateway{name: b.Gateway, site: b.Site}
		s.add(g)
	}
	if g.site != b.Site && b.Site != "" {
		g.site, g.tableOf = b.Site, nil
		for _, d := range g.devices {
			for _, sr := range d.series {
				sr.configure(s.config)
			}
		}
		s.collectWatched()
	}
	table := s.table(g, b)
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

// event folds event i of a batch.
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
	case &s.ignored:
		r.Unscored++
		return
	case &s.overLimit:
		r.Refused++
		return
	}
	t, value := b.Time[i], b.Value[i]
	if t <= sr.newest {
		r.Late++
		// Late or not, the series is not silent.
		f.arrived(sr)
		return
	}
	f.arrived(sr)
	if b.Quality[i] == telemetry.Bad || math.IsNaN(value) || math.IsInf(value, 0) {
		r.Bad++
		sr.newest = t
		return
	}
	if len(sr.alarms) > 0 {
		f.rules(sr, t, value)
	}
	if sr.detector == nil {
		r.Unscored++
		sr.newest = t
	} else {
		r.Scored++
		d := sr.device
		if moment, score, raised := d.observe(sr, t, value); raised {
			f.found = append(f.found, machineAnomaly(g, d, moment, score))
		}
		sr.newest = t
		if score, anomalous := sr.detector.Push(int64(t), value); anomalous {
			f.found = append(f.found, sr.scoreAnomaly(t, value, score))
		}
	}
	sr.value, sr.valueAt, sr.valued = value, t, true
}

// arrived clears the no_data alarms of a series.
func (f *folder) arrived(sr *series) {
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
		if a := &sr.alarms[i]; a.evaluate(value, change) {
			f.found = append(f.found, sr.ruleAnomaly(a, t, &value, change))
		}
	}
}

// ruleAnomaly returns the anomaly of a raised alarm; value is nil for no_data.
func (sr *series) ruleAnomaly(a *alarm, at telemetry.Micros, value *float64, change float64) directory.Anomaly {
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

// warningScore is the least score of severity warning; below it is info. A series of
// noise exceeds anomaly.Threshold a few times in its first hours, with each new extreme.
const warningScore = 0.8

// scoreAnomaly returns the anomaly of a value that the series' Detector found anomalous.
func (sr *series) scoreAnomaly(at telemetry.Micros, value, score float64) directory.Anomaly {
	severity := directory.Info
	if score >= warningScore {
		severity = directory.Warning
	}
	return directory.Anomaly{
		Site: sr.gateway.site, Gateway: sr.gateway.name, Device: sr.device.name, Metric: sr.metric,
		Time: at, Kind: directory.ByScore, Score: score, Value: &value, Severity: severity,
		Message: "value " + number(value) + " is unusual for the series, score " + number(score),
	}
}

// maxTable limits the table of a batch's pairs of device and metric. With more
// pairs, the series of each event is searched.
const maxTable = 1 << 16

// table returns the series of each pair of the batch's dictionaries, with nil for a
// series that does not exist yet, or a nil table above maxTable. It reuses the table of
// the gateway's last batch if the dictionaries are the same, as they mostly are.
func (s *State) table(g *gateway, b *telemetry.Batch) []*series {
	n := len(b.Devices) * len(b.Metrics)
	if n > maxTable {
		return nil
	}
	if g.tableOf == s.config && slices.Equal(g.metricNames, b.Metrics) && slices.Equal(g.deviceNames, b.Devices) {
		return g.table
	}
	g.tableOf = s.config
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

// admit returns the series, creating it if need be: s.ignored if it is neither scored
// nor watched by a rule, s.overLimit if that would exceed a limit.
func (s *State) admit(g *gateway, name telemetry.DeviceName, metric telemetry.MetricName) *series {
	at, exists := g.device(name)
	if exists {
		if i, ok := g.devices[at].find(metric); ok {
			return g.devices[at].series[i]
		}
	}
	sr := &series{gateway: g, metric: metric, newest: math.MinInt64, device: &device{name: name}}
	if exists {
		sr.device = g.devices[at]
	}
	sr.configure(s.config)
	switch {
	case sr.detector == nil && len(sr.alarms) == 0:
		return &s.ignored
	case s.series >= s.limits.Series || g.series >= s.limits.GatewaySeries:
		return &s.overLimit
	}
	if !exists {
		g.devices = slices.Insert(g.devices, at, sr.device)
	}
	sr.device.insert(sr)
	g.series++
	s.series++
	if sr.watchesSilence() {
		s.watched = append(s.watched, sr)
	}
	return sr
}

func micros(d time.Duration) telemetry.Micros { return telemetry.Micros(d / time.Microsecond) }
