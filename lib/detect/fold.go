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
	// Bad ones have bad quality, NaN or infinity; Refused ones are of series above a limit;
	// Held ones are ahead of the arrival clock.
	Late, Bad, Refused, Held int
}

func (r *Report) add(o Report) {
	r.Scored += o.Scored
	r.Unscored += o.Unscored
	r.Late += o.Late
	r.Bad += o.Bad
	r.Refused += o.Refused
	r.Held += o.Held
}

// count counts a value that is judged.
func (r *Report) count(sr *series) {
	if sr.detector == nil {
		r.Unscored++
	} else {
		r.Scored++
	}
}

// folder folds records into a state. It is reused, to reuse its buffers.
type folder struct {
	state *State
	found []directory.Anomaly
	order []int32
}

// advance moves the arrival clock, and raises the no_data alarms that become due.
func (f *folder) advance(arrival telemetry.Micros) {
	s := f.state
	if arrival <= s.clock {
		return
	}
	first := s.clock == 0
	if s.clock = arrival; first {
		s.expect()
	}
	if len(s.watched) > 0 && s.clock > s.due {
		f.checkSilence()
	}
	s.removeIdle()
}

// end ends a record: it judges the values whose time has come.
func (f *folder) end(arrival telemetry.Micros) {
	f.advance(arrival)
	f.releaseDue()
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
		s.move(g, b.Site)
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
	bad := b.Quality[i] == telemetry.Bad || math.IsNaN(value) || math.IsInf(value, 0)
	useful := !bad && t != sr.newest && (sr.early == nil || t != sr.early.value.at)
	if sr.arrival = s.clock; useful {
		sr.useful = s.clock
	}
	if len(sr.alarms) > 0 {
		f.arrived(sr, useful)
	}
	if s.clock != 0 && t > s.clock+maxAhead {
		if bad {
			r.Bad++
		} else {
			f.ahead(r, sr, t, value)
		}
		return
	}
	if sr.early != nil {
		if sr.early.knows(t, value) {
			r.Late++
			return
		}
		f.present(sr, t)
	}
	if t <= sr.newest {
		r.Late++
		if len(sr.alarms) > 0 && !bad && t < sr.newest {
			f.late(sr, t, value)
		}
		return
	}
	if bad {
		r.Bad++
		sr.newest = t
		return
	}
	r.count(sr)
	p := point{t, value, true}
	if e := sr.early; e == nil {
		f.judge(sr, p, point{sr.valueAt, sr.value, sr.valued}, s.clock, false)
	} else {
		f.judge(sr, p, e.present, s.clock, false)
		e.present = p
	}
	sr.newest = t
}

// judge judges the next value of a series by its rules and its detector; before is the value
// that it is compared with, arrival when it arrived, and ahead whether that was before its time.
func (f *folder) judge(sr *series, p, before point, arrival telemetry.Micros, ahead bool) {
	t, value := p.at, p.value
	if len(sr.alarms) > 0 {
		f.rules(sr, p, before, arrival, ahead)
	}
	if sr.detector != nil {
		if moment, score, changed := sr.device.observe(sr, t, value, f.state.clock+maxAhead); changed {
			f.machine(sr, moment, score, arrival)
		}
		if score, anomalous := sr.detector.Push(int64(t), value); anomalous || sr.odd {
			f.odd(sr, point{t, value, anomalous}, score, arrival)
		}
	}
	sr.value, sr.valueAt, sr.valued = value, t, true
}

// machine begins the anomaly of a series' device, or ends it if the score is 0.
func (f *folder) machine(sr *series, moment telemetry.Micros, score float64, arrival telemetry.Micros) {
	d := sr.device
	f.state.endMachine(sr.gateway, d, moment, directory.EndCleared)
	if score > 0 && !slices.Contains(d.taken, moment) {
		if moment > f.state.clock+maxAhead {
			d.taken.add(moment)
		}
		d.alarmed, d.since = true, moment
		found := machineAnomaly(sr.gateway, d, moment, score)
		found.Lag, found.Late = lag(moment, arrival)
		f.found = append(f.found, found)
	}
}

// odd ends the anomaly of the series' last value, if there is one, and begins that of p if
// p.known, and if there was none of its time.
func (f *folder) odd(sr *series, p point, score float64, arrival telemetry.Micros) {
	reason := directory.EndCleared
	if p.known = p.known && !slices.Contains(sr.taken, p.at); p.known {
		reason = directory.EndSuperseded
	}
	f.state.endScore(sr, p.at, reason)
	if p.known {
		if sr.early != nil {
			sr.taken.add(p.at)
		}
		sr.odd, sr.oddAt, sr.oddScore = true, p.at, score
		found := sr.scoreAnomaly(p.at, p.value, score)
		found.Lag, found.Late = lag(p.at, arrival)
		f.found = append(f.found, found)
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
	s.configureSeries(sr)
	sr.useful = s.clock // it may report bad values only
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
