package kpi

import (
	"slices"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// EmitClosed calls emit with the samples of the windows that the arrival clock has
// closed, each once: by end of window, then gateway, then device and metric. The Sample
// is valid during the call. The samples depend on the records alone, however often
// EmitClosed is called between them.
func (s *Shard) EmitClosed(emit func(*Sample)) {
	for s.emitted < s.open {
		if len(s.gateways) == 0 {
			s.emitted = s.open
			return
		}
		end := s.emitted + s.window
		for _, g := range s.gateways {
			c := closer{shard: s, gateway: g, emit: emit, end: end}
			c.sample.Site, c.sample.Gateway, c.sample.Time = g.site, g.name, end
			c.run()
		}
		s.emitted = end
		s.gateways = slices.DeleteFunc(s.gateways, func(g *gateway) bool {
			dead := len(g.devices) == 0 && len(g.windows) == 0 && s.silent(g.seen, end) && (!g.hasNewest || s.silent(g.newest, end))
			if dead {
				delete(s.byName, g.name)
			}
			return dead
		})
	}
}

// silent reports whether an object whose last reading was at since is forgotten at end.
func (s *Shard) silent(since, end telemetry.Micros) bool { return since <= end-s.forget }

// closer closes one window of one gateway.
type closer struct {
	shard   *Shard
	gateway *gateway
	emit    func(*Sample)
	end     telemetry.Micros
	sample  Sample

	events, bad          uint64
	devices, series      int  // with readings less than Forget ago
	any                  bool // there are usable readings
	firstReading, newest telemetry.Micros
}

func (c *closer) put(name Name, v float64) {
	c.sample.Name, c.sample.Value = name, v
	c.emit(&c.sample)
}

func (c *closer) run() {
	deleted := false
	for _, d := range c.gateway.devices {
		c.device(d)
		before := len(d.series)
		d.series = slices.DeleteFunc(d.series, c.forget)
		deleted = deleted || len(d.series) < before || d.gone()
		if slices.ContainsFunc(d.series, func(sr *series) bool { return sr.seen != 0 }) {
			c.devices++
		}
	}
	if deleted {
		c.gateway.devices = slices.DeleteFunc(c.gateway.devices, (*device).gone)
		c.gateway.resetLayout()
	}
	c.sample.Device = ""
	c.platform()
}

// forget drops the closed window and reports whether the series has to be deleted.
func (c *closer) forget(sr *series) bool {
	if sr.closing(c.end-c.shard.window) != nil {
		sr.drop()
		sr.seen = c.end
	}
	if !c.shard.silent(sr.seen, c.end) {
		c.series++
		return false
	}
	if sr.seen = 0; len(sr.windows) > 0 {
		return false
	}
	delete(c.gateway.byKey, seriesKey{sr.device.name, sr.metric})
	c.gateway.seriesCount--
	return true
}

func (c *closer) device(d *device) {
	start := c.end - c.shard.window
	c.gateway.describe(d, c.shard.config.Machines)
	c.sample.Device = d.name
	m := machineWindow{start: start, end: c.end}
	for _, sr := range d.series {
		w := sr.closing(start)
		if w == nil {
			continue
		}
		c.events += w.count + w.badCount
		c.bad += w.badCount
		if w.count == 0 {
			continue
		}
		m.include(start+telemetry.Micros(w.firstAt), start+telemetry.Micros(w.lastAt))
		switch sr.role {
		case stateRole:
			m.states = w.changes
		case countRole:
			m.counts = counted{w.changes, &w.times}
		case goodRole:
			m.goods = counted{w.changes, &w.times}
		case plain:
		}
		c.statistics(sr, w)
	}
	if m.alive {
		c.include(m.first, m.last)
	}
	if d.machine != nil && d.machine.stale < c.shard.window {
		m.readings = d.readings(start)
	}
	c.machine(d, &m)
	d.closed(start)
}

func (c *closer) include(first, last telemetry.Micros) {
	if !c.any {
		c.any, c.firstReading, c.newest = true, first, last
		return
	}
	c.firstReading, c.newest = min(c.firstReading, first), max(c.newest, last)
}

func (c *closer) statistics(sr *series, w *window) {
	c.sample.Metric = sr.metric
	c.put(SeriesMin, w.min)
	c.put(SeriesMax, w.max)
	c.put(SeriesMean, w.sum.mean(w.count))
	c.put(SeriesLast, w.last)
	c.put(SeriesSamples, float64(w.count))
	c.sample.Metric = ""
}

// machine emits a machine's sums and updates its carry.
func (c *closer) machine(d *device, m *machineWindow) {
	if !m.alive && (d.carry.has&hasAlive == 0 || c.forgotten(d)) {
		d.carry = carry{}
		return
	}
	if d.machine == nil {
		d.carry.update(m)
		return
	}
	before := d.machine.needs(d.carry.has)
	sums := m.integrate(d.machine, &d.carry, c.shard.window)
	d.carry.update(m)
	switch {
	case d.own():
		d.carry.has |= wasOwn
	case m.alive:
		d.carry.has &^= wasOwn
	}
	if n := d.machine.needs(d.carry.has); d.isMachine(n) {
		if d.isMixed(m.start) {
			before = 0
		}
		c.sums(d.machine, n, before, &sums, m)
	}
}

// forgotten reports whether a machine without a reading in the window has no samples, and its
// carry is reset: one that has been silent for Forget, unless it has a configuration of its
// own. Then it is still a machine, in an unknown state.
func (c *closer) forgotten(d *device) bool {
	switch {
	case d.stays():
		return false
	case d.leaves() && d.carry.alive+d.machine.stale <= c.end-c.shard.window:
		return true
	}
	return c.shard.silent(d.carry.alive, c.end)
}

// platform emits the gateway's samples.
func (c *closer) platform() {
	g, s := c.gateway, c.shard
	start := c.end - s.window
	var none tallies
	t := &none
	if len(g.windows) > 0 && g.windows[0].start == start {
		t = &g.windows[0]
	}
	counted := t != &none || c.events > 0
	if !counted && s.silent(g.seen, c.end) {
		g.hasNewest = false
		return
	}
	if counted {
		g.seen = c.end
	}
	c.put(Events, float64(c.events))
	c.put(BadQualityEvents, float64(c.bad))
	c.put(DuplicateEvents, float64(t.duplicates))
	c.put(LateEvents, float64(t.late))
	c.put(EarlyEvents, float64(t.early))
	c.put(RefusedEvents, float64(t.refused))
	c.put(UnverifiedEvents, float64(t.unverified))
	c.put(CrowdedEvents, float64(t.crowded))
	c.put(GatewayDevices, float64(c.devices))
	c.put(GatewaySeries, float64(c.series))
	if t.lags.Count > 0 {
		c.sample.Lags = &t.lags
		c.put(IngestLag, float64(t.lags.Count))
		c.sample.Lags = nil
	}
	c.freshness(start)
	if t != &none {
		g.windows = slices.Delete(g.windows, 0, 1)
	}
}

// freshness emits the age of the newest reading at the end of the window, and how much
// of the window is more than the gap limit after a reading.
func (c *closer) freshness(start telemetry.Micros) {
	g, s := c.gateway, c.shard
	if g.hasNewest {
		until := c.end
		if c.any {
			until = c.firstReading
		}
		c.put(GapSeconds, seconds(max(0, until-max(start, g.newest+s.gap))))
	} else if c.any {
		c.put(GapSeconds, 0)
	}
	if c.any {
		g.newest, g.hasNewest = c.newest, true
	}
	if g.hasNewest {
		c.put(Freshness, seconds(c.end-g.newest))
	}
}

// seconds returns the float64 nearest to m: it rounds once, Duration.Seconds twice.
func seconds(m telemetry.Micros) float64 { return float64(m) / 1e6 }
