package kpi

import (
	"slices"
	"strings"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// gateway is the state of a gateway.
type gateway struct {
	name telemetry.GatewayID
	site telemetry.SiteID
	// newest is the time of the last usable reading in a closed window.
	newest    telemetry.Micros
	hasNewest bool
	// seen is the end of the last closed window in which anything was counted.
	seen telemetry.Micros

	devices     []*device // in order of name
	byKey       map[seriesKey]*series
	seriesCount int
	windows     []tallies // open ones in order of start

	// The dictionaries of the last batch and the series of each pair of their entries.
	deviceNames []telemetry.DeviceName
	metricNames []telemetry.MetricName
	known       []*device
	table       []*series
}

type seriesKey struct {
	device telemetry.DeviceName
	metric telemetry.MetricName
}

// tallies are a gateway's counts of one window. Duplicates and lags are counted by the
// events' own times; late, early and refused events by arrival.
type tallies struct {
	start                            telemetry.Micros
	duplicates, late, early, refused uint64
	unverified, crowded              uint64
	lags                             Lags
}

// maxTable is the greatest size of the table of pairs; for a batch with more of them the
// series of each event is looked up.
const maxTable = 1 << 16

func newGateway(name telemetry.GatewayID, site telemetry.SiteID) *gateway {
	return &gateway{name: name, site: site, byKey: make(map[seriesKey]*series)}
}

// layout returns the series of each pair of the batch's dictionaries, with nil for one
// that does not exist yet. It returns nil when the table would be too large. A sender's
// dictionaries seldom change, so in most cases it is the table of the last batch.
func (g *gateway) layout(b *telemetry.Batch, machines Machines) []*series {
	n := len(b.Devices) * len(b.Metrics)
	if n > maxTable {
		for _, name := range b.Devices {
			g.describe(g.device(name), machines)
		}
		return nil
	}
	if g.table == nil || !slices.Equal(g.metricNames, b.Metrics) || !slices.Equal(g.deviceNames, b.Devices) {
		g.metricNames = append(g.metricNames[:0], b.Metrics...)
		g.deviceNames = append(g.deviceNames[:0], b.Devices...)
		g.known = g.known[:0]
		for _, name := range b.Devices {
			g.known = append(g.known, g.device(name))
		}
		g.table = slices.Grow(g.table[:0], n)[:n]
		for i, device := range b.Devices {
			for k, metric := range b.Metrics {
				g.table[i*len(b.Metrics)+k] = g.byKey[seriesKey{device, metric}]
			}
		}
	}
	for i, d := range g.known {
		if d == nil { // the events of the last batch may have added it
			d = g.device(b.Devices[i])
			g.known[i] = d
		}
		g.describe(d, machines)
	}
	return g.table
}

func (g *gateway) describe(d *device, machines Machines) {
	if d != nil && machines != nil {
		d.describe(machines.Machine(g.name, d.name))
	}
}

// resetLayout must be called whenever a series or device is deleted.
func (g *gateway) resetLayout() { g.table = nil }

func (g *gateway) find(name telemetry.DeviceName) (int, bool) {
	return slices.BinarySearchFunc(g.devices, name, func(d *device, name telemetry.DeviceName) int {
		return strings.Compare(string(d.name), string(name))
	})
}

func (g *gateway) device(name telemetry.DeviceName) *device {
	if i, ok := g.find(name); ok {
		return g.devices[i]
	}
	return nil
}

// admit returns the series. It adds a new one if the limits allow it, or returns nil.
func (g *gateway) admit(name telemetry.DeviceName, metric telemetry.MetricName, s *Shard) *series {
	key := seriesKey{name, metric}
	if sr, ok := g.byKey[key]; ok {
		return sr
	}
	l := &s.config.Limits
	i, ok := g.find(name)
	if g.seriesCount >= l.Series || !ok && len(g.devices) >= l.Devices {
		return nil
	}
	if !ok {
		d := &device{name: name}
		g.describe(d, s.config.Machines)
		g.devices = slices.Insert(g.devices, i, d)
	}
	return g.addSeries(g.devices[i], metric)
}

func (g *gateway) addSeries(d *device, metric telemetry.MetricName) *series {
	sr := &series{metric: metric, device: d, role: d.roleOf(metric)}
	i, _ := slices.BinarySearchFunc(d.series, metric, func(s *series, metric telemetry.MetricName) int {
		return strings.Compare(string(s.metric), string(metric))
	})
	d.series = slices.Insert(d.series, i, sr)
	g.byKey[seriesKey{d.name, metric}] = sr
	g.seriesCount++
	return sr
}

// tally returns the counts of the window that starts at start, and adds it if necessary.
func (g *gateway) tally(start telemetry.Micros) *tallies {
	i := len(g.windows)
	for i > 0 && g.windows[i-1].start > start {
		i--
	}
	if i > 0 && g.windows[i-1].start == start {
		return &g.windows[i-1]
	}
	g.windows = slices.Insert(g.windows, i, tallies{start: start})
	return &g.windows[i]
}
